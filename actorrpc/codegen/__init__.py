"""Code generation, run by protoc: descriptors in, one typed Python module for each file with services out.

``model`` says what a file declares, and refuses what cannot be served; ``source`` knows its comments and
where it says what; ``names`` knows how Python reaches it; ``render`` writes the module; ``plugin`` speaks to
protoc.
"""
