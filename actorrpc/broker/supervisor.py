"""The supervisor: it starts the hubs, starts again those that die, and stops them all."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from gevent import get_hub
from gevent.queue import Empty, Queue

from actorrpc.broker.accept_queues import Queues
from actorrpc.broker.hub_process import HUB_COMMAND, HubProcess
from actorrpc.broker.journal import MoveStatistics
from actorrpc.broker.members import Members
from actorrpc.broker.places import Whereabouts
from actorrpc.broker.runtime_dir import Claim
from actorrpc.broker.slot import Hub
from actorrpc.config import Config
from actorrpc.errors import ConfigError
from actorrpc.forks import guard, unguard
from actorrpc.log import about_hub as about
from actorrpc.log import tell_what_is_due
from actorrpc.loop.timers import after, every
from actorrpc.pb import control_pb2

__all__ = ["Supervisor"]

log = logging.getLogger("actorrpc.broker")

#: How much longer than the drain timeout a hub may take to stop before it is killed.
GRACE = 2.0
#: How often to see whether a hub that is silent should have others accept from its queue.
QUEUE_CHECK = 1.0
#: How often to log how many lines were left out.
LOG_CHECK = 1.0


class Supervisor:
    """Runs the hubs that serve ``app`` and accept from ``queues``.

    Whatever happens, be it a signal, a hub's message or its death, only adds an event. ``run`` handles them
    one by one, so that all changes are made in one place and none during another.
    """

    def __init__(
        self,
        app: str,
        config: Config,
        claim: Claim,
        queues: Queues,
        on_moved: Callable[[HubProcess, control_pb2.Moved], None],
        move_every: int = 0,
    ) -> None:
        self.config = config
        self._move_every = move_every
        self._on_moved = on_moved
        self._app = app
        self._claim = claim
        self._queues = queues
        self._hubs = [Hub(id) for id in range(queues.hubs)]
        self._announced = False
        self._stopping = False
        self._events: Queue[Callable[[], None]] = Queue()
        self.address = queues.address
        self.members = Members(queues)
        self.moves = MoveStatistics()
        self.whereabouts = Whereabouts()

    @property
    def processes(self) -> list[HubProcess]:
        """Those that run."""
        return [hub.process for hub in self._hubs if hub.process and hub.process.exit_code is None]

    def states(self) -> dict[int, str]:
        """What each hub is doing."""
        return {hub.id: hub.state for hub in self._hubs}

    def status(self) -> dict[str, Any]:
        """The form of ``actorrpc status --json``."""
        return {
            "address": self.address,
            "broker_pid": os.getpid(),
            "accept": self._queues.accept,
            "hubs": [hub.row() for hub in self._hubs],
            "moves": self.moves.summary(),
        }

    def run(self, on_ready: Callable[[], None]) -> None:
        """Start the hubs, call ``on_ready`` when all serve, and return when they have been stopped.

        Raises ConfigError if a hub cannot start at first. No process is left, whatever is raised.
        """
        guard(self, get_hub())
        try:
            for hub in self._hubs:
                self._start(hub)
            self._until(
                lambda: self._stopping or all(hub.process and hub.process.ready for hub in self._hubs)
            )
            if not self._stopping:
                self.members.join(self.processes)
                self.members.wait_until_told()
                self._announced = True
                on_ready()
                checks = [
                    every(QUEUE_CHECK, self._events.put, self.members.assign_queues),
                    every(LOG_CHECK, tell_what_is_due),
                ]
                try:
                    self._until(lambda: self._stopping)
                finally:
                    for check in checks:
                        check.close()
        finally:
            self._stop_all()
            unguard(self)

    def forked(self) -> None:
        """Nothing to do: a child does not come back to ``run``."""

    def stop_soon(self) -> None:
        """Stop gracefully. This and what follows may be called at any time, and from the loop's callbacks."""
        self._events.put(self._begin_to_stop)

    def interrupt(self) -> None:
        """Stop gracefully; at once if it is stopping already."""
        self._events.put(lambda: self._kill_all() if self._stopping else self._begin_to_stop())

    def hub_ready(self, process: HubProcess, error: str) -> None:
        self._events.put(partial(self._on_ready, process, error))

    def hub_stopping(self, process: HubProcess) -> None:
        self._events.put(self.members.assign_queues)

    def hub_exited(self, process: HubProcess) -> None:
        self._events.put(partial(self._on_exit, process))

    def hub_moved(self, process: HubProcess, moved: control_pb2.Moved) -> None:
        self.moves.record(moved)
        self.whereabouts.record(moved)
        self._on_moved(process, moved)

    def _until(self, reached: Callable[[], bool], seconds: float | None = None) -> bool:
        """Handle events until ``reached()``. Returns False if that takes longer than ``seconds``."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not reached():
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            try:
                event = self._events.get(timeout=left)
            except Empty:
                return False
            self._handle(event)
        return True

    def _handle(self, event: Callable[[], None]) -> None:
        try:
            event()
        except Exception:
            if not (self._announced or self._stopping):
                raise
            log.exception("error in the broker, which goes on")

    def _on_ready(self, process: HubProcess, error: str) -> None:
        if self._stopping or process in self.members:
            return  # or it was among the first, which are joined as soon as all are ready
        if error and not self._announced:
            raise ConfigError(error)
        if error:
            log.error("hub %d cannot start: %s", process.hub, error, extra=about(process.hub))
        elif self._announced and process.exit_code is None:
            self.members.join([process])
            log.info("hub %d serves again (pid %d)", process.hub, process.pid, extra=about(process.hub))

    def _on_exit(self, process: HubProcess) -> None:
        hub = self._hubs[process.hub]
        if self._stopping:
            return
        if not self._announced:
            raise ConfigError(f"hub {hub.id} {process.describe_exit()} while it was starting")
        log.warning("hub %d (pid %d) %s", hub.id, process.pid, process.describe_exit(), extra=about(hub.id))
        self.members.leave(process)
        self._start_later(hub)

    def _begin_to_stop(self) -> None:
        self._stopping = True

    def _start(self, hub: Hub) -> None:
        """Start the hub's next process. Raises ConfigError at first; later it is tried again."""
        if self._stopping:
            return
        hub.generation += 1
        try:
            hub.process = HubProcess(hub.id, hub.generation, self._claim, HUB_COMMAND, self)
        except (OSError, ConfigError) as error:
            if not self._announced:
                raise ConfigError(f"cannot start hub {hub.id}: {error}") from error
            log.error("cannot start hub %d: %s", hub.id, error, extra=about(hub.id))
            self._start_later(hub)
            return
        acceptor, queue = self._queues.start(hub.id)
        patience = self.config.start_timeout
        start = control_pb2.Start(
            hub=hub.id,
            generation=hub.generation,
            app=self._app,
            config=self.config.to_message(),
            acceptor=acceptor,
            until=time.monotonic() + patience if patience else 0.0,
            move_every=self._move_every,
        )
        process = hub.process
        try:
            process.send(control_pb2.ToHub(start=start), queue)
        except OSError as error:  # out of descriptors, to keep one for later
            log.error("hub %d cannot be told to start: %s", hub.id, error, extra=about(hub.id))
            process.kill()
        if patience:
            after(patience, self._events.put, partial(self._check_started, process))

    def _check_started(self, process: HubProcess) -> None:
        """The process has had its time to start. Raises ConfigError at first."""
        if process.ready or process.exit_code is not None or self._stopping:
            return
        late = (
            f"hub {process.hub} still does not serve after {self.config.start_timeout:g} s (--start-timeout)"
        )
        if not self._announced:
            raise ConfigError(late)
        log.error("%s: killed", late, extra=about(process.hub))
        process.kill()

    def _start_later(self, hub: Hub) -> None:
        delay = hub.next_start()
        log.info("hub %d starts again in %.1f s", hub.id, delay, extra=about(hub.id))
        after(delay, self._events.put, partial(self._start, hub))

    def _stop_all(self) -> None:
        self._stopping = True
        # From now on the kernel refuses connections that no hub would accept any more.
        self._queues.close()
        drain_timeout = self.config.drain_timeout if self._announced else 0.0
        for process in self.processes:
            process.stop(drain_timeout)
        if not self._until(lambda: not self.processes, drain_timeout + GRACE):
            log.warning("killing hubs that do not stop: %s", self.processes)
            self._kill_all()
            self._until(lambda: not self.processes)

    def _kill_all(self) -> None:
        for process in self.processes:
            process.kill()

    def __repr__(self) -> str:
        state = "stopping" if self._stopping else "running" if self._announced else "starting"
        return f"<Supervisor of {self.address} {state}: {self._hubs}>"
