"""A model of the lives of hubs and brokers: the real broker, and processes that a test kills anywhere."""
