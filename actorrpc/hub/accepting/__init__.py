"""Where a new connection goes: served here, given to another hub, waiting, or refused.

For the node: ``reception``, which has the listening sockets and decides. The rest is what it is made of.
"""
