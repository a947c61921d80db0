"""One client connection in its hub, from its first byte to its last."""
