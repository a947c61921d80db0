"""What connections, topics and messages take of a hub, in seconds and bytes. It knows none of them.

For those who take something: ``usage`` (seconds of the loop), ``parsed`` (bytes that handlers hold) and
``rates`` (messages of topics). For a report: ``loop_lag`` and ``proc``.
"""
