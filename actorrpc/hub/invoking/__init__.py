"""Calls that actors make: what a generated stub calls through in a hub, in place of a channel to a server.

``channel`` is what a stub takes, ``connected`` the same for a connection's actor, and ``references`` finds it
for an ``ActorRef``, whose ``seals`` are checked. ``turn`` knows for whom a call
is made, ``conversation`` is the caller's end of it, ``futures`` what the caller has of that, and ``tells``
are those for which nobody waits. How calls find their actors, and answers their callers:
``actorrpc.hub.exchange``.
"""
