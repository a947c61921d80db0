"""Questions about a running server: how they are asked, and how a broker answers them.

For the command line: ``ask``, and ``elsewhere``, which says what to do where no broker answers. For the
broker: ``answers``.
"""
