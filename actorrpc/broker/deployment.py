"""What is asked of the hubs as a whole, while they serve: another generation, more or fewer of them, one that
rests, one that ends. Reloads and scales change which processes there are, and go one at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import gevent

from actorrpc.broker.accept_queues import AcceptQueues
from actorrpc.broker.drains import Drains
from actorrpc.broker.generation import Generation
from actorrpc.broker.hub_process import HubProcess
from actorrpc.broker.hub_slots import HubSlots
from actorrpc.broker.launcher import Launcher
from actorrpc.broker.members import Members
from actorrpc.broker.reload import Reload
from actorrpc.broker.retire import Retirements
from actorrpc.broker.scale import Scale
from actorrpc.errors import ConfigError

__all__ = ["Deployment"]

log = logging.getLogger("actorrpc.broker")


class Deployment:
    """All of it for the ``hubs`` of one broker. ``change(function)`` calls it when nothing else changes them,
    and returns what it returns. ``drain_timeout`` is the server's, in seconds."""

    def __init__(
        self,
        hubs: HubSlots,
        launcher: Launcher,
        queues: AcceptQueues,
        members: Members,
        change: Callable[[Callable[[], Any]], Any],
        drain_timeout: float,
    ) -> None:
        self._hubs = hubs
        self._launcher = launcher
        self._queues = queues
        self._members = members
        self._change_now = change
        self._drain_timeout = drain_timeout
        self.drains = Drains(members)
        self._retirements = Retirements(members, self.drains, self._change, drain_timeout)
        #: Why nothing can be asked now.
        self._refusal = "the server is still starting"
        #: Called when a reload begins, and when it has ended, however, unless the server stops.
        self.on_reloading: Callable[[], None] = lambda: None
        self.on_reloaded: Callable[[], None] = lambda: None
        #: The last ones, which may be under way, and the greenlet that makes the last of the two.
        self._reload: Reload | None = None
        self._scale: Scale | None = None
        self._running: gevent.Greenlet[..., None] | None = None

    def open(self) -> None:
        """The server serves."""
        self._refusal = ""

    def close(self) -> None:
        """The server stops."""
        self._refusal = "the server is stopping"
        if self._running is not None:
            self._running.kill(block=False)
        self._retirements.close()

    def _change(self, function: Callable[[], Any]) -> Any:
        """Raises ConfigError, and does not call it, if the server has begun to stop meanwhile."""

        def call() -> Any:
            if self._refusal:
                raise ConfigError(self._refusal)
            return function()

        return self._change_now(call)

    def _check(self) -> None:
        """Raise ConfigError if nothing can begin now."""
        if self._refusal:
            raise ConfigError(self._refusal)
        for change, what in ((self._reload, "a reload"), (self._scale, "a scale")):
            if change is not None and change.under_way:
                raise ConfigError(f"{what} is under way")

    # ---- reload

    def reload_soon(self) -> None:
        """Reload, unless that cannot be now: then the log says why. For a signal."""

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
        self._check()
        timeout = self._drain_timeout if drain_timeout is None else drain_timeout
        generation = self._launcher.generation.next()
        self._reload = Reload(self, generation, self.drains, self._change, timeout)
        self._running = gevent.spawn(self._run_reload, self._reload)
        return self._reload

    def _run_reload(self, reload: Reload) -> None:
        self.on_reloading()
        try:
            reload.run()
        finally:
            if not self._refusal:
                self.on_reloaded()

    def start_successors(self, generation: Generation) -> list[HubProcess]:
        processes: list[HubProcess] = []
        try:
            for hub in self._hubs:
                processes.append(process := self._launcher.start(hub.id, generation))
                hub.others.append(process)
        except BaseException:
            for process in processes:
                process.kill()
            raise
        return processes

    def succeed(
        self, generation: Generation, processes: Sequence[HubProcess]
    ) -> dict[HubProcess, Sequence[HubProcess]]:
        self._launcher.generation = generation
        targets: dict[HubProcess, Sequence[HubProcess]] = {}
        for process in processes:
            hub = self._hubs[process.hub]
            hub.others.remove(process)
            if (old := hub.process) is not None and old.exit_code is None:
                hub.others.append(old)
                targets[old] = [process]
            hub.process, hub.drained = process, False
        self._members.join(processes)
        return targets

    # ---- more or fewer hubs

    def scale(self, count: int, drain_timeout: float | None = None) -> Scale:
        """Begin to have so many hubs, with a drain timeout of its own, if it is given, in seconds.

        Raises ConfigError if that cannot be.
        """
        timeout = self._drain_timeout if drain_timeout is None else drain_timeout

        def begin() -> Scale:
            self._check()
            scale = Scale(
                count,
                self._hubs,
                self._launcher,
                self._queues,
                self._members,
                self.drains,
                self._change,
                timeout,
            )
            scale.begin()
            self._scale = scale
            self._running = gevent.spawn(scale.run)
            return scale

        scale: Scale = self._change(begin)
        return scale

    # ---- one hub

    def drain(self, number: int, *, undo: bool = False) -> None:
        """Have a hub give all it has to the others, and take nothing; or go on as before.

        Raises ConfigError if that cannot be.
        """

        def begin() -> None:
            hub = self._hubs[number]
            self._check()
            if hub.process is None or hub.process not in self._members:
                raise ConfigError(f"hub {number} is {hub.state}")
            if undo:
                self.drains.undo([hub.process])
            else:
                self.drains.begin({hub.process: ()})
            hub.drained = not undo

        self._change(begin)

    def retire(self, process: HubProcess) -> None:
        """A hub that was told to end asks for others to be given what it has."""
        if not self._refusal:
            self._retirements.begin(process)

    # ---- what becomes of processes

    def expects(self, process: HubProcess) -> bool:
        """Whether a process is to be ready for what is under way, and not for the server as it is."""
        return any(process in change for change in (self._reload, self._scale) if change is not None)

    def heard(self, process: HubProcess, error: str) -> None:
        """A process is ready, or, ``error``, will not be."""
        for change in (self._reload, self._scale):
            if change is not None:
                change.heard(process, error)

    def status(self) -> dict[str, Any]:
        """What ``actorrpc status --json`` has of the last reload and the last scale."""
        return {
            "reload": self._reload.status() if self._reload is not None else None,
            "scale": self._scale.status() if self._scale is not None else None,
        }

    def __repr__(self) -> str:
        return f"<Deployment, {self._reload!r}, {self._scale!r}, {self._retirements!r}>"
