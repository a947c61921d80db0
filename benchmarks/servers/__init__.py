"""The servers that are compared: one program each, with the same services.

Each prints ``ready ADDRESS`` once it listens and serves until its standard input ends, so that it outlives
nobody.
"""
