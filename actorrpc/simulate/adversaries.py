"""Clients that see their connections move, and answer so that the move was wrong.

They shift load between connections and invent none: the hubs have the same to do in all, under any policy.
No balancer can win here. A good one notices, and stops.
"""

from __future__ import annotations

import numpy as np

from actorrpc.simulate.connections import Connections
from actorrpc.simulate.loads import Changes, LogNormal

__all__ = ["Adversary", "Follower", "Herd"]


class Adversary(LogNormal):
    """What moved changes loads with the lightest that stayed: the source is as busy as before."""

    lasting = 1e12

    def moved(self, row: int, source: int, target: int, connections: Connections) -> Changes | None:
        stayed = connections.members(source)
        if not len(stayed):
            return None
        return _swap(row, int(stayed[np.argmin(connections.load[stayed])]), connections)


class Follower(LogNormal):
    """As much again comes after what moved: the target becomes as busy as the source was."""

    lasting = 1e12

    def moved(self, row: int, source: int, target: int, connections: Connections) -> Changes | None:
        stayed, there = connections.members(source), connections.members(target)
        there = there[there != row]
        if not len(stayed) or not len(there):
            return None
        like = stayed[np.argmin(np.abs(connections.load[stayed] - connections.load[row]))]
        lightest = there[np.argmin(connections.load[there])]
        return _swap(int(like), int(lightest), connections)


class Herd(LogNormal):
    """Wherever something moves to, the heaviest connection of all other hubs sends its load there too."""

    lasting = 1e12

    def moved(self, row: int, source: int, target: int, connections: Connections) -> Changes | None:
        there = connections.members(target)
        elsewhere = np.where(connections.hub == target, 0.0, connections.load)
        return _swap(
            int(np.argmax(elsewhere)), int(there[np.argmin(connections.load[there])]), connections
        )


def _swap(one: int, other: int, connections: Connections) -> Changes | None:
    rows = np.array([one, other])
    return (rows, connections.load[rows[::-1]]) if one != other else None
