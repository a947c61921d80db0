"""The directory of keyed actors: which process owns the one instance of a key.

``directory`` is for the node, ``names`` has what it speaks of; the other files are its parts.
"""
