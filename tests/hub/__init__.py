"""Hubs in a thread of the test's process, in the rooms of ``actorrpc/hub``."""
