"""A connection's way to another hub: what travels, in which order, and what it costs."""
