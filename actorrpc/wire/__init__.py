"""The HTTP/2 and gRPC session of a connection, sans-IO: bytes to events, and calls' answers to bytes.

A hub uses ``server`` (the session) with its ``events``, each with its ``stream``; ``responses.trailers``; and
``snapshot``. What ``head`` and ``compression`` know of gRPC is for calls. The rest is what the
session is made of.
"""
