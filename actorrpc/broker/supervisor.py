"""The supervisor: it starts the hubs or takes them over, starts again those that die, and stops them all."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from gevent import get_hub

from actorrpc.broker.adoption.estate import Estate
from actorrpc.broker.adoption.inheritance import Inheritance
from actorrpc.broker.deploying.certificates import Certificates
from actorrpc.broker.deploying.deployment import Deployment
from actorrpc.broker.deploying.generation import Generation
from actorrpc.broker.deploying.launcher import Launcher
from actorrpc.broker.events import Events
from actorrpc.broker.host.runtime_dir import Claim
from actorrpc.broker.moves.journal import MoveStatistics
from actorrpc.broker.moves.places import Places
from actorrpc.broker.processes.hub_process import HubProcess
from actorrpc.broker.processes.hub_slot import HubSlot
from actorrpc.broker.processes.hub_slots import HubSlots
from actorrpc.broker.processes.restarts import Restarts
from actorrpc.broker.sharing.accept_queues import AcceptQueues
from actorrpc.broker.sharing.members import Members
from actorrpc.broker.watching.hangs import Hangs
from actorrpc.config import Config
from actorrpc.errors import ConfigError
from actorrpc.forks import guard, unguard
from actorrpc.log import about_hub as about
from actorrpc.log import tell_what_is_due
from actorrpc.loop.timers import after, every
from actorrpc.pb import control_pb2
from actorrpc.pb.record_pb2 import Server
from actorrpc.tls.handshake.serving import LOOK

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
    one by one, so that all changes are made in one place and none during another. It is the ``Owner`` of
    processes, and what may be called at any time, which makes up half of its methods, a line or two each.
    """

    def __init__(
        self,
        app: str,
        config: Config,
        claim: Claim,
        queues: AcceptQueues,
        on_moved: Callable[[int, int, control_pb2.Moved, str, int | None], None],
        move_every: int = 0,
        write: Callable[[Server], None] = lambda server: None,
    ) -> None:
        """``write(server)`` writes down what a broker after this one has to know."""
        self._on_moved = on_moved
        self._claim = claim
        self._queues = queues
        self._launcher = Launcher(claim, queues, self, move_every)
        self._announced = False
        self._stopping = False
        #: The hubs are not stopped at the end: they are another broker's, or not this one's yet.
        self._leaving = False
        #: All changes are made in these: ``events.change(function)``.
        self.events = Events()
        self.address = queues.address
        #: All that is listened on, that one first, and whether its clients speak TLS.
        self.addresses = [(bound.text, bound.tls) for bound in queues.bounds]
        self.hubs = HubSlots(queues.hubs)
        self.members = Members(queues, self._write_down, later=self._later)
        self.deployment = Deployment(
            Generation.first(app, config),
            self.hubs,
            self.members,
            self.events,
            self._start_process,
            self._why_not_now,
            queues,
            self._write_down,
        )
        #: What hubs serve TLS with.
        self.certificates = Certificates(
            any(bound.tls for bound in queues.bounds),
            lambda: self.config,
            lambda: self.deployment.generation.number,
            lambda: self.hubs.processes,
        )
        self._restarts = Restarts(lambda: self.config)
        #: For how many seconds open calls may go on when the server stops; None: as the config says.
        self._drain_timeout: float | None = None
        #: Called when the hubs are about to be stopped, with these seconds.
        self.on_stopping: Callable[[float], None] = lambda drain_timeout: None
        self.moves = MoveStatistics()
        self.places = Places()
        self.estate = Estate(
            app, self.hubs, self.members, queues, self.deployment, self._launcher, self.moves, write
        )

    def _write_down(self) -> None:
        self.estate.write_down()

    def _later(self, seconds: float, event: Callable[[], None]) -> None:
        after(seconds, self.events.put, event)

    @property
    def config(self) -> Config:
        """What the current generation was told."""
        return self.deployment.generation.config

    def status(self) -> dict[str, Any]:
        """The form of ``actorrpc status --json``."""
        return {
            "address": self.address,
            "addresses": self._queues.status(),
            "broker_pid": os.getpid(),
            "accept": self._queues.accept,
            "hubs": self.deployment.rows(),
            "moves": self.moves.summary(),
            "reload": self.deployment.status(),
            "scale": self.deployment.scale_status(),
        }

    def _why_not_now(self) -> str:
        """Why no operator can change anything; "" if one can."""
        if self._stopping:
            return "the server is stopping"
        return "" if self._announced else "the server is still starting"

    def run(self, on_ready: Callable[[], None], inheritance: Inheritance | None = None) -> None:
        """Start the hubs, or take over those that there are, call ``on_ready`` when all serve, and return
        when they have been stopped, or are another broker's.

        Raises ConfigError if a hub cannot start at first, and TooManyRestarts if hubs end more often than
        they may: then no process is left. Raises ConfigError, too, if hubs cannot be taken over: they serve
        on as before.
        """
        guard(self, get_hub())
        try:
            if inheritance is None:
                self._start_all()
            else:
                self._take_over(inheritance)
            if not self._stopping:
                on_ready()
                self._watch()
        finally:
            if self._leaving:
                self._let_go()
            else:
                self._stop_all()
            unguard(self)

    def _start_all(self) -> None:
        self.estate.write_down()  # what lives then, and is not named, has never served
        for hub in self.hubs:
            self._start(hub)
        self.events.until(lambda: self._stopping or self.hubs.all_ready)
        if not self._stopping:
            self.members.join(self.hubs.processes)
            self.members.wait_until_told()
            self._announced = self.events.outlive_errors = True

    def _watch(self) -> None:
        """Do whatever is to be done, until the end."""
        checks = [
            every(QUEUE_CHECK, self.events.put, self.members.assign_queues),
            every(LOG_CHECK, self.events.put, self.estate.write_moves),
            every(LOG_CHECK, tell_what_is_due),
            every(LOOK, self.events.put, self.certificates.look),
            Hangs(lambda: self.config, lambda: self.hubs.processes),
        ]
        try:
            self.events.until(lambda: self._stopping or self._leaving)
        finally:
            for check in checks:
                check.close()

    # ---- from one broker to the next

    def _take_over(self, inheritance: Inheritance) -> None:
        """Have the hubs that another broker has left. Until it is known that this can be, all events wait.

        Raises ConfigError if it cannot.
        """
        self._leaving = True
        self.estate.take_over(inheritance, self._claim, self)
        self._leaving = False
        self._announced = self.events.outlive_errors = True
        self.estate.go_on()
        self.certificates.succeeded()
        for hub in self.hubs:
            self._start(hub)

    def hand_over(self) -> None:
        """Leave the hubs, which serve on, to another broker. Raises ConfigError if that cannot be now. Called
        as a change."""
        if why := self._why_not_now():
            raise ConfigError(why)
        self.estate.write_down()
        self._leaving = True

    def _let_go(self) -> None:
        self.events.refuse("another broker takes the hubs over")
        self.deployment.close()
        for process in self.hubs.processes:
            process.let_go()
        self._queues.leave()

    # ---- what happens

    def forked(self) -> None:
        """Nothing to do: a child does not come back to ``run``."""

    def stop_soon(self, drain_timeout: float | None = None) -> None:
        """Stop gracefully, with a drain timeout of its own, if it is given, in seconds. This and what follows
        may be called at any time, and from the loop's callbacks."""
        self.events.put(partial(self._begin_to_stop, drain_timeout))

    def interrupt(self) -> None:
        """Stop gracefully; at once if it is stopping already."""
        self.events.put(lambda: self._kill_all() if self._stopping else self._begin_to_stop())

    def hub_ready(self, process: HubProcess, error: str) -> None:
        if not error:
            self.certificates.ready(process)
        self.events.put(partial(self._on_ready, process, error))

    def hub_settled(self, process: HubProcess, version: int) -> None:
        self.events.put(partial(self.members.settled, process, version))

    def hub_unlinked(self, process: HubProcess, serial: int, number: int) -> None:
        self.events.put(partial(self.members.broken, process, serial, number))

    def hub_stopping(self, process: HubProcess) -> None:
        self.events.put(self.members.assign_queues)

    def hub_retiring(self, process: HubProcess) -> None:
        self.events.put(partial(self.deployment.retire, process))

    def hub_adopted(self, process: HubProcess, adopted: control_pb2.Adopted, fds: tuple[int, ...]) -> None:
        if self.estate.adopted(process, adopted, fds):
            self.events.put(partial(self.estate.heard, process, adopted, fds))
            self.events.put(partial(self.certificates.taken_over, process))
        if adopted.retiring:
            self.hub_retiring(process)

    def hub_exited(self, process: HubProcess) -> None:
        self.events.put(partial(self._on_exit, process))
        self.estate.exited()

    def hub_moved(self, process: HubProcess, moved: control_pb2.Moved) -> None:
        self.moves.record(moved)
        self.places.record(moved)
        target = self._launcher.hub_of.get(moved.target)
        if target is not None:
            receiver = self.hubs.by_serial(moved.target)
            generation = None if receiver is None else receiver.generation
            cause = self.deployment.why_leaving(process)
            self._on_moved(process.hub, target, moved, cause, generation)

    def _on_ready(self, process: HubProcess, error: str) -> None:
        if not error and (error := self.members.why_not(process)):
            process.kill()
        if self.deployment.takes(process, error) or self._stopping:
            return
        hub = self.hubs.slot_of(process)
        if hub is None or hub.leaving or process is not hub.process or process in self.members:
            return  # it has been replaced; or it was among the first, which are joined together
        if error and not self._announced:
            raise ConfigError(error, process.trace)
        if error:
            extra = about(process.hub) | {"detail": process.trace}
            log.error("hub %d cannot start: %s", process.hub, error, extra=extra)
        elif self._announced and process.exit_code is None:
            self.members.join([process], share=True)
            self.deployment.joined(process)
            log.info("hub %d serves again (pid %d)", process.hub, process.pid, extra=about(process.hub))

    def _on_exit(self, process: HubProcess) -> None:
        hub, how = self.hubs.slot_of(process), process.describe_exit()
        if self._stopping:
            return
        if not self._announced:
            raise ConfigError(f"hub {process.hub} {how} while it was starting")
        is_successor = process.generation > self.deployment.generation.number  # the reload tells of it
        if not (process.stopping or is_successor) or (hub is not None and process is hub.process):
            level = logging.INFO if process.obeyed else logging.WARNING
            log.log(level, "hub %d (pid %d) %s", process.hub, process.pid, how, extra=about(process.hub))
        self.members.leave(process)
        self.deployment.left(process)
        if hub is not None and process in hub.others:
            hub.others.remove(process)
        elif hub is not None and not hub.leaving:
            if not process.obeyed:
                self._restarts.count(time.monotonic(), f"hub {hub.id} {how}")
            self._start_later(hub)

    def _begin_to_stop(self, drain_timeout: float | None = None) -> None:
        if not self._stopping:
            self._drain_timeout = drain_timeout
        self._stopping = True

    def _start(self, hub: HubSlot) -> None:
        """Start the hub's next process. Raises ConfigError at first; later it is tried again."""
        if self._stopping or hub.leaving or hub.process is not None:
            return  # it is to go, or a reload has given it a process meanwhile
        hub.restarts += 1
        try:
            if self._announced:
                hub.follow(self.deployment.start_again(hub.id))
            else:
                hub.follow(self._start_process(hub.id, self.deployment.generation))
        except (OSError, ConfigError) as error:
            if not self._announced:
                raise ConfigError(f"cannot start hub {hub.id}: {error}") from error
            log.error("cannot start hub %d: %s", hub.id, error, extra=about(hub.id))
            self._restarts.count(time.monotonic(), f"hub {hub.id} cannot start: {error}")
            self._start_later(hub)

    def _start_process(self, hub: int, generation: Generation, aside: bool = False) -> HubProcess:
        """Start a process, and see to it that it has started in time; ``aside`` as in ``Launcher.start``.

        Raises OSError or ConfigError.
        """
        process = self._launcher.start(hub, generation, aside=aside)
        if timeout := generation.config.start_timeout:
            after(timeout, self.events.put, partial(self._check_started, process, timeout))
        return process

    def _check_started(self, process: HubProcess, timeout: float) -> None:
        """The process has had its time to start. Raises ConfigError at first."""
        if process.ready or process.exit_code is not None or self._stopping:
            return
        late = f"hub {process.hub} still does not serve after {timeout:g} s (--start-timeout)"
        if not self._announced:
            raise ConfigError(late)
        self.deployment.takes(process, late)
        log.error("%s: killed", late, extra=about(process.hub))
        process.kill()

    def _start_later(self, hub: HubSlot) -> None:
        delay = hub.next_start()
        log.info("hub %d starts again in %.1f s", hub.id, delay, extra=about(hub.id))
        after(delay, self.events.put, partial(self._start, hub))

    def _stop_all(self) -> None:
        self._stopping = self.events.outlive_errors = True
        self.events.refuse("the server is stopping")
        self.deployment.close()
        drain_timeout = self.config.drain_timeout if self._drain_timeout is None else self._drain_timeout
        self.on_stopping(drain_timeout)
        # From now on the kernel refuses connections that no hub would accept any more.
        self._queues.close()
        drain_timeout = drain_timeout if self._announced else 0.0
        for process in self.hubs.processes:
            process.stop(drain_timeout)
        if not self.events.until(lambda: not self.hubs.processes, drain_timeout + GRACE):
            log.warning("killing hubs that do not stop: %s", self.hubs.processes)
            self._kill_all()
            self.events.until(lambda: not self.hubs.processes)

    def _kill_all(self) -> None:
        for process in self.hubs.processes:
            process.kill()

    def __repr__(self) -> str:
        state = "stopping" if self._stopping else "running" if self._announced else "starting"
        return f"<Supervisor of {self.address} {state}: {self.hubs}>"
