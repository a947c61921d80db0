"""TLS 1.3 of connections that move: OpenSSL makes the handshake, and what comes after it is here, sans-IO.

A transport uses ``record_layer``; a handoff uses ``snapshot``. The rest is what these are made of:
``inbound`` and ``outbound`` are the two directions, ``ownership`` says when records may be sealed,
``protection`` has the keys of one direction, which ``hkdf`` derives and whose ciphers ``suites`` has, and
``limits`` says what costs what.

The package `cryptography` is imported when the first record is sealed or opened, and not before.
"""
