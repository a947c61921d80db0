"""Connections of clients that speak TLS: ``handshakes`` has those that no hub serves yet, ``transport``
carries the records of one that is served, and ``facts`` is what is known of its client, which handlers see as
``call.auth_context``. A hub gets all of that by ``serving``, so that where TLS is not served nothing of it
but ``facts`` is imported.
"""
