"""Processes with directories, their links and their broker, as a model in which each step can be chosen.

The real ``Directory`` is used, on real files. Processes, links and the broker are fakes, so that a test can
deliver in any order between links, break them, tell processes of new homes at different times, and kill or
stop processes: also before and after each write to a file. While one is stopped there, the others go on, so
that what it has in hand is out of date when it does. A disk may be full at any write.

Who believes to own a key is known here at each moment, and must be one process at most.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from actorrpc.errors import RpcError
from actorrpc.hub.directory import directory, files, store
from actorrpc.hub.directory.directory import NOWHERE, Directory, Location, Name
from actorrpc.ipc.directory_files import JOURNAL
from actorrpc.pb.control_pb2 import HubToHub
from tests.support.long_run import Choose

Steps = dict[str, Callable[[], object]]

SLOTS = 3
NAMES: list[Name] = [("s", "a"), ("s", "b"), ("s", "c"), ("s", "d")]
HUBS = 3
#: No more processes than these, one after the other.
MOST = 7
#: More steps than this and it does not come to rest.
TOO_MANY = 5000
#: How often each kind of steps comes.
KINDS = ["steps"] * 10 + ["wishes"] * 8 + ["orders"] * 2 + ["misfortunes"] * 2
#: How many processes may be stopped in the middle of a write at once.
DEEPEST = 2


class Killed(BaseException):
    """The process has been killed where it is."""


class Found:
    """A find that has not been answered."""

    def __init__(self, hub: Hub, name: Name) -> None:
        self.hub = hub
        self.name = name
        self.result: Location | RpcError | None = None


class Link:
    """One connection of two processes, with what is under way in both directions."""

    def __init__(self, one: Hub, other: Hub) -> None:
        self.inbox: dict[int, deque[HubToHub | None]] = {one.serial: deque(), other.serial: deque()}
        #: It takes nothing more; what has come can be read.
        self.over = False

    def end(self, keep: int = 1 << 20) -> None:
        """Both sides will read so much more, and then its end."""
        if not self.over:
            self.over = True
            for inbox in self.inbox.values():
                while len(inbox) > keep:
                    inbox.pop()
                inbox.append(None)


class Hub:
    """One process."""

    def __init__(self, world: World, serial: int) -> None:
        self.world = world
        self.serial = serial
        self.alive = True
        self.stopped = False
        #: What it owns, and what it has asked to be another's: it does nothing with that.
        self.owned: dict[Name, int] = {}
        self.moving: dict[Name, int] = {}
        #: What it has been told of actors on their way to it, and will look whether they are its.
        self.coming: list[tuple[Name, Location]] = []
        self.finds: set[Found] = set()
        #: The links that it uses, by serial.
        self.links: dict[int, Link] = {}
        #: What the broker has said and it has not heard.
        self.orders: deque[tuple[str, Callable[[], object]]] = deque()
        with world.running(self):
            self.directory = Directory(serial, self._send, str(world.path))
        assert not self.directory.unusable, self.directory.unusable

    @property
    def runs(self) -> bool:
        return self.alive and not self.stopped and self not in self.world.stack

    def _send(self, serial: int, message: HubToHub) -> None:
        link = self.links.get(serial)
        if self.alive and link is not None and not link.over:
            link.inbox[serial].append(HubToHub.FromString(message.SerializeToString()))

    # ---- what it does

    def steps(self) -> Iterator[tuple[str, Callable[[], object]]]:
        for serial, link in self.links.items():
            if link.inbox[self.serial]:
                yield f"{self.serial} reads {serial}", partial(self.read, serial, link)
        if self.orders:
            yield f"{self.serial} hears the broker: {self.orders[0][0]}", self.hear
        waits = any(each.asked is None for each in self.directory._questions._open.values())
        store: Any = self.directory._store
        if store._said or (waits and self.world.chaos):
            yield f"{self.serial} asks again", self.directory.retry
        for name, location in self.coming:
            yield f"{self.serial} looks for {name[1]} on its way", partial(self.look_for, name, location)

    def wishes(self) -> Iterator[tuple[str, Callable[[], object]]]:
        for name in NAMES:
            yield f"{self.serial} finds {name[1]}", partial(self.find, name)
            yield f"{self.serial} finds {name[1]} elsewhere", partial(self.find, name, may_own=False)
            if name in self.owned:
                yield f"{self.serial} releases {name[1]}", partial(self.release, name)
                for hub in self.world.hubs:
                    if hub is not self:
                        step = partial(self.transfer, name, hub.serial)
                        yield f"{self.serial} transfers {name[1]} to {hub.serial}", step

    def read(self, serial: int, link: Link) -> None:
        message = link.inbox[self.serial].popleft()
        if message is not None:
            self.directory.receive(serial, message)
        elif self.links.get(serial) is link:
            del self.links[serial]
            self.directory.unlinked(serial)

    def hear(self) -> None:
        _, order = self.orders.popleft()
        order()

    def join(self, serial: int, link: Link) -> None:
        """Take a link, which replaces an earlier one: that is read first."""
        old = self.links.get(serial)
        while old is not None and old.inbox[self.serial]:
            if (message := old.inbox[self.serial].popleft()) is not None:
                self.directory.receive(serial, message)
        if old is not None:
            old.end()
        self.links[serial] = link
        self.directory.linked(serial)

    def find(self, name: Name, may_own: bool = True, stale: Location | None = None) -> None:
        found = Found(self, name)
        self.finds.add(found)
        done = self.world.noted(partial(self._found, found))
        self.directory.find(name, done, may_own=may_own, stale=stale)

    def look_for(self, name: Name, location: Location) -> None:
        self.coming.remove((name, location))
        self.find(name, stale=location)

    def release(self, name: Name) -> None:
        self.directory.release(name, self.owned.pop(name))

    def transfer(self, name: Name, to: int) -> None:
        epoch = self.moving[name] = self.owned.pop(name)
        done = self.world.noted(partial(self._transferred, name, epoch, to))
        self.directory.transfer(name, epoch, to, done)

    def _found(self, found: Found, result: Location | RpcError) -> None:
        if not self.alive:
            return
        assert found in self.finds, f"{found.name} is found twice"
        self.finds.discard(found)
        found.result = result
        assert result != NOWHERE
        if isinstance(result, Location) and result.hub == self.serial:
            self._own(found.name, result.epoch)

    def _own(self, name: Name, epoch: int) -> None:
        assert name not in self.moving, f"{self.serial} owns {name} that it gives away"
        if name not in self.owned:
            last = self.world.epochs.get(name, 0)
            assert epoch > last, f"{self.serial} owns {name} with {epoch:x}, and somebody did with {last:x}"
        else:
            assert self.owned[name] == epoch
        self._have(name, epoch)

    def _have(self, name: Name, epoch: int) -> None:
        self.owned[name] = self.world.epochs[name] = epoch
        owners = [hub.serial for hub in self.world.hubs if name in hub.owned]
        assert owners == [self.serial], f"{owners} own {name}"

    def _transferred(self, name: Name, epoch: int, to: int, result: Location | RpcError) -> None:
        if not self.alive:
            return
        assert self.moving.pop(name) == epoch
        if isinstance(result, RpcError):
            self._have(name, epoch)
            return
        assert result.hub != self.serial
        for hub in self.world.hubs:
            if hub.serial == to:
                hub.coming.append((name, Location(self.serial, epoch)))

    # ---- its end

    def die(self) -> None:
        self.alive = False
        self.world.hubs.remove(self)
        self.owned.clear()
        for link in self.links.values():
            link.end()
        # As the kernel does; nothing is left for what the process had in hand.
        self.directory.close()


class World:
    """All processes, and the broker. ``choose`` decides what happens."""

    def __init__(self, path: Path, choose: Choose, *, chaos: bool = True) -> None:
        self.path = path
        self.choose = choose
        #: Whether writes are places where something happens.
        self.chaos = chaos
        (path / JOURNAL).touch()
        self.hubs: list[Hub] = []
        #: Those that are in the middle of a write, or run in this moment.
        self.stack: list[Hub] = []
        #: The last epoch with which anybody has owned a key.
        self.epochs: dict[Name, int] = {}
        self.last = 1000
        self.version = 0
        self.homes: list[int] = []
        self.broker = True
        self.taken: list[str] = []
        #: What has been wrong in what the directory has called, which outlives errors there.
        self.faults: list[AssertionError] = []
        self._patch = pytest.MonkeyPatch()
        self._make_small()
        for _ in range(HUBS):
            self.start()
        self.name_homes(even=True)

    def _make_small(self) -> None:
        for module, name, value in (
            (store, "MIN_ENTRIES", 6),
            (store, "MAX_GARBAGE", 2),
            (directory, "MAX_REMEMBERED", 2),
            (directory, "MAX_EARLY", 2),
        ):
            self._patch.setattr(module, name, value)
        for name in ("append", "replace", "size_of"):
            self._patch.setattr(files, name, partial(self._at_file, name, getattr(files, name)))

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        for hub in [*self.hubs]:
            hub.die()
        self._patch.undo()

    # ---- what happens

    class _Running:
        def __init__(self, world: World, hub: Hub) -> None:
            self.world, self.hub = world, hub

        def __enter__(self) -> None:
            self.world.stack.append(self.hub)

        def __exit__(self, kind: object, *_: object) -> bool:
            assert self.world.stack.pop() is self.hub
            return kind is Killed

    def running(self, hub: Hub) -> _Running:
        return self._Running(self, hub)

    def steps(self) -> Steps:
        """What goes on by itself."""
        return {
            label: partial(self._run, hub, step)
            for hub in self.hubs
            if hub.runs
            for label, step in hub.steps()
        }

    def wishes(self) -> Steps:
        return {
            label: partial(self._run, hub, step)
            for hub in self.hubs
            if hub.runs
            for label, step in hub.wishes()
        }

    def orders(self) -> Steps:
        """What the broker does."""
        if not self.broker:
            return {"a broker comes": self.come}
        steps: Steps = {"other homes": self.name_homes, "the broker dies": self.broker_dies}
        if len(self.hubs) < HUBS and self.last < 1000 + MOST:
            steps["a hub starts"] = self.start_and_tell
        for one, other in self.unlinked():
            steps[f"{one.serial} and {other.serial} are introduced"] = partial(self.introduce, one, other)
        return steps

    def misfortunes(self) -> Steps:
        steps: Steps = {}
        for hub in self.hubs:
            if hub not in self.stack:
                steps[f"{hub.serial} dies"] = partial(self.kill, hub)
                if hub.stopped:
                    steps[f"{hub.serial} goes on"] = partial(setattr, hub, "stopped", False)
                else:
                    steps[f"{hub.serial} is stopped"] = partial(setattr, hub, "stopped", True)
            for serial, link in hub.links.items():
                if serial > hub.serial and not link.over:
                    steps[f"the link of {hub.serial} and {serial} breaks"] = partial(self.break_off, link)
        return steps

    def run(self, kind: str) -> bool:
        """Do something of a kind, if there is anything."""
        steps: Steps = getattr(self, kind)()
        if steps:
            label = self.choose(kind, sorted(steps))
            self.taken.append("  " * len(self.stack) + label)
            steps[label]()
        if self.faults:
            raise self.faults[0]
        return bool(steps)

    def noted(self, done: Callable[[Any], object]) -> Callable[[Any], object]:
        """What the directory is to call, and what is wrong there."""

        def call(result: object) -> None:
            try:
                done(result)
            except AssertionError as fault:
                self.faults.append(fault)
                raise

        return call

    def _run(self, hub: Hub, step: Callable[[], object]) -> None:
        with self.running(hub):
            step()

    def kill(self, hub: Hub) -> None:
        hub.die()

    def break_off(self, link: Link) -> None:
        link.end(int(self.choose("keep", ["0", "1", "2"])))

    # ---- in the middle of a write

    def _at_file(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        if not self.chaos:
            return function(*arguments)
        hub = self.stack[-1]
        self._before(hub, name)
        if name == "append":
            return self._append(hub, function, *arguments)
        result = function(*arguments)
        if name == "replace":
            self._before(hub, "replaced")
        return result

    def _append(self, hub: Hub, function: Callable[..., Any], fd: int, data: bytes) -> int:
        what = self.choose("write", ["whole", "whole", "whole", "whole", "full", "part"])
        if what == "full":
            self.taken.append("  " * len(self.stack) + f"{hub.serial} finds the disk full")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if what == "part" and len(data) > 1:
            # Of the journal whole records, as a full disk leaves them; of a log anything.
            part = len(data) // 16 // 2 * 16 if len(data) % 16 == 0 else len(data) // 2
            taken: int = function(fd, data[:part])
            self.taken.append("  " * len(self.stack) + f"{hub.serial} writes a part")
            self._before(hub, "written in part")
            return taken
        taken = function(fd, data)
        self._before(hub, "written")
        return taken

    def _before(self, hub: Hub, where: str) -> None:
        """Something may happen to a process, at this place."""
        what = self.choose("place", ["goes on"] * 8 + ["is stopped"] * 2 + ["dies"])
        if what == "goes on" or len(self.stack) > DEEPEST:
            return
        if what == "dies" and len(self.hubs) > 1:
            self.taken.append("  " * len(self.stack) + f"{hub.serial} dies ({where})")
            if hub in self.hubs:
                self.kill(hub)
            else:  # it has not begun
                return
            raise Killed
        if what == "is stopped" and hub in self.hubs:
            self.taken.append("  " * len(self.stack) + f"{hub.serial} is stopped ({where})")
            for _ in range(int(self.choose("how long", ["1", "3", "6", "15"]))):
                self.run(
                    self.choose("kind", ["steps"] * 8 + ["wishes"] * 4 + ["orders"] * 2 + ["misfortunes"])
                )
            if self.choose("others", ["-", "-", "-", "come to rest"]) != "-":
                self.others_come_to_rest()
            self.taken.append("  " * len(self.stack) + f"{hub.serial} goes on")

    # ---- the broker

    def start(self) -> Hub:
        self.last += 1
        chaos, self.chaos = self.chaos, False
        hub = Hub(self, self.last)
        self.chaos = chaos
        for other in self.hubs:
            self.introduce(hub, other)
        self.hubs.append(hub)
        return hub

    def start_and_tell(self) -> None:
        self.start()
        self.name_homes()

    def unlinked(self) -> Iterator[tuple[Hub, Hub]]:
        """Pairs without a link, also one that is about to be told of."""
        for hub in self.hubs:
            for other in self.hubs:
                if other.serial > hub.serial:
                    link = hub.links.get(other.serial)
                    if link is None or link.over or other.links.get(hub.serial) is not link:
                        yield hub, other

    def introduce(self, one: Hub, other: Hub) -> None:
        link = Link(one, other)
        one.orders.append((f"a link to {other.serial}", partial(one.join, other.serial, link)))
        other.orders.append((f"a link to {one.serial}", partial(other.join, one.serial, link)))

    def name_homes(self, even: bool = False, among: Sequence[int] = ()) -> None:
        """Make a version of the directory; a home in it may be dead, which the broker has not noticed."""
        serials = list(among) or sorted({hub.serial for hub in self.hubs} | {*self.homes[:1]})
        self.version += 1
        if even or among:
            self.homes = [serials[slot % len(serials)] for slot in range(SLOTS)]
            silent: list[int] = []
        else:
            self.homes = [int(self.choose("home", [*map(str, serials)])) for _ in range(SLOTS)]
            silent = [hub.serial for hub in self.hubs if hub.stopped]
        for hub in self.hubs:
            what = partial(hub.directory.set_homes, self.version, [*self.homes], silent)
            hub.orders.append((f"version {self.version}: {self.homes}", what))

    def broker_dies(self) -> None:
        """Some have not been told of what it said last."""
        self.broker = False
        for hub in self.hubs:
            for _ in range(min(len(hub.orders), int(self.choose("unsaid", ["0", "0", "1", "2"])))):
                hub.orders.pop()
            hub.orders.append(("that it has gone", hub.directory.broker_gone))

    def come(self) -> None:
        self.broker = True
        for pair in [*self.unlinked()]:
            self.introduce(*pair)
        self.name_homes()

    # ---- rest

    def settle(self) -> None:
        for _ in range(TOO_MANY):
            if not self.run("steps"):
                return
        raise AssertionError("it does not come to rest")

    def _recover(self, serials: Sequence[int]) -> None:
        """The broker knows who lives, and names homes among these."""
        self.broker = True
        self.settle()
        for pair in [*self.unlinked()]:
            self.introduce(*pair)
        self.name_homes(among=serials)
        self.settle()
        for hub in [hub for hub in self.hubs if hub.runs]:  # each does so four times a second
            self._run(hub, hub.directory.retry)
        self.settle()

    def others_come_to_rest(self) -> None:
        """Those that are not stopped need nobody who is, but for what these own."""
        chaos, self.chaos = self.chaos, False
        awake = [hub for hub in self.hubs if hub.runs]
        if awake:
            self._recover([hub.serial for hub in awake])
            stopped = {hub.serial for hub in self.hubs} - {hub.serial for hub in awake}
            self._check_rest(awake, stopped)
        self.chaos = chaos

    def finish(self) -> None:
        """All that live go on, without misfortunes, and come to rest."""
        self.chaos = False
        for hub in self.hubs:
            hub.stopped = False
        if not self.hubs:
            self.start()
        self._recover([hub.serial for hub in self.hubs])
        self._check_rest(self.hubs, set())

    def _check_rest(self, hubs: Sequence[Hub], stopped: set[int]) -> None:
        for hub in hubs:
            assert not hub.finds, f"{hub.serial} has not been answered: {[each.name for each in hub.finds]}"
            assert not hub.moving, f"{hub.serial} does not know what became of {hub.moving}"
            questions = hub.directory._questions
            assert not (questions._open or questions._finds or questions._leaving), questions
            assert not (hub.directory._early or hub.directory._own)
        for name in NAMES:
            self._check_owner(name, hubs, stopped)

    def _check_owner(self, name: Name, hubs: Sequence[Hub], stopped: set[int]) -> None:
        """All find the same owner, which lives; and that one has the key as soon as it asks."""
        locations = {self._ask(hub, name, stopped) for hub in hubs}
        assert len(locations) == 1, f"{name} is at {locations}"
        (location,) = locations
        if location.hub not in stopped:
            (owner,) = [hub for hub in self.hubs if hub.serial == location.hub]
            assert self._ask(owner, name, stopped) == location
            assert owner.owned[name] == location.epoch

    def _ask(self, hub: Hub, name: Name, stopped: set[int]) -> Location:
        far = Location(0, 1 << 63)
        found = Found(hub, name)
        hub.finds.add(found)
        step = partial(hub.directory.find, name, self.noted(partial(hub._found, found)), stale=far)
        self._run(hub, step)
        self.settle()
        assert isinstance(found.result, Location), f"{hub.serial} asks for {name}: {found.result}"
        return found.result


def play(path: Path, choose: Choose, steps: int) -> World:
    """Do so many steps, and come to rest. Where a fault shows, it is raised, with the steps as a note."""
    world = World(path, choose)
    with world:
        try:
            for _ in range(steps):
                world.run(choose("kind", KINDS))
            world.finish()
        except Exception as error:
            faults = map(repr, [*world.faults, error])
            raise AssertionError("\n".join([*world.taken, *faults])) from error
    return world
