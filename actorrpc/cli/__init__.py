"""The command line: what is typed, and how answers look. ``commands.main`` is where it begins."""
