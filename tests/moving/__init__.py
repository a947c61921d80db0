"""A model of the handoff: its real code between fake processes, in every order of what can happen.

The ring inside of ``tests/hub/moving``, which has real hubs, and ``tests/chaos``, which has real processes.
"""
