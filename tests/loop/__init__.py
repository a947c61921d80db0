"""What all rooms use of gevent's loop."""
