"""How many skewed clients hubs hold at an equal p99, with moving and without: see __main__.py."""
