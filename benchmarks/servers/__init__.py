"""The servers that are measured: one program each, with services of bench.proto.

Each prints ``ready ADDRESS`` once it listens and serves until its standard input ends, so that it outlives
nobody.
"""
