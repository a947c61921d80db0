"""The bytes of one connection and the sockets they come through. Nothing here knows HTTP/2 or a hub."""
