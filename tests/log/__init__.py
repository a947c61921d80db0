"""The log: limits, escaping, and a writer that blocks nobody."""
