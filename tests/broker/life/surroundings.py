"""What a real broker finds instead of an operating system: processes, sockets, a directory, a disk."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from actorrpc.broker import supervisor
from actorrpc.broker.adoption import adoption, inheritance
from actorrpc.broker.deploying import deployment, endings, launcher, retire
from actorrpc.broker.host import record
from actorrpc.broker.processes import hub_process
from actorrpc.broker.processes.os_process import UNKNOWN_STATUS
from actorrpc.broker.sharing import accept_queues, members
from actorrpc.broker.sharing.topic_homes import TopicHomes
from tests.broker.life.processes import Control, Hub, LinkEnd, Pair
from tests.broker.life.virtual_time import FIRST_FAKE

if TYPE_CHECKING:
    from tests.broker.life.world import World

__all__ = ["ADDRESSES", "SLOTS", "Claim", "Directory", "Socket", "Sockets", "surround"]

#: Of topics: few, and more than hubs.
SLOTS = 6
#: What the server listens on.
ADDRESSES = ("here:1", "there:1")


class Socket:
    """One descriptor of a broker for the listening socket ``kernel``."""

    def __init__(self, sockets: Sockets, fd: int, kernel: int) -> None:
        self._sockets, self._fd, self.kernel = sockets, fd, kernel

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        self._sockets.open.pop(self._fd, None)

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Sockets:
    """The listening sockets, and the descriptors for them that the living broker has."""

    def __init__(self) -> None:
        self.open: dict[int, Socket] = {}
        self._fds, self._kernel = count(2 * FIRST_FAKE), count(1)

    def another(self) -> Socket:
        """A new listening socket."""
        return self.get(self.lend(next(self._kernel)))

    def lend(self, kernel: int) -> int:
        fd = next(self._fds)
        self.open[fd] = Socket(self, fd, kernel)
        return fd

    def get(self, fd: int) -> Socket:
        return self.open[fd]

    def same(self, one: int, other: int) -> bool:
        return self.open[one].kernel == self.open[other].kernel


class OsProcess:
    """A process as one broker has it. ``inherited``: as ``Inherited`` of ``os_process``."""

    def __init__(self, hub: Hub, inherited: bool) -> None:
        self._hub, self._inherited = hub, inherited
        self._broker = hub.world.broker
        self.pid = hub.pid
        self.pidfd = FIRST_FAKE + hub.serial
        if not hub.alive:
            raise ProcessLookupError

    def poll(self) -> int | None:
        if self._hub.alive:
            return None
        return UNKNOWN_STATUS if self._inherited else self._hub.exit_code

    def send_signal(self, signum: int) -> None:
        self._hub.world.step_of(self._broker, f"before signal {signum} to {self._hub.serial}")
        if self._hub.alive:
            if signum == 9:
                self._hub.die(-9)
            else:
                self._hub.terminate()

    def close(self) -> None:
        pass


class Directory:
    """The runtime directory: the record is a real file."""

    def __init__(self, world: World, path: str) -> None:
        self._world = world
        self.path = path
        self.record_path = os.path.join(path, "server")
        self.actors_path = os.path.join(path, "directory")

    def living_hubs(self) -> dict[int, int]:
        return {hub.serial: hub.pid for hub in self._world.living}

    def clear(self) -> None:
        """The last broker removes what is there, or it would be worth nothing."""
        with suppress(FileNotFoundError):
            os.unlink(self.record_path)

    def call_path(self, serial: int) -> str:
        return self.path


class Claim:
    """A broker's hold on the directory."""

    server = b"the server"
    secret = b"its secret"

    def __init__(self, world: World) -> None:
        self.directory = world.directory
        self._world = world

    def next_serial(self) -> int:
        return next(self._world.serials)

    def forget_hub(self, serial: int) -> None:
        pass


def _spawn(world: World, serial: int, *_: Any) -> tuple[OsProcess, Hub]:
    world.step_of(world.broker, f"before the start of {serial}")
    world.hubs.append(hub := Hub(world, serial))
    return OsProcess(hub, inherited=False), hub


def _kill_hubs(world: World, directory: Any, hubs: dict[int, int]) -> None:
    for serial in hubs:
        world.hub(serial).die(-9)


def _socketpair(world: World) -> tuple[_End, _End]:
    pair = Pair()
    return _End(world, LinkEnd(pair, 0)), _End(world, LinkEnd(pair, 1))


class _End:
    def __init__(self, world: World, end: LinkEnd) -> None:
        self._world, self._end = world, end
        self._fd = next(world.fds)

    def fileno(self) -> int:
        self._world.ends[self._fd] = self._end
        return self._fd

    def __enter__(self) -> _End:
        return self

    def __exit__(self, *error: object) -> None:
        """The broker closes its own: a hub has it now, or nobody."""
        self._world.ends.pop(self._fd, None)
        if not self._end.given:
            self._end.pair.end()


def _replace_file(world: World, path: str, content: bytes) -> None:
    world.step_of(world.broker, "before a write")
    if world.disk_is_full:
        raise OSError("no space left on device")
    with open(path, "wb") as file:
        file.write(content)
    world.step_of(world.broker, "after a write")


def surround(world: World, patch: pytest.MonkeyPatch) -> None:
    """Have brokers find the world's processes instead of the system's."""
    patch.setattr(hub_process, "Link", Control)
    patch.setattr(hub_process, "LowPriority", lambda pid: SimpleNamespace(end=int, close=int))
    patch.setattr(hub_process, "hold", id)
    patch.setattr(hub_process, "socket", SimpleNamespace(socketpair=partial(_socketpair, world)))
    patch.setattr(launcher, "spawn", partial(_spawn, world))
    patch.setattr(adoption, "Inherited", lambda pid: OsProcess(world.hub(pid), inherited=True))
    patch.setattr(adoption, "call_hub", lambda directory, serial: world.hub(serial))
    for module in (inheritance, adoption):
        patch.setattr(module, "kill_hubs", partial(_kill_hubs, world))
    patch.setattr(accept_queues, "socket_of", world.sockets.get)
    patch.setattr(accept_queues, "open_another", lambda sock: world.sockets.another())
    patch.setattr(accept_queues, "serves", id)
    patch.setattr(accept_queues, "os", SimpleNamespace(path=SimpleNamespace(sameopenfile=world.sockets.same)))
    patch.setattr(members, "TopicHomes", partial(TopicHomes, SLOTS))
    patch.setattr(deployment, "Sources", lambda generation: SimpleNamespace(tell=id))
    patch.setattr(supervisor, "Hangs", lambda *args: SimpleNamespace(close=int))
    patch.setattr(supervisor, "tell_what_is_due", int)
    patch.setattr(supervisor, "guard", lambda *args: None)
    patch.setattr(supervisor, "unguard", lambda *args: None)
    patch.setattr(record, "replace_file", partial(_replace_file, world))
    patch.setattr(endings, "LOOK", 0.5)
    patch.setattr(retire, "LOOK", 0.5)
