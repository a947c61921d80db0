"""Hubs, their brokers one after the other, an operator and bad luck, as a model whose steps can be chosen.

The real ``Supervisor`` with all that belongs to it, ``Inheritance``, ``Adoption`` and ``Record`` are used;
hubs are fakes that remember what they were told. So a broker can be killed between any two things that it
does: before each message to a hub, before and after each write of its record. ``expected`` is the reference.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import combinations, count
from typing import Any

import pytest
from gevent import get_hub

from actorrpc.errors import ConfigError
from actorrpc.ipc.hello import Hello
from actorrpc.ipc.queues import address_of
from actorrpc.net.listening import Bound
from actorrpc.pb.control_pb2 import Directory as ActorHomes
from actorrpc.pb.control_pb2 import Homes
from tests.broker.life.broker import HUBS, START_TIMEOUT, Broker
from tests.broker.life.expected import Expected
from tests.broker.life.processes import DRAIN_TIMEOUT, BrokerKilled, Hub, LinkEnd
from tests.broker.life.surroundings import ADDRESSES, Directory, Sockets, surround
from tests.broker.life.virtual_time import FIRST_FAKE, VirtualTime

__all__ = ["PLACES", "World"]

Steps = dict[str, Callable[[], Any]]

MOST_HUBS = 3
#: Of one hub.
MOST_CONNECTIONS = 2
#: Where in what it is about to do a broker is killed, or a hub dies under it.
PLACES = (1, 2, 3, 4, 5, 7, 9, 12, 16, 21)
#: Seconds after which everything has come to rest that does so by itself.
REST = 40
#: Rounds in which it must.
TOO_MANY = 600


class World:
    def __init__(self, accept: str = "reuseport") -> None:
        self.accept = accept
        self.clock = VirtualTime(BrokerKilled)
        self.hello = Hello.own().to_message()
        self.sockets = Sockets()
        self.serials, self.fds = count(1001), count(3 * FIRST_FAKE)
        #: What a broker is about to send, by descriptor.
        self.ends: dict[int, LinkEnd] = {}
        self.hubs: list[Hub] = []
        self.brokers: list[Broker] = []
        self.disk_is_full = False
        #: The operator has stopped the server.
        self.stopping = False
        self.expected = Expected()
        #: What happens after so many more things that a broker does.
        self._trap: tuple[int, Callable[[], object]] | None = None
        #: The home of each slot in each of its terms, as any hub has heard.
        self._terms: dict[tuple[int, int], int] = {}
        #: By version, the homes of keyed actors.
        self.directories: dict[int, ActorHomes] = {}
        self._handing_over = False
        #: All that has happened, for people; and, behind "#", where in a broker's doings it was.
        self.program: list[str] = []
        self.failures: list[BaseException] = []

    # ---- who is there

    @property
    def broker(self) -> Broker:
        """The last one."""
        return self.brokers[-1]

    @property
    def served(self) -> Broker | None:
        """The one that lives, and has all hubs."""
        return self.broker if self.brokers and self.broker.alive and self.broker.ready else None

    @property
    def living(self) -> list[Hub]:
        return [hub for hub in self.hubs if hub.alive]

    def hub(self, serial: int) -> Hub:
        return next(hub for hub in self.hubs if hub.serial == serial)

    def lend(self, fd: int) -> Any:
        """What a hub gets with a message."""
        if (end := self.ends.get(fd)) is None:
            return self.sockets.open[fd].kernel
        end.given = True
        return end

    def listen_again(self, bound: Bound) -> None:
        """As ``open_again``."""
        number = ADDRESSES.index(bound.text)
        if any(address_of(queue) == number for hub in self.living for queue in hub.offers):
            raise ConfigError(f"cannot listen on {bound.text} again: address already in use")
        again: Any = self.sockets.another()
        bound.sockets = [again]

    # ---- what befalls them

    def step_of(self, broker: Broker, where: str) -> None:
        """A broker is about to do something that others see. Raises BrokerKilled if it never does."""
        if not broker.alive:
            raise BrokerKilled
        if self._trap is not None:
            left, action = self._trap
            self._trap = (left - 1, action) if left > 1 else None
            if self._trap is None:
                self.program.append(f"# {where}")
                action()
                if not broker.alive:
                    raise BrokerKilled

    def _after(self, steps: int, action: Callable[[], object]) -> None:
        self._trap = steps, action

    def kill_broker(self) -> None:
        broker = self.broker
        if broker.alive:
            self.sockets.open.clear()
            self.gone(broker)

    def gone(self, broker: Broker) -> None:
        """A broker's process has ended."""
        broker.alive = False
        self.clock.clear()
        for hub in self.living:
            for control in (hub.control, *hub.calls):
                if control is not None and control.broker is broker:
                    control.close()
        broker.end_greenlets()
        if not self.living:
            self.directory.clear()

    def begin_anew(self) -> None:
        """A broker finds nothing to take over."""
        assert not self.living
        self.stopping = False
        self._terms.clear()
        self.directories.clear()
        self.expected.begin_anew()

    def ended(self, hub: Hub) -> None:
        """A process has ended."""
        self.clock.readable(FIRST_FAKE + hub.serial)
        if hub.control is not None:
            hub.control.end()

    def _die(self, hub: Hub) -> None:
        self.expected.spoilt(hub)
        hub.die(-9)

    @contextmanager
    def watched(self, what: str) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            error.add_note(what) if hasattr(error, "add_note") else None
            self.failures.append(error)

    # ---- what may never be

    def check_directory(self, hub: Hub, directory: ActorHomes) -> None:
        """What a hub hears of the homes of keyed actors: one version is one for all."""
        before = hub.directory.version
        assert directory.version > before, f"{hub} hears of {directory.version} after {before}"
        known = self.directories.setdefault(directory.version, directory)
        assert known == directory, f"two are {directory.version}"

    def check_homes(self, hub: Hub, homes: Homes) -> None:
        """What a hub hears of homes."""
        before = hub.homes
        assert homes.version > before.version, f"{hub} hears of {homes.version} after {before.version}"
        origins = {slot: origin.hub for origin in homes.origins for slot in origin.slots}
        was = {slot: origin.hub for origin in before.origins for slot in origin.slots}
        for slot, (home, term) in enumerate(zip(homes.homes, homes.terms, strict=True)):
            known = self._terms.setdefault((slot, term), home)
            assert known == home, f"slot {slot} has the homes {known} and {home} in term {term}"
            if before.version and before.homes[slot] != home:
                self._check_leaving(slot, before, home, origins.get(slot), was.get(slot))
        if not before.version:
            self.expected.joins(self, hub)

    def _check_leaving(
        self, slot: int, before: Homes, home: int, origin: int | None, was: int | None
    ) -> None:
        former = self.hub(before.homes[slot])
        if not former.alive:
            return
        assert origin == former.serial, f"slot {slot} leaves {former} for {home}, and {origin} hands it over"
        if was is not None and self.hub(was).alive:
            assert before.terms[slot] in former.settled, f"slot {slot} leaves {former} before it has come"

    def check_stop(self, hub: Hub) -> None:
        """Who has connections that could go somewhere is given the time for that."""
        since = min(hub.drained_since, hub.told_to_end)
        drained = self.clock.now - since if hub.resting else 0.0
        balanced = {process.serial for process in self.broker.supervisor.members.balanced} - {hub.serial}
        long_ago = self.clock.now - DRAIN_TIMEOUT
        others = [
            each
            for each in self.living
            if each.able and each.serial in balanced and each.serves_since <= long_ago
        ]
        takers = [
            each
            for each in self.hubs
            if each.serial in balanced or each.ended == self.clock.now  # nobody can know that yet
        ]
        if hub.resting and not (self.stopping or hub.retiring):
            assert takers, f"{hub} is ended, and nobody is there to take what it has"
        if hub.connections and others and self.clock.now - hub.woke > DRAIN_TIMEOUT and not self.stopping:
            assert drained >= DRAIN_TIMEOUT, f"{hub} is ended with its connections after {drained} s"

    def after(self) -> None:
        """After each step."""
        self.clock.idle()
        if self._handing_over and not self.broker.alive:
            self._handing_over = False
            self.start_broker()
            self.clock.idle()
        for broker in self.brokers:
            if broker.error is not None:
                raise broker.error
        if self.failures:
            raise self.failures[0]
        if (served := self.served) is not None:
            current = [process.hub for process in served.supervisor.members.balanced]
            assert len({*current}) == len(current), f"two current processes of one hub: {current}"

    # ---- what an operator does

    def start_broker(self) -> None:
        self.expected.broker_comes(self)
        self.brokers.append(broker := Broker(self))
        broker.start()

    def _stop(self) -> None:
        self.stopping = True
        self.expected.stops()
        self.broker.supervisor.stop_soon()

    def _reload(self) -> None:
        deployment = self.broker.supervisor.deployment
        generation = deployment._last_number + 1
        self.expected.reloads(generation)
        if self.broker.ask(deployment.reload) != "done":
            self.expected.reloads_not(generation)

    def _drain(self, number: int, undo: bool) -> None:
        broker = self.broker
        answer = broker.change(lambda: broker.supervisor.deployment.drain(number, undo=undo))
        self.expected.drains(broker, number, not undo, answer)

    def _scale(self, count: int) -> None:
        broker = self.broker
        before = len(broker.supervisor.hubs)
        answer = broker.change(lambda: broker.supervisor.deployment.scale(count))
        self.expected.scales(before, count, answer)

    def _take_over(self) -> None:
        self._handing_over = self.broker.change(self.broker.supervisor.hand_over) == "done"

    # ---- steps

    def steps(self) -> Steps:
        """What goes on by itself."""
        steps: Steps = {
            "a second passes": partial(self._pass, 1),
            "half a minute passes": partial(self._pass, 30),
        }
        for hub in self.living:
            steps.update({f"{hub.serial} {what}": step for what, step in self._steps_of(hub)})
        return steps

    def _steps_of(self, hub: Hub) -> Iterator[tuple[str, Callable[[], Any]]]:
        if hub.hangs:
            yield "speaks again", partial(self._speak, hub)
            return
        if hub.told and not hub.ready:
            yield "is ready", hub.become_ready
        if hub.can_settle():
            yield "has its slots", hub.settle
        if hub.connections and hub.takers():
            yield "has moved all", hub.move_all
        if hub.stopping:
            yield "ends", partial(hub.die, 0)

    def wishes(self) -> Steps:
        """What clients and the operator do."""
        steps: Steps = {
            f"clients come to {hub.serial}": partial(self._connect, hub)
            for hub in self.living
            if hub.able and hub.connections < MOST_CONNECTIONS
        }
        if not (self.brokers and self.broker.alive):
            steps["a broker starts"] = self.start_broker
        elif self.served:
            steps["stop"] = self._stop
            steps["reload"] = self._reload
            steps["another broker takes over"] = self._take_over
            for count in range(1, MOST_HUBS + 1):
                steps[f"scale {count}"] = partial(self._scale, count)
            for number in range(len(self.broker.supervisor.hubs)):
                steps[f"drain {number}"] = partial(self._drain, number, False)
                steps[f"drain {number} --undo"] = partial(self._drain, number, True)
        if self.disk_is_full:
            steps["the disk has room"] = partial(setattr, self, "disk_is_full", False)
        return steps

    def chaos(self) -> Steps:
        """What is not wished for."""
        steps: Steps = {}
        for one, other in combinations(self.living, 2):
            if one.linked(other):
                steps[f"the link of {one.serial} and {other.serial} breaks"] = one.links[other.serial].end
        for hub in self.living:
            steps[f"{hub.serial} dies"] = partial(self._die, hub)
            steps[f"{hub.serial} is told to end"] = partial(self._terminate, hub)
            if not hub.hangs:
                steps[f"{hub.serial} hangs"] = partial(self._hang, hub)
            if not hub.ready and not hub.hangs and hub.told:
                steps[f"{hub.serial} cannot start"] = partial(self._fail, hub)
        if self.brokers and self.broker.alive:
            steps["the broker is killed"] = self.kill_broker
            for place in PLACES:
                steps[f"the broker will be killed at {place}"] = partial(self._after, place, self.kill_broker)
                for hub in self.living:
                    what = f"{hub.serial} will die at {place}"
                    steps[what] = partial(self._after, place, partial(self._die, hub))
        if not self.disk_is_full:
            steps["the disk is full"] = self._fill_disk
        return steps

    def _pass(self, seconds: int) -> None:
        for _ in range(2 * seconds):
            for hub in self.living:
                hub.beat()
                if not hub.ready and self.clock.now - hub.born >= START_TIMEOUT - 1:
                    self.expected.spoilt(hub)
            self.clock.idle()
            self.clock.advance(0.5)
            self.expected.passes(self, 0.5)

    def _connect(self, hub: Hub) -> None:
        hub.connections += 1
        hub.report()

    def _speak(self, hub: Hub) -> None:
        hub.hangs, hub.woke = False, self.clock.now
        hub.notice_broken()
        hub.report()
        hub.wake()
        for _ in range(hub.untold):
            hub.terminate()
        hub.untold = 0

    def _hang(self, hub: Hub) -> None:
        self.expected.spoilt(hub)
        hub.hangs, hub.asked = True, None

    def _fail(self, hub: Hub) -> None:
        self.expected.spoilt(hub)
        hub.become_ready("no such module")

    def _terminate(self, hub: Hub) -> None:
        self.expected.spoilt(hub)
        hub.terminate()

    def _fill_disk(self) -> None:
        self.expected.disk_was_full = self.disk_is_full = True

    def possible(self) -> Steps:
        return self.steps() | self.wishes() | self.chaos()

    @property
    def steps_taken(self) -> list[str]:
        return [name for name in self.program if not name.startswith("#")]

    def run(self, *names: str) -> None:
        for name in names:
            step = self.possible()[name]
            self.program.append(name)
            step()
            self.after()

    def boot(self) -> None:
        """Have the first hubs serve."""
        self.run("a broker starts", *[f"{1001 + hub} is ready" for hub in range(HUBS)])

    # ---- the end

    def settle(self) -> None:
        """Let everything go on that can, until it has done nothing for long."""
        self._trap = None
        quiet = 0
        for _ in range(TOO_MANY):
            steps = [step for name, step in self.steps().items() if not name.endswith("passes")]
            for step in steps:
                step()
                self.clock.idle()
            before = self._state()
            self._pass(1)
            self.after()
            quiet = 0 if steps or before != self._state() else quiet + 1
            if quiet > REST:
                return
        raise AssertionError("it does not come to rest")

    def _state(self) -> object:
        hubs = [(hub.serial, hub.homes.version, hub.stopping, hub.resting) for hub in self.living]
        return hubs, len(self.brokers), self.broker.alive

    def have_a_broker(self) -> None:
        """With room on the disk, start one if there is none; if it may not take over what is there, begin
        anew."""
        self.disk_is_full = False
        if not self.brokers:
            self.start_broker()
        for _ in range(3):
            self.settle()
            if self.served is not None:
                return
            assert not self.broker.alive, "it is not ready, and all is at rest"
            able = [hub for hub in self.living if hub.able]
            self._check_accepted(set().union(*(hub.sockets for hub in able)))
            refused = self.broker.refusal
            if refused and self.living:
                assert self.expected.may_refuse(refused), refused
            if refused and self.living and "is missing" in refused:
                for hub in self.living:  # `actorrpc stop`, where there is no broker
                    hub.die(-9)
            self.start_broker()
            self.after()
        self.settle()
        assert self.served is not None, self.broker.refusal

    def finish(self) -> None:
        """Come to rest, with a broker; look; then stop."""
        self.have_a_broker()
        self.check()
        self._stop()
        self.settle()
        assert not self.living and not self.broker.alive, "all is stopped"
        assert not self.sockets.open

    def check(self) -> None:
        """At rest: all serve, and nobody waits for anything."""
        broker = self.broker
        supervisor = broker.supervisor
        own: list[Any] = [slot.process for slot in supervisor.hubs]
        assert None not in own, f"a hub has no process: {supervisor!r}"
        serials = sorted(process.serial for process in own)
        assert serials == [hub.serial for hub in self.living], f"{supervisor!r} has not {self.living}"
        assert serials == sorted(process.serial for process in supervisor.members.serving)
        for one, other in combinations(self.living, 2):
            assert one.linked(other) and other.linked(one), f"{one} and {other} have no link"
            assert one.links[other.serial] is other.links[one.serial]
        assert {hub.generation for hub in self.living} == {supervisor.deployment.generation.number}
        assert not any(hub.stopping or hub.retiring for hub in self.living), "those have ended"
        self.expected.check(self)
        self._check_homes_at_rest()
        self._check_queues()

    def _check_homes_at_rest(self) -> None:
        homes = self.broker.supervisor.members.homes
        heard = {(*hub.homes.homes, *hub.homes.terms) for hub in self.living}
        assert heard == {(*homes.homes, *homes.terms)}, "all have heard the same"
        assert not homes.origins, "all slots have come"
        able = {hub.serial for hub in self.living if not hub.resting} or {hub.serial for hub in self.living}
        assert {*homes.homes} <= able
        directory = self.broker.supervisor.members.directory
        assert directory.version
        assert all(hub.directory == directory for hub in self.living), "all have heard the same"
        assert {*directory.homes} <= able and not directory.silent

    def _check_queues(self) -> None:
        kept = self.broker.supervisor._queues._sockets.values()
        assert sorted(map(id, kept)) == sorted(map(id, self.sockets.open.values())), (
            "no descriptor is left over"
        )
        held = {sock.kernel for sock in self.sockets.open.values()}
        self._check_accepted(held.union(*(hub.sockets for hub in self.living)))

    def _check_accepted(self, held: set[int]) -> None:
        """Somebody accepts from these sockets, if anybody can."""
        accepted = {kernel for hub in self.living if hub.able for kernel in hub.listeners.values()}
        if any(hub.able for hub in self.living):
            assert held <= accepted, f"nobody accepts from {held - accepted}"

    # ---- around it

    def __enter__(self) -> World:
        self._patches = pytest.MonkeyPatch()
        self.directory = Directory(self, tempfile.mkdtemp(prefix="life-"))
        self.clock.__enter__()
        self._patches.setattr(get_hub(), "NOT_ERROR", (*get_hub().NOT_ERROR, BrokerKilled))
        surround(self, self._patches)
        self._log = _Crashes(self.failures)
        logging.getLogger("actorrpc").addHandler(self._log)
        return self

    def __exit__(self, *error: object) -> None:
        if self.brokers:
            self.kill_broker()
            self.clock.idle()
        logging.getLogger("actorrpc").removeHandler(self._log)
        self._patches.undo()
        self.clock.__exit__()
        shutil.rmtree(self.directory.path)


class _Crashes(logging.Handler):
    """What the broker logs as an error of its own."""

    def __init__(self, failures: list[BaseException]) -> None:
        super().__init__(logging.ERROR)
        self._failures = failures

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self._failures.append(record.exc_info[1])
