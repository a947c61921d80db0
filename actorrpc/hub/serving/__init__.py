"""One client connection in its hub, from its first byte to its last.

For the node and for moves: ``connection``. ``lifetime`` says what is due when, ``lifetime_timer`` does it.
"""
