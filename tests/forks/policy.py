"""A policy that starts a child in the broker, where the environment names its folder."""

from __future__ import annotations

import os
from collections.abc import Iterable

from actorrpc.broker.balancer import Move, Stay, View
from tests.forks.ways import live


class Forking:
    def __init__(self) -> None:
        self._forked = False

    def plan(self, view: View) -> Iterable[Move | Stay]:
        if not self._forked:
            self._forked = True
            if os.fork() == 0:
                live(os.environ["FORKS_FOLDER"], "blocks")
                # It comes out of the plan, and goes no further.
        return ()
