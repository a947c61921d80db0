"""Small things about gevent's loop that all rooms use.

``timers`` count from now, ``wakeup`` reaches a loop from another thread, ``descriptors`` are closed at
once, and ``duties`` are done whatever else fails.
"""
