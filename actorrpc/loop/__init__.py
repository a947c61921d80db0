"""Small things about gevent's loop that all rooms use: timers, waking it, closing descriptors, duties."""
