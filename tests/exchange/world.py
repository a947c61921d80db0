"""All hubs, their links, their broker and who calls, as a model in which each step can be chosen.

Real are the exchange, the activations, their turns, the directory with its files, and moves of actors. Links,
processes, timers and callers are fakes, so that messages come in any order between links, links break and are
made again, hubs die, and actors and callers move at any step.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gevent
import pytest

from actorrpc.hub.actors import schedule
from actorrpc.hub.exchange.exchange import ORPHANS
from actorrpc.ipc.directory_files import JOURNAL
from tests.exchange.callers import Caller
from tests.exchange.clock import Clock
from tests.exchange.history import Fault, History
from tests.exchange.hubs import Hub, Link
from tests.support.long_run import Choose

__all__ = ["Choose", "World", "play"]

Steps = dict[str, Callable[[], object]]

SLOTS = 3
HUBS = 3
KEYS = ("a", "b")
#: No more processes than these, one after the other, and no more calls.
MOST = 6
MOST_CALLS = 14
TOO_MANY = 20_000
#: Which link may be slow.
SLOW = ["", *(f"{one} reads {other}" for one in range(1, HUBS + 1) for other in range(1, HUBS + 1))]
#: How often each kind of steps comes.
KINDS = [
    *["steps"] * 24,
    *["calls"] * 6,
    *["moves"] * 10,
    *["callers"] * 10,
    *["time", "misfortunes"] * 2,
    "withdrawals",
]


class World:
    """``choose`` decides what happens."""

    def __init__(self, path: Path, choose: Choose) -> None:
        self.path = path
        self.choose = choose
        self.history = History()
        self.faults: list[Exception] = []
        self.taken: list[str] = []
        self.hubs: list[Hub] = []
        self.dead: set[int] = set()
        self.callers: list[Caller] = []
        self.last = 0
        self.calls = 0
        self.version = 0
        self.moved = 0
        #: Over one link messages wait for longer than over the others.
        self.slow = self.choose("slow link", SLOW)
        #: Whether anything may still go wrong, or wait.
        self.chaos = True
        self._log = _Errors(self.faults)
        self._patch = pytest.MonkeyPatch()
        self.clock = Clock(self._patch)
        self._patch.setattr(schedule, "TURN_SLICE", 1e9)  # the same whatever the machine does
        (path / JOURNAL).touch()

    def __enter__(self) -> World:
        self._level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        logger = logging.getLogger("actorrpc")
        self._propagated, logger.propagate = logger.propagate, False
        logger.addHandler(self._log)
        for _ in range(HUBS):
            self.start()
        self.name_homes()
        self.drain()
        return self

    def __exit__(self, *_: object) -> None:
        for hub in self.hubs:
            hub.die()
        gevent.sleep(0)
        self._patch.undo()
        logger = logging.getLogger("actorrpc")
        logger.removeHandler(self._log)
        logger.propagate = self._propagated
        logging.disable(self._level)

    # ---- what hubs ask

    def blocks(self, what: str) -> bool:
        return self.chaos and self.choose("blocks", ["no"] * 5 + ["yes"]) == "yes"

    def fails(self, key: str) -> bool:
        return self.chaos and self.choose("fails", ["no"] * 9 + ["yes"]) == "yes"

    def lives(self, serial: int) -> bool:
        return serial not in self.dead

    # ---- what happens

    def steps(self) -> Steps:
        """What goes on by itself."""
        steps: Steps = {label: step for hub in self.hubs for label, step in hub.steps()}
        if self.chaos and self.slow in steps and self.choose("slow", ["waits"] * 7 + ["comes"]) == "waits":
            del steps[self.slow]
        for hub in self.hubs:
            for what in hub.blocked:
                steps[f"{hub.serial} goes on with {what}"] = partial(hub.go_on, what)
        for caller in self.callers:
            if caller.frozen and not caller.over:
                if caller.let_go:
                    steps[f"{caller.name} arrives"] = caller.arrive
                else:
                    if caller.to is not None and caller.to.alive:
                        steps[f"{caller.name} is let go"] = caller.leave
                    steps[f"{caller.name} stays"] = caller.stay
            elif caller.congested and not caller.over:
                steps[f"{caller.name} catches up"] = caller.catch_up
        for one, other in self._unlinked():
            steps[f"{one.serial} and {other.serial} are introduced"] = partial(self.introduce, one, other)
        return steps

    def time(self) -> Steps:
        timer = self.clock.next()
        if timer is None or (timer.seconds >= ORPHANS and self._under_way()):
            return {}
        return {f"time passes: {timer.seconds:.1f}": self.clock.fire}

    def _under_way(self) -> bool:
        """Whether something waits that takes no such long time."""
        return bool(self.steps())

    def _make_call(self, hub: Hub, key: str, method: str) -> None:
        self.calls += 1
        number = int(self.choose("number", ["0", "3", "6"]))
        blocks = self.choose("sleeps", ["no", "no", "yes"]) == "yes"
        Caller(hub, f"{method}{self.calls}", method, key, number, blocks)

    def call_steps(self) -> Steps:
        steps: Steps = {}
        if self.calls < MOST_CALLS:
            for hub in self.hubs:
                for key in KEYS:
                    for method in ("Post", "Recite", "Listen"):
                        label = f"{hub.serial} calls {method} of {key}"
                        steps[label] = partial(self._make_call, hub, key, method)
        return steps

    def moves(self) -> Steps:
        steps: Steps = {}
        for hub in self.hubs:
            for name, activation in hub.actors.active.items():
                for other in hub.links:
                    if activation.id not in hub.mover.handoffs.sources:
                        label = f"{name[1]} moves from {hub.serial} to {other}"
                        steps[label] = partial(self.move, hub, activation.id, other)
        return steps

    def move(self, hub: Hub, id: str, target: int) -> None:
        def done(result: Any) -> None:
            self.moved += not result.why

        hub.mover.move(id, target, done)

    def caller_steps(self) -> Steps:
        steps: Steps = {}
        for caller in self.callers:
            if caller.outgoing is None or caller.frozen or caller.over:
                continue
            if not caller.congested:
                steps[f"{caller.name} falls behind"] = caller.fall_behind
            if caller.may_move:
                for hub in self.hubs:
                    if hub is not caller.hub:
                        label = f"{caller.name} is to move from {caller.hub.serial} to {hub.serial}"
                        steps[label] = partial(caller.freeze, hub)
        return steps

    def withdrawals(self) -> Steps:
        return {
            f"{caller.name} is withdrawn": caller.withdraw
            for caller in self.callers
            if caller.outgoing is not None and not caller.frozen and not caller.over
        }

    def misfortunes(self) -> Steps:
        steps: Steps = {}
        for hub in self.hubs:
            if len(self.hubs) > 1:
                steps[f"{hub.serial} dies"] = partial(self.kill, hub)
            for serial, way in hub.links.items():
                if serial > hub.serial and not way.link.over:
                    steps[f"the link of {hub.serial} and {serial} breaks"] = partial(self.break_off, way.link)
        if len(self.hubs) < HUBS and self.last < MOST:
            steps["a hub starts"] = self.start_and_tell
        return steps

    _KINDS = {"calls": call_steps, "callers": caller_steps}

    def run(self, kind: str) -> bool:
        """Do something of a kind, if there is anything."""
        steps: Steps = self._KINDS[kind](self) if kind in self._KINDS else getattr(self, kind)()
        if steps:
            label = self.choose(kind, sorted(steps))
            self.taken.append(label)
            steps[label]()
            self.drain()
        if self.faults:
            raise self.faults[0]
        return bool(steps)

    def drain(self) -> None:
        """Have turns run, and what hubs do when the loop comes round."""
        for _ in range(4):
            gevent.sleep(0)

    # ---- misfortunes

    def kill(self, hub: Hub) -> None:
        keys = {name[1] for name in (*hub.actors.active, *hub.actors.arriving)}
        self.history.died(hub.serial, keys)
        for caller in self.callers:
            if caller.key in keys or hub.serial in caller.sent_to or caller.id in hub.exchange.answering:
                caller.excused = True
            if (caller.to if caller.let_go else caller.hub) is hub and not caller.over:
                caller.withdrawn = True
                caller.outgoing = None
        self.dead.add(hub.serial)
        self.hubs.remove(hub)
        hub.die()
        for other in self.hubs:
            if (way := other.links.get(hub.serial)) is not None:
                way.link.end()  # also one that it has not taken up
        self.name_homes()

    def break_off(self, link: Link) -> None:
        link.end(int(self.choose("keep", ["0", "1", "2", "9"])))

    # ---- the broker

    def start(self) -> Hub:
        self.last += 1
        hub = Hub(self, self.last)
        self.hubs.append(hub)
        for other in self.hubs[:-1]:
            self.introduce(hub, other)
        while hub.orders and not self.taken:
            hub.hear()
        return hub

    def start_and_tell(self) -> None:
        self.start()
        self.name_homes()

    def _unlinked(self) -> list[tuple[Hub, Hub]]:
        """Pairs without a link, also one that is about to be told of."""
        return [
            (hub, other)
            for hub in self.hubs
            for other in self.hubs
            if other.serial > hub.serial and not self._linked(hub, other)
        ]

    def _linked(self, hub: Hub, other: Hub) -> bool:
        if any(f"a link to {other.serial}" == what for what, _ in hub.orders) or any(
            f"a link to {hub.serial}" == what for what, _ in other.orders
        ):
            return True
        one, two = hub.links.get(other.serial), other.links.get(hub.serial)
        return one is not None and two is not None and one.link is two.link and not one.link.over

    def introduce(self, one: Hub, other: Hub) -> None:
        link = Link(one, other)
        one.orders.append((f"a link to {other.serial}", partial(self._join, one, other, link)))
        other.orders.append((f"a link to {one.serial}", partial(self._join, other, one, link)))

    def _join(self, hub: Hub, other: Hub, link: Link) -> None:
        if not other.alive:
            link.end()
        hub.join(other.serial, link)

    def name_homes(self) -> None:
        self.version += 1
        serials = sorted(hub.serial for hub in self.hubs)
        homes = [serials[(slot + self.version) % len(serials)] for slot in range(SLOTS)]
        for hub in self.hubs:
            what = partial(hub.directory.set_homes, self.version, homes, ())
            hub.orders.append((f"version {self.version}: {homes}", what))

    # ---- rest

    def settle(self) -> None:
        """Let all go on that goes on by itself, also with the time."""
        for _ in range(TOO_MANY):
            if not (self.run("steps") or self.run("time")):
                return
        raise Fault(f"it does not come to rest: {self.taken[-20:]}")

    def finish(self) -> None:
        """No more misfortunes: all calls end, and nothing is left of them."""
        self.chaos = False
        for _ in range(TOO_MANY):
            if not self.run("steps"):
                break
        self._check_listeners()
        for caller in self.callers:
            if not caller.over and caller.method == "Listen":
                caller.withdraw()
        self.drain()
        self.settle()
        for caller in self.callers:
            if not caller.over:
                raise Fault(f"{caller} has not ended")
        for hub in self.hubs:
            hub.check_rest()

    def _check_listeners(self) -> None:
        """Who listens hears a post that comes now."""
        for key in KEYS:
            listeners = [
                caller
                for caller in self.callers
                if caller.key == key and caller.method == "Listen" and not caller.over
            ]
            last = Caller(self.hubs[0], f"last of {key}", "Post", key, 0, False)
            self.drain()
            while self.run("steps"):
                pass
            if not last.over:
                raise Fault(f"{last} does not end")
            for caller in listeners:
                if not caller.over and (not caller.lines or caller.lines[-1].text != last.name):
                    raise Fault(f"{caller} has not heard the last post")


class _Errors(logging.Handler):
    """What is logged as an error is a fault."""

    def __init__(self, faults: list[Exception]) -> None:
        super().__init__(logging.ERROR)
        self._faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        text = logging.Formatter().format(record)
        if "its process has been killed" not in text:
            self._faults.append(Fault(f"logged: {text}"))


def play(path: Path, choose: Choose, steps: int) -> World:
    """Do so many steps, and come to rest. Where a fault shows, it is raised, with the steps as a note."""
    world = World(path, choose)
    with world:
        try:
            for _ in range(steps):
                world.run(choose("kind", KINDS))
            world.finish()
        except Exception as error:
            faults = map(str, [*world.faults, error])
            state = [*map(repr, world.hubs), *map(repr, world.callers)]
            raise AssertionError("\n".join([*world.taken, *faults, *state])) from error
    return world
