"""Clients that notice their connections' moves, and answer in such a way that the move was wrong.

They shift load from one connection to another: the total is the same under any policy. No policy can gain
anything here. A good one notices that, and stops.
"""

from __future__ import annotations

import numpy as np

from actorrpc.balancing.simulation.connections import Connections
from actorrpc.balancing.simulation.workloads import Changes, LogNormal

__all__ = ["Adversary", "Follower", "Herd"]


class Adversary(LogNormal):
    """What moved swaps loads with the lightest that stayed: the source is as busy as before."""

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
    """Three times as much comes after what moved, for 20 seconds: three connections like it, from anywhere,
    exchange loads with light ones at its target."""

    lasting = 1e12
    undone_after: float | None = 20.0

    def moved(self, row: int, source: int, target: int, connections: Connections) -> Changes | None:
        there = connections.members(target)
        there = there[there != row]
        apart = np.abs(connections.load - connections.load[row])
        apart[connections.hub == target] = np.inf
        like = np.argsort(apart, kind="stable")[: min(3, len(there))]
        lightest = there[np.argsort(connections.load[there], kind="stable")[: len(like)]]
        rows = np.concatenate([like, lightest[::-1]])
        return rows, connections.load[rows[::-1]]


def _swap(one: int, other: int, connections: Connections) -> Changes | None:
    rows = np.array([one, other])
    return (rows, connections.load[rows[::-1]]) if one != other else None
