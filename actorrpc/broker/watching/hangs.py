"""``Hangs``: reports hubs that say nothing, with the stack of what holds them, and kills those that stay so.

A hub says something four times a second, from its loop: one that does not is held by a handler that blocks or
computes, or its process is stopped. It may come back, with all connections and states, so it is left alone
until ``kill_timeout``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import gevent
from gevent import Greenlet

from actorrpc.broker.watching.holders import describe
from actorrpc.broker.watching.process import Watched
from actorrpc.config import Config
from actorrpc.log import about
from actorrpc.loop.timers import every

__all__ = ["Hangs"]

log = logging.getLogger("actorrpc.broker")

#: How often to look, in seconds.
CHECK = 0.25
#: A look that is so late tells that this process was held up itself, or stopped: what hubs have said
#: meanwhile is still to be read.
LATE = 1.0
#: Places that are shown of a stack, the innermost ones.
PLACES = 40


@dataclass
class _Silence:
    """One hub's, since it was last heard, on the monotonic clock."""

    heard: float
    report: Greenlet[..., None]
    killed: bool = False


class Hangs:
    """Watches the processes, from now on until ``close``. ``config()`` is asked at each look: a reload may
    change it."""

    def __init__(self, config: Callable[[], Config], processes: Callable[[], Iterable[Watched]]) -> None:
        self._processes = processes
        self._config = config
        self._silent: dict[Watched, _Silence] = {}
        #: When it was last looked, and since when each process has had its chance to be heard.
        self._looked = self._awake = time.monotonic()
        self._timer = every(CHECK, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked > CHECK + LATE:
            self._awake = now
        self._looked = now
        running = [process for process in self._processes() if process.ready and process.linked]
        self._silent = {process: each for process, each in self._silent.items() if process in running}
        config = self._config()
        for process in running:
            self._look_at(process, now - max(process.heard, self._awake), config)

    def _look_at(self, process: Watched, seconds: float, config: Config) -> None:
        """A process has been silent for so long."""
        silence = self._silent.get(process)
        if silence is None:
            if seconds >= _patience(config):
                report = gevent.spawn(self._report, process, seconds)
                self._silent[process] = _Silence(process.heard, report)
        elif not silence.report.ready():
            pass  # first things first
        elif process.heard != silence.heard:
            del self._silent[process]
            log.info(
                "hub %d (pid %d) is heard again: it was silent for %.1f s",
                process.hub,
                process.pid,
                process.was_silent,
                extra=about(process.hub),
            )
        elif config.kill_timeout and seconds >= config.kill_timeout and not silence.killed:
            silence.killed = True
            log.error(
                "hub %d (pid %d) has said nothing for %.1f s (--kill-timeout): killed",
                process.hub,
                process.pid,
                seconds,
                extra=about(process.hub),
            )
            process.kill()

    def _report(self, process: Watched, seconds: float) -> None:
        what, places = describe(process)
        shown = [f'File "{each.file}", line {each.line}, in {each.function}' for each in places[-PLACES:]]
        log.warning(
            "hub %d (pid %d) has said nothing for %.1f s: %s",
            process.hub,
            process.pid,
            seconds,
            what,
            extra=about(process.hub) | {"detail": "\n".join(shown)},
        )

    def close(self) -> None:
        self._timer.close()
        gevent.killall([silence.report for silence in self._silent.values()], block=False)

    def __repr__(self) -> str:
        return f"<Hangs {[process.hub for process in self._silent]} silent>"


def _patience(config: Config) -> float:
    """After how many seconds a silent hub is reported: none is killed that has not been."""
    return min((each for each in (config.hang_timeout, config.kill_timeout) if each), default=float("inf"))
