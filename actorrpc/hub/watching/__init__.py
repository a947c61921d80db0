"""What a hub does at this moment, for people who want to know why it is slow, or stuck.

``stacks`` answers `actorrpc stacks`, ``dumps`` tells the broker where a hub is that cannot answer, and
``slow_turns`` logs what `--slow-turn` asks for. ``running`` reads from a stack whose turn it is.
"""
