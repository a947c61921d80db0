"""The supervisor: it starts the hubs, starts again those that die, and stops them all."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any

import gevent
from gevent import get_hub
from gevent.event import AsyncResult
from gevent.queue import Empty, Queue

from actorrpc.broker.accept_queues import AcceptQueues
from actorrpc.broker.drains import Drains
from actorrpc.broker.generation import Generation
from actorrpc.broker.hub_process import HubProcess
from actorrpc.broker.hub_slot import HubSlot
from actorrpc.broker.journal import MoveStatistics
from actorrpc.broker.launcher import Launcher
from actorrpc.broker.members import Members
from actorrpc.broker.places import Places
from actorrpc.broker.reload import Reload
from actorrpc.broker.restarts import Restarts
from actorrpc.broker.runtime_dir import Claim
from actorrpc.broker.watching.hangs import Hangs
from actorrpc.config import Config
from actorrpc.errors import ConfigError, TooManyRestarts
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
        queues: AcceptQueues,
        on_moved: Callable[[int, int, control_pb2.Moved], None],
        move_every: int = 0,
    ) -> None:
        self._on_moved = on_moved
        self._queues = queues
        self._hubs = [HubSlot(id) for id in range(queues.hubs)]
        self._launcher = Launcher(claim, queues, self, move_every)
        self._generation = Generation.first(app, config)
        self._restarts = Restarts(config.restart_intensity, config.restart_period)
        self._announced = False
        self._stopping = False
        #: Gives the config of the next generation. Raises ConfigError.
        self.read_again: Callable[[], Config] = lambda: self.config
        #: Called when the hubs are about to be stopped.
        self.on_stopping: Callable[[], None] = lambda: None
        #: Called when a reload begins, and when it has ended, however.
        self.on_reloading: Callable[[], None] = lambda: None
        self.on_reloaded: Callable[[], None] = lambda: None
        self._events: Queue[Callable[[], None]] = Queue()
        self.address = queues.address
        self.members = Members(queues)
        self._drains = Drains(self.members)
        #: The last one, which may be under way, and the greenlet that makes it.
        self._reload: Reload | None = None
        self._reloading: gevent.Greenlet[..., None] | None = None
        self.moves = MoveStatistics()
        self.places = Places()

    @property
    def config(self) -> Config:
        """What the current generation was told."""
        return self._generation.config

    @property
    def processes(self) -> list[HubProcess]:
        """Those that run."""
        return [process for hub in self._hubs for process in hub.processes]

    @property
    def pids(self) -> set[int]:
        """Those of the hubs' processes, whose ends nobody else may wait for."""
        return {process.pid for process in self.processes}

    @property
    def connections(self) -> int:
        """How many all hubs have, as last reported."""
        return sum(process.load.connections for process in self.processes)

    def states(self) -> dict[int, str]:
        """What each hub is doing."""
        return {hub.id: hub.state for hub in self._hubs}

    def process(self, number: int) -> HubProcess | None:
        """The process that a person means by a hub's number, which is its own one, or by a serial."""
        if number < len(self._hubs):
            process = self._hubs[number].process
            return process if process is not None and process.exit_code is None else None
        return next((process for process in self.processes if process.serial == number), None)

    def status(self) -> dict[str, Any]:
        """The form of ``actorrpc status --json``."""
        return {
            "address": self.address,
            "broker_pid": os.getpid(),
            "accept": self._queues.accept,
            "hubs": self._rows(),
            "moves": self.moves.summary(),
            "reload": self._reload.status() if self._reload is not None else None,
        }

    def _rows(self) -> list[dict[str, Any]]:
        """Of all processes: first each hub's own, by the hubs' numbers."""
        rows = [hub.rows(self._drains.empty) for hub in self._hubs]
        return [row for some in zip_longest(*rows) for row in some if row is not None]

    def run(self, on_ready: Callable[[], None]) -> None:
        """Start the hubs, call ``on_ready`` when all serve, and return when they have been stopped.

        Raises ConfigError if a hub cannot start at first, and TooManyRestarts if hubs end more often than
        they may. No process is left, whatever is raised.
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
                    Hangs(self.config, lambda: self.processes),
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

    def reload_soon(self) -> None:
        """Reload, unless that cannot be now: then the log says why."""

        def begin() -> None:
            try:
                self.reload()
            except ConfigError as error:
                log.error("reload: %s", error)

        gevent.spawn(begin)

    def reload(self, drain_timeout: float | None = None) -> Reload:
        """Begin a reload, with a drain timeout of its own, if it is given, in seconds.

        Raises ConfigError if none can begin now.
        """
        if self._reload is not None and self._reload.under_way:
            raise ConfigError("a reload is under way already")
        if not self._announced or self._stopping:
            raise ConfigError(f"the server is {'stopping' if self._stopping else 'still starting'}")
        timeout = self.config.drain_timeout if drain_timeout is None else drain_timeout
        self._reload = Reload(
            self, self._generation.next(self.read_again()), self._drains, self.change, timeout
        )
        self._reloading = gevent.spawn(self._run_reload, self._reload)
        return self._reload

    def _run_reload(self, reload: Reload) -> None:
        self.on_reloading()
        try:
            reload.run()
        finally:
            if not self._stopping:
                self.on_reloaded()

    def start_successors(self, generation: Generation) -> list[HubProcess]:
        processes = []
        for hub in self._hubs:
            processes.append(process := self._launcher.start(hub.id, generation, aside=True))
            hub.others.append(process)
            self._check_later(process)
        return processes

    def succeed(
        self, generation: Generation, processes: Sequence[HubProcess]
    ) -> dict[HubProcess, Sequence[HubProcess]]:
        self._generation = generation
        targets: dict[HubProcess, Sequence[HubProcess]] = {}
        for process in processes:
            hub = self._hubs[process.hub]
            hub.others.remove(process)
            if (old := hub.process) is not None and old.exit_code is None:
                hub.others.append(old)
                targets[old] = [process]
            hub.process, hub.drained = process, False
        self.members.join(processes)
        return targets

    def drain(self, number: int, *, undo: bool = False) -> None:
        """Have a hub give all it has to the others, and take nothing; or go on as before.

        Raises ConfigError if that cannot be.
        """
        if number >= len(self._hubs):
            raise ConfigError(f"no such hub: {number} (there are hubs 0 to {len(self._hubs) - 1})")
        if self._reload is not None and self._reload.under_way:
            raise ConfigError("a reload is under way")
        hub = self._hubs[number]
        if hub.process is None or hub.process not in self.members:
            raise ConfigError(f"hub {number} is {hub.state}")
        if undo:
            self._drains.undo([hub.process])
        else:
            self._drains.begin({hub.process: ()})
        hub.drained = not undo

    def change(self, function: Callable[[], Any]) -> Any:
        """Call a function when nothing else changes what this has, and return what it returns, or raise what
        it raises. For other greenlets than that of ``run``."""
        done: AsyncResult[Any] = AsyncResult()

        def call() -> None:
            try:
                done.set(function())
            except Exception as error:
                done.set_exception(error)

        self._events.put(call)
        return done.get()

    def hub_ready(self, process: HubProcess, error: str) -> None:
        self._events.put(partial(self._on_ready, process, error))

    def hub_settled(self, process: HubProcess, version: int) -> None:
        self._events.put(partial(self.members.settled, process, version))

    def hub_stopping(self, process: HubProcess) -> None:
        self._events.put(self.members.assign_queues)

    def hub_exited(self, process: HubProcess) -> None:
        self._events.put(partial(self._on_exit, process))

    def hub_moved(self, process: HubProcess, moved: control_pb2.Moved) -> None:
        self.moves.record(moved)
        self.places.record(moved)
        if (target := self._launcher.hub_of.get(moved.target)) is not None:
            self._on_moved(process.hub, target, moved)

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
        except TooManyRestarts:
            raise
        except Exception:
            if not (self._announced or self._stopping):
                raise
            log.exception("error in the broker, which goes on")

    def _on_ready(self, process: HubProcess, error: str) -> None:
        if self._reload is not None and process in self._reload:
            self._reload.heard(process, error)
            return
        if self._stopping or process in self.members:
            return  # or it was among the first, which are joined as soon as all are ready
        if error and not self._announced:
            raise ConfigError(error, process.trace)
        if error:
            extra = about(process.hub) | {"detail": process.trace}
            log.error("hub %d cannot start: %s", process.hub, error, extra=extra)
        elif self._announced and process.exit_code is None:
            self.members.join([process], share=True)
            if self._hubs[process.hub].drained:
                self._drains.begin({process: ()})
            else:
                self._drains.changed()
            log.info("hub %d serves again (pid %d)", process.hub, process.pid, extra=about(process.hub))

    def _on_exit(self, process: HubProcess) -> None:
        hub = self._hubs[process.hub]
        if self._stopping:
            return
        if not self._announced:
            raise ConfigError(f"hub {hub.id} {process.describe_exit()} while it was starting")
        if process is hub.process or not process.stopping:
            how = process.describe_exit()
            log.warning("hub %d (pid %d) %s", hub.id, process.pid, how, extra=about(hub.id))
        if self._reload is not None:
            self._reload.heard(process, f"hub {hub.id} {process.describe_exit()} while it was starting")
        self.members.leave(process)
        self._drains.changed()
        if process is hub.process:
            if not process.obeyed:
                self._restarts.count(time.monotonic(), f"hub {hub.id} {process.describe_exit()}")
            self._start_later(hub)
        elif process in hub.others:
            hub.others.remove(process)

    def _begin_to_stop(self) -> None:
        self._stopping = True

    def _start(self, hub: HubSlot) -> None:
        """Start the hub's next process. Raises ConfigError at first; later it is tried again."""
        if self._stopping:
            return
        hub.restarts += 1
        try:
            hub.process = self._launcher.start(hub.id, self._generation)
        except (OSError, ConfigError) as error:
            if not self._announced:
                raise ConfigError(f"cannot start hub {hub.id}: {error}") from error
            log.error("cannot start hub %d: %s", hub.id, error, extra=about(hub.id))
            self._restarts.count(time.monotonic(), f"hub {hub.id} cannot start: {error}")
            self._start_later(hub)
        else:
            self._check_later(hub.process)

    def _check_later(self, process: HubProcess) -> None:
        if self.config.start_timeout:
            after(self.config.start_timeout, self._events.put, partial(self._check_started, process))

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

    def _start_later(self, hub: HubSlot) -> None:
        delay = hub.next_start()
        log.info("hub %d starts again in %.1f s", hub.id, delay, extra=about(hub.id))
        after(delay, self._events.put, partial(self._start, hub))

    def _stop_all(self) -> None:
        self._stopping = True
        if self._reloading is not None:
            self._reloading.kill(block=False)
        self.on_stopping()
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
