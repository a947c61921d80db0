"""The session alone: bytes in, events and bytes out, at every cut, frozen at every offset."""
