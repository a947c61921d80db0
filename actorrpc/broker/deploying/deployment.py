"""What an operator does to the hubs while they serve: reload, drain, scale, and a signal to one of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gevent

from actorrpc.broker.deploying.drains import Drains
from actorrpc.broker.deploying.generation import Generation
from actorrpc.broker.deploying.reload import Reload
from actorrpc.broker.deploying.retire import Retirements
from actorrpc.broker.deploying.scale import Scale
from actorrpc.broker.deploying.sources import Sources
from actorrpc.broker.events import Events
from actorrpc.broker.processes.hub_process import HubProcess, written
from actorrpc.broker.processes.hub_slots import HubSlots
from actorrpc.broker.sharing.accept_queues import AcceptQueues
from actorrpc.broker.sharing.members import Members
from actorrpc.config import Config
from actorrpc.errors import ConfigError
from actorrpc.loop.duties import do_all
from actorrpc.pb.record_pb2 import Server

__all__ = ["Deployment"]

log = logging.getLogger("actorrpc.broker")

#: Starts a process of a hub in a generation's code, perhaps aside (``Launcher.start``).
Start = Callable[[int, Generation, bool], HubProcess]


class Deployment:
    """Which generation of code serves, what follows it, and which hubs are drained.

    ``refusal`` says why nothing can be done now, "" if it can. But for ``reload_soon`` and ``reload``, which
    begin something, all is called as an event.
    """

    def __init__(
        self,
        generation: Generation,
        hubs: HubSlots,
        members: Members,
        events: Events,
        start: Start,
        refusal: Callable[[], str],
        queues: AcceptQueues,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """``changed()`` is called when something is otherwise that another broker would have to know."""
        #: What is served, and what a hub that starts again runs.
        self.generation = generation
        #: What that consisted of when it began; and the same of the one that may follow.
        self._sources = self._next_sources = Sources(generation)
        self._hubs = hubs
        self._members = members
        self._events = events
        self._start = start
        self._refusal = refusal
        self._queues = queues
        self.changed = changed
        #: The number of the last generation that was begun: one that is abandoned has had its own.
        self._last_number = generation.number
        self._drains = Drains(members)
        self._retirements = Retirements(
            members, self._drains, events.change, lambda: self.generation.config.drain_timeout
        )
        #: Gives the config of the next generation. Raises ConfigError.
        self.read_again: Callable[[], Config] = lambda: self.generation.config
        #: Called with the config of each further generation, once it serves.
        self.on_config: Callable[[Config], object] = lambda config: None
        #: Called when a reload begins, and when it has ended, however, unless the server stops.
        self.on_reloading: Callable[[], None] = lambda: None
        self.on_reloaded: Callable[[], None] = lambda: None
        #: The last ones, which may be under way.
        self._reload: Reload | None = None
        self._scale: Scale | None = None
        #: Reloads before the last, which have stalled or are about to end what is old.
        self._earlier: list[Reload] = []
        #: What makes those that are under way.
        self._running: list[gevent.Greenlet[..., None]] = []
        #: What another broker has left under way, until it goes on here.
        self._left = Server()

    # ---- what is asked for

    def reload_soon(self) -> bool:
        """Reload, unless that cannot be now: then the log says why. For the loop's callbacks. Returns False
        if that is because a reload is under way."""
        busy = self._is_reloading()
        try:
            self.reload()
        except ConfigError as error:
            log.error("reload: %s", error)
            return not busy
        return True

    def reload(self, drain_timeout: float | None = None) -> Reload:
        """Begin a reload, with a drain timeout of its own, if it is given, in seconds. Never blocks.

        Raises ConfigError if none can begin now.
        """
        self._check_free(reload=True)
        timeout = self.generation.config.drain_timeout if drain_timeout is None else drain_timeout
        generation = self.generation.next(self._last_number + 1, self.read_again())
        return self._begin_reload(Reload(self, generation, self._drains, self._events.change, timeout))

    def _begin_reload(self, reload: Reload) -> Reload:
        self._earlier = self._reloading
        self._reload, self._last_number = reload, reload.generation.number
        self._run(self._run_reload, reload)
        return reload

    @property
    def _reloading(self) -> list[Reload]:
        """The reloads that are under way: before the last, such as have stalled."""
        known = self._earlier if self._reload is None else [*self._earlier, self._reload]
        return [reload for reload in known if reload.under_way]

    def _is_reloading(self) -> bool:
        """Whether a reload is under way that is not stalled."""
        return not all(reload.held_for for reload in self._reloading)

    def _run(self, function: Callable[..., None], change: Reload | Scale) -> None:
        self._running = [greenlet for greenlet in self._running if not greenlet.ready()]
        self._running.append(gevent.spawn(function, change))

    def _run_reload(self, reload: Reload) -> None:
        self.on_reloading()
        try:
            reload.run()
        finally:
            self._events.put(self.changed)
            if not self._refusal() and not self._is_reloading():
                self.on_reloaded()

    def scale(self, count: int, drain_timeout: float | None = None, *, begun: bool = False) -> Scale:
        """Begin to have so many hubs, with a drain timeout of its own, if it is given, in seconds. ``begun``:
        another broker has done so.

        Raises ConfigError if that cannot be.
        """
        self._check_free()
        timeout = self.generation.config.drain_timeout if drain_timeout is None else drain_timeout
        scale = Scale(
            count,
            self._hubs,
            self.start_again,
            self._queues,
            self._members,
            self._drains,
            self._events.change,
            timeout,
        )
        scale.begin(begun=begun)
        self._scale = scale
        self.changed()
        self._run(self._run_scale, scale)
        return scale

    def _run_scale(self, scale: Scale) -> None:
        try:
            scale.run()
        finally:
            self._events.put(self.changed)

    def retire(self, process: HubProcess) -> None:
        """A hub that was told to end asks for others to be given what it has."""
        if not self._refusal():
            self._retirements.begin(process)

    def drain(self, number: int, *, undo: bool = False) -> None:
        """Have a hub give all it has to the others, and take nothing; or go on as before.

        Raises ConfigError if that cannot be.
        """
        if number >= len(self._hubs):
            raise ConfigError(f"no such hub: {number} (there are hubs 0 to {len(self._hubs) - 1})")
        self._check_free()
        hub = self._hubs[number]
        if hub.process is None or hub.process not in self._members or hub.process.stopping:
            raise ConfigError(f"hub {number} is {hub.state}")
        if undo and hub.process in self._retirements:
            pass  # it ends in any case; the next one is not drained
        elif undo:
            self._drains.undo([hub.process])
        else:
            self._drains.check_takers([hub.process])
            self._drains.begin({hub.process: ()})
        hub.drained = not undo
        self.changed()

    def _check_free(self, *, reload: bool = False) -> None:
        """``reload``: for one, which may replace one that has stalled. Raises ConfigError if it is not."""
        if self._is_reloading() or (self._reloading and not reload):
            raise ConfigError("a reload is under way already")
        if self._scale is not None and self._scale.under_way:
            raise ConfigError("a scale is under way already")
        if why := self._refusal():
            raise ConfigError(why)

    def close(self) -> None:
        """The server stops: what is under way goes no further."""
        gevent.killall(self._running, block=False)
        self._retirements.close()

    # ---- what a reload does: see ReloadOwner

    def start_successors(self, generation: Generation) -> list[HubProcess]:
        processes: list[HubProcess] = []
        self._next_sources = Sources(generation)
        try:
            for hub in self._hubs:
                processes.append(process := self._start(hub.id, generation, True))
                hub.others.append(process)
        except BaseException:
            for process in processes:
                process.kill()
            raise
        return processes

    def succeed(
        self, generation: Generation, processes: Sequence[HubProcess], drain_timeout: float
    ) -> dict[HubProcess, Sequence[HubProcess]]:
        self.generation, self._sources = generation, self._next_sources
        targets: dict[HubProcess, Sequence[HubProcess]] = {}
        for process in processes:
            targets.update((old, [process]) for old in self._replace(process))
        for reload in self._earlier:
            reload.replaced(generation)
        self._members.join(processes)
        self._drains.begin(targets, drain_timeout)
        do_all(log, "telling of the new config", partial(self.on_config, generation.config))
        return targets

    def _replace(self, process: HubProcess) -> list[HubProcess]:
        """Make it its hub's own process. Returns those that were there before, if they are to give away what
        they have; one that was still starting ends."""
        hub = self._hubs.of(process)
        old = hub.replace(process)
        hub.others.remove(process)
        if old is not None and old.exit_code is None:
            hub.others.append(old)
            if old not in self._members:
                old.stop(0.0)
        leaving = [each for each in hub.others if each in self._members and each.exit_code is None]
        for each in leaving:
            each.draining = True  # from here on no policy moves anything to it
        # Those that a stalled reload has left too, if they are not ending.
        return [each for each in leaving if each is old or not each.stopping]

    # ---- what becomes of processes

    def start_again(self, hub: int) -> HubProcess:
        """Start a process that joins those that serve, in their generation's code, as far as that is there.

        Raises OSError or ConfigError.
        """
        process = self._start(hub, self.generation, False)
        self._sources.tell(hub)
        return process

    def takes(self, process: HubProcess, error: str) -> bool:
        """A process is ready, or, ``error``, will not be. Returns whether that concerns only what is under
        way."""
        changes = [change for change in (*self._earlier, self._reload, self._scale) if change is not None]
        concerns = any(process in change for change in changes)
        for change in changes:
            change.heard(process, error)
        return concerns

    def joined(self, process: HubProcess) -> None:
        """A hub serves again."""
        if self._hubs.of(process).drained:
            self._drains.begin({process: ()})
        else:
            self._drains.changed()

    def left(self, process: HubProcess) -> None:
        """A process has exited."""
        self._hubs.ended(process)
        self.takes(process, f"hub {process.hub} {process.describe_exit()} while it was starting")
        self._drains.changed()

    def why_leaving(self, process: HubProcess) -> str:
        """Why a process gives away what it has; "" if it does not."""
        if not process.draining:
            return ""
        if process in self._retirements:
            return f"hub {process.hub} was told to end"
        if process.generation < self.generation.number:
            return f"reload to generation {self.generation.number}"
        scale = self._scale
        if scale is not None and scale.under_way and process.hub >= scale.count:
            return f"scale to {scale.count} hub{'s' * (scale.count != 1)}"
        return f"drain of hub {process.hub}"

    # ---- what one broker leaves to the next

    def write(self, server: Server) -> None:
        """Write down what is under way, and what is served."""
        server.generation.CopyFrom(self.generation.to_message())
        server.last_generation = self._last_number
        server.drained.extend(hub.id for hub in self._hubs if hub.drained)
        if reloading := self._reloading:
            server.reload.generation.CopyFrom(reloading[-1].generation.to_message())
            server.reload.drain_timeout = reloading[-1].drain_timeout
            server.reload.successors.extend(map(written, reloading[-1].successors))
        elif self._reload is None and self._left.HasField("reload"):
            server.reload.CopyFrom(self._left.reload)
        if self._scale is not None and self._scale.under_way and self._scale.count < self._scale.before:
            server.scale.hubs, server.scale.drain_timeout = self._scale.count, self._scale.drain_timeout
        elif self._scale is None and self._left.HasField("scale"):
            server.scale.CopyFrom(self._left.scale)

    def restore(self, server: Server) -> None:
        """Know what has been served until now."""
        self.generation = Generation.from_message(server.app, server.generation)
        self._sources = Sources(self.generation)
        self._last_number, self._left = server.last_generation, server
        for hub in self._hubs:
            hub.drained = hub.id in server.drained

    def resume(self, server: Server, successors: Sequence[HubProcess]) -> None:
        """Go on with what was under way; ``successors`` are the new processes of a reload."""
        old = [each for hub in self._hubs for each in hub.others if each in self._members]
        self._drains.begin({hub.process: () for hub in self._hubs if hub.drained and hub.process is not None})
        reload = server.reload.generation.number
        begins = server.HasField("reload") and reload != self.generation.number
        if old or (server.HasField("reload") and not begins):
            self._resume_moving(server, old)
        if begins:
            self._resume_start(server, successors)
        if server.HasField("scale"):
            try:
                self.scale(server.scale.hubs, server.scale.drain_timeout, begun=True)
            except ConfigError as error:
                log.error("scale: it does not go on: %s", error)
        told = [each for each in self._members.serving if each.draining and each not in self._drains]
        self._drains.undo([each for each in told if each not in self._retirements])
        self._left = Server()

    def _resume_start(self, server: Server, successors: Sequence[HubProcess]) -> None:
        generation = Generation.from_message(server.app, server.reload.generation)
        timeout = server.reload.drain_timeout
        reload = Reload(self, generation, self._drains, self._events.change, timeout, started=successors)
        if {each.hub for each in successors if each.ready} == {hub.id for hub in self._hubs}:
            self._next_sources = Sources(generation)
            self._begin_reload(reload)
        else:
            self._earlier, self._reload = self._reloading, reload
            reload.give_up("the broker ended before all its hubs were ready")

    def _resume_moving(self, server: Server, old: Sequence[HubProcess]) -> None:
        """The new generation serves; the old one has not ended."""
        timeout = self.generation.config.drain_timeout
        if server.HasField("reload"):
            timeout = server.reload.drain_timeout
        own = {each: self._hubs.of(each).process for each in old}
        targets = {each: () if to is None else (to,) for each, to in own.items()}
        self._drains.begin(targets, timeout)
        self._begin_reload(Reload(self, self.generation, self._drains, self._events.change, timeout, old=old))

    # ---- what is told of it

    def rows(self) -> list[dict[str, Any]]:
        """What ``actorrpc status --json`` has under ``hubs``."""
        return self._hubs.rows(self._drains.empty)

    def status(self) -> dict[str, Any] | None:
        """What ``actorrpc status --json`` has under ``reload``: of the last one, or None."""
        return self._reload.status() if self._reload is not None else None

    def scale_status(self) -> dict[str, Any] | None:
        """The same under ``scale``."""
        return self._scale.status() if self._scale is not None else None

    def __repr__(self) -> str:
        under_way = f"{self._drains!r}, {self._reload!r}, {self._scale!r}, {self._retirements!r}"
        return f"<Deployment of generation {self.generation.number}, {under_way}>"
