"""What suites serve: apps of generated services, from ``shapes``, all shapes of calls, to ``storm``."""
