"""What becomes of a hub, an embedded server or a broker in a child that is forked from its process: nothing.

A child is a copy of all there is: the clients' sockets, the loop with its watchers, the stacks of handlers.
Before anything else can run in it, its copies of our descriptors go (``descriptors``), all that the loop
would do is called off (``loop``), and whoever called ``guard`` is told. docs/guide/processes.md tells users.

For whoever owns a loop, a descriptor, or calls code of users: ``guard``, ``unguard``, ``hold``,
``hold_for_good``, ``serves``, ``users_code``, ``end_child``.
"""

from __future__ import annotations

from actorrpc.forks.child import Owner, end_child, guard, no_forks, unguard, users_code
from actorrpc.forks.descriptors import Holder, hold, hold_for_good, serves

__all__ = [
    "Holder",
    "Owner",
    "end_child",
    "guard",
    "hold",
    "hold_for_good",
    "no_forks",
    "serves",
    "unguard",
    "users_code",
]
