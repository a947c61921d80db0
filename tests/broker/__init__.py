"""The broker: its parts alone, then real servers of processes."""
