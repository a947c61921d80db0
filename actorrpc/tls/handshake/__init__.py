"""The handshake of a TLS connection, by OpenSSL in memory, sans-IO: from a client's first bytes to its
records.

A listener has one ``contexts.Contexts`` for each thread, made of ``settings.Tls``, and gives each
connection a ``handshake.Handshake``. What that ends with is an ``Established``, whose record layer goes on
without OpenSSL.
"""
