"""A model of the directory of keyed actors: its real code over real files, between fake links and a fake
broker, in every order of what can happen; and its locks, with real processes.
"""
