"""A connection's way to another hub: what travels, in which order, and what it costs.

For the node: ``mover``, which begins moves and takes what comes. ``handoffs``, ``source``, ``target`` and
``states`` are the protocol, and know no connection; ``departure`` is a connection as they see it,
``snapshot`` what is written of it; ``move_cost`` tells what that will take.
"""
