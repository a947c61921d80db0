"""Sockets, and the bytes of one connection. Nothing here knows HTTP/2 or a hub.

For whoever has a session: ``pump`` carries its bytes to a client and back, over ``transport``. For servers:
``listening``. ``addresses`` and ``sockets`` are for all.
"""
