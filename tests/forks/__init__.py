"""Children that hubs, brokers and programs start, in every way there is."""
