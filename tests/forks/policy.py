"""Policies that start a child in the broker, where the environment names its folder."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable

from actorrpc.balancing.view import Move, Stay, View
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


class Threaded:
    """It has a thread, which starts a child in the midst of the start of a hub: when there are both ends of
    the hub's link, and the pipe in which subprocess hears of the program.
    """

    def __init__(self) -> None:
        self._wanted, self._forked = threading.Event(), threading.Event()
        self._pipe = os.pipe
        os.pipe = self._make_pipe
        threading.Thread(target=self._run, daemon=True).start()

    def plan(self, view: View) -> Iterable[Move | Stay]:
        return ()

    def _make_pipe(self) -> tuple[int, int]:
        os.pipe = self._pipe
        ends = self._pipe()
        self._wanted.set()
        self._forked.wait(0.5)  # one that may not fork now cannot say so
        return ends

    def _run(self) -> None:
        self._wanted.wait()
        if os.fork() == 0:
            live(os.environ["FORKS_FOLDER"], "blocks")
            os._exit(0)
        self._forked.set()
