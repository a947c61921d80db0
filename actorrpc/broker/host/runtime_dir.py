"""The runtime directory: where the command line finds a broker, and who may use it.

    broker.lock    locked by the live broker; says its pid and its drain timeout
    broker.sock    where the broker answers the command line
    serial         the last number that a process of a hub was given: none is given twice
    hub-N.pid      locked by the live hub process of serial N, which may outlive its broker; says its pid
    hub-N.sock     where that process takes the call of another broker, when its own has gone
    server         what the broker has written down for that one (``record``)
    directory/     which process has which keyed actors, in files of the hubs

The locks are flocks. The kernel drops them when the process ends, however it ends, so that a pid which now
belongs to somebody else is never mistaken for ours. Imports no gevent.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_bytes

from actorrpc.errors import ConfigError
from actorrpc.forks import hold, serves
from actorrpc.ipc.directory_files import FOLDER, JOURNAL
from actorrpc.loop.descriptors import close_now
from actorrpc.pids import exists

__all__ = [
    "FIRST_SERIAL",
    "Claim",
    "Holder",
    "RuntimeDir",
    "default_path",
    "read_file",
    "remove_file",
    "replace_file",
]

#: Longer paths of unix sockets do not fit the kernel's sockaddr_un.
MAX_SOCKET_PATH = 107

LOCK, SOCKET, SERIAL, RECORD, PAST = "broker.lock", "broker.sock", "serial", "server", "moves"

#: Hubs are numbered from 0, their processes from here on: so that a number names the one or the other.
FIRST_SERIAL = 1001

_HUB_FILE = re.compile(r"hub-(\d{1,9})\.pid")
_HUBS_FILES = re.compile(r"hub-\d{1,9}\.(pid|sock)")

_NAME_ANOTHER = "name another with --runtime-dir"


def default_path() -> str:
    base = os.environ.get("XDG_RUNTIME_DIR")
    return os.path.join(base, "actorrpc") if base else f"/tmp/actorrpc-{os.geteuid()}"


def _origin() -> str:
    """Why the default is what it is."""
    return "from $XDG_RUNTIME_DIR" if os.environ.get("XDG_RUNTIME_DIR") else "$XDG_RUNTIME_DIR is not set"


@dataclass(frozen=True)
class Holder:
    """The broker that holds a directory, or the last one that did."""

    pid: int
    drain_timeout: float


class RuntimeDir:
    """A runtime directory, as everybody sees it."""

    def __init__(self, path: str | None = None) -> None:
        self.path = os.path.abspath(path or default_path())
        #: Why it is this one, for the user; empty if it was named.
        self.origin = "" if path else _origin()

    @property
    def socket_path(self) -> str:
        """Raises ConfigError if the kernel would not take it."""
        path = os.path.join(self.path, SOCKET)
        if len(os.fsencode(path)) > MAX_SOCKET_PATH:
            raise ConfigError(
                f"the runtime directory's path is too long for a unix socket ({MAX_SOCKET_PATH} bytes with "
                f"/{SOCKET}): {self.path}"
            )
        return path

    def hub_path(self, serial: int) -> str:
        return os.path.join(self.path, f"hub-{serial}.pid")

    def call_path(self, serial: int) -> str:
        return os.path.join(self.path, f"hub-{serial}.sock")

    @property
    def actors_path(self) -> str:
        """Where the files of the directory of keyed actors are."""
        return os.path.join(self.path, FOLDER)

    @property
    def record_path(self) -> str:
        return os.path.join(self.path, RECORD)

    @property
    def past_path(self) -> str:
        """Where it stands which connections have moved."""
        return os.path.join(self.path, PAST)

    def holder(self) -> Holder | None:
        """The live broker of this directory."""
        return self.last_holder() if _is_locked(os.path.join(self.path, LOCK)) else None

    def last_holder(self) -> Holder | None:
        """The broker that last held this directory, alive or not."""
        try:
            with open(os.path.join(self.path, LOCK)) as file:
                return Holder(**json.load(file))
        except (OSError, ValueError, TypeError):
            return None

    def last_serial(self) -> int:
        """The highest of which there is a hub's file; 0 if there is none."""
        found = (_HUB_FILE.fullmatch(name) for name in _names(self.path))
        return max((int(match[1]) for match in found if match), default=0)

    def living_hubs(self) -> dict[int, int]:
        """The pids of the hubs that live, with a broker or without, by serial; 0 for one that is just
        starting."""
        found = {}
        for name in _names(self.path):
            match = _HUB_FILE.fullmatch(name)
            if match and _is_locked(path := os.path.join(self.path, name)):
                pid = _read_number(path)
                # A process that the app has forked may hold the lock of a hub that is dead.
                if pid == 0 or exists(pid):
                    found[int(match[1])] = pid
        return dict(sorted(found.items()))

    def describe_orphans(self) -> str:
        """Say which hubs a dead broker has left, and what to do, in a line for the user; "" if none."""
        if not (hubs := self.living_hubs()):
            return ""
        pids = ", ".join(map(str, hubs.values()))
        return (
            f"hubs of a dead broker serve on in {self.path} (pids {pids}): `actorrpc serve` as it was "
            f"started takes them over, `actorrpc stop --runtime-dir {self.path}` ends them"
        )

    def claim(self) -> Claim:
        """Make the directory if need be, and hold it until the claim is released.

        Raises ConfigError if it cannot be used, is not ours alone, or is held by a live broker.
        """
        _ = self.socket_path  # its length is checked before anything is made
        for _ in range(50):
            made = self.make()
            if (lock := self._lock()) is not None:
                return Claim(self, lock, made)
            # Either a broker holds it, or a command line looks whether one does, or one has just left.
            time.sleep(0.01)
        holder = self.last_holder()
        pid = f" (pid {holder.pid})" if holder else ""
        raise ConfigError(
            f"the runtime directory {self.path} is in use by a live broker{pid}: {_NAME_ANOTHER}, or end "
            f"that one with `actorrpc stop --runtime-dir {self.path}`"
        )

    def make(self) -> bool:
        """Return whether the directory had to be made. Raises ConfigError if it is not ours alone."""
        made = True
        try:
            os.mkdir(self.path, 0o700)
        except FileExistsError:
            made = False
        except OSError as error:
            why = f"{error.strerror} ({self.origin})" if self.origin else error.strerror
            raise ConfigError(
                f"cannot make the runtime directory {self.path}: {why}; {_NAME_ANOTHER}"
            ) from error
        self.check()
        return made

    def check(self) -> None:
        """Raise ConfigError if it is not ours alone."""
        if complaint := _complaint(self.path):
            raise ConfigError(f"the runtime directory {self.path} {complaint}")

    def _lock(self) -> int | None:
        path = os.path.join(self.path, LOCK)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # the last broker has just removed the directory
            return None
        except OSError as error:
            raise ConfigError(
                f"cannot use the runtime directory {self.path}: {error.strerror}; {_NAME_ANOTHER}"
            ) from error
        # A broker that leaves removes its lock: then we hold a file that nobody else can find.
        if _try_lock(fd, fcntl.LOCK_EX) and _is_file(fd, path):
            return fd
        close_now(fd)
        return None

    def __repr__(self) -> str:
        return f"<RuntimeDir {self.path}>"


class Claim:
    """This process's hold on a runtime directory, until ``release()``; as a context manager, for a block."""

    def __init__(self, directory: RuntimeDir, lock: int, made: bool) -> None:
        self.directory = directory
        self._lock = lock
        #: Whether the directory goes with the last broker.
        self.made = made
        #: What the server is known by in references to its actors; that of the server that is taken over.
        self.server = token_bytes(16)
        #: What references to actors of connections are sealed with; that of the server that is taken over,
        #: too.
        self.secret = token_bytes(32)
        #: The last serial that was given.
        self._serial = 0
        hold(self)

    def announce(self, drain_timeout: float) -> None:
        """Say who holds the directory, for whoever finds it held, or finds hubs without a broker."""
        os.truncate(self._lock, 0)
        self.tell(drain_timeout)

    def tell(self, drain_timeout: float) -> None:
        """Say it again, with another drain timeout. Whoever reads it meanwhile finds the one or the other."""
        holder = json.dumps({"pid": os.getpid(), "drain_timeout": drain_timeout}).encode()
        os.pwrite(self._lock, holder.ljust(os.fstat(self._lock).st_size), 0)

    def open_socket(self) -> socket.socket:
        """Listen for the command line; a socket that a dead broker left is replaced."""
        path = self.directory.socket_path
        remove_file(path)
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(path)
        os.chmod(path, 0o600)
        sock.listen(64)
        serves(sock)
        return sock

    def next_serial(self) -> int:
        """A number for a hub's process that no other has had. It is written down before it is used, so that
        it is not given again after this broker's death. Nor is one if the file has been lost, as long as
        that process's own file is there.

        Raises OSError or ConfigError if it cannot be.
        """
        self.directory.make()  # something may have tidied up /tmp
        path = os.path.join(self.directory.path, SERIAL)
        serial = max(self._serial, _read_number(path), self.directory.last_serial(), FIRST_SERIAL - 1) + 1
        replace_file(path, f"{serial}\n".encode())
        self._serial = serial
        return serial

    def open_hub_file(self, serial: int) -> int:
        """Return a new file's descriptor, locked for whoever has it: give it to the hub and close it.

        Raises OSError or ConfigError if that cannot be done.
        """
        self.directory.make()
        path = self.directory.hub_path(serial)
        remove_file(path)  # of a server that had no such numbers
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        return fd

    def make_directory(self, *, anew: bool) -> None:
        """Make the files of the directory of keyed actors, where there are none. ``anew``: there is no hub
        that could go by those that there are. Raises ConfigError if that cannot be done.

        Those that hubs go by must never be made anew: others would go by others.
        """
        path = self.directory.actors_path
        try:
            if anew:
                self._remove_directory()
            os.makedirs(path, 0o700, exist_ok=True)
            close_now(os.open(os.path.join(path, JOURNAL), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise ConfigError(f"cannot make {path}: {error.strerror}; {_NAME_ANOTHER}") from error

    def _remove_directory(self) -> None:
        path = self.directory.actors_path
        for name in _names(path):
            remove_file(os.path.join(path, name))
        with suppress(FileNotFoundError):
            os.rmdir(path)

    def forget_hub(self, serial: int) -> None:
        """Its process has ended."""
        remove_file(self.directory.hub_path(serial))
        remove_file(self.directory.call_path(serial))

    def release(self) -> None:
        """Remove our files, the directory too if we made it, and let go of it.

        With hubs of a dead broker in it, it is left as it is.
        """
        if not self.directory.living_hubs():
            self._remove_files()
        lock, self._lock = self._lock, -1
        close_now(lock)

    def descriptors(self) -> list[int]:
        """The lock, for a child: one that kept it would keep the directory."""
        return [self._lock] if self._lock >= 0 else []

    def _remove_files(self) -> None:
        path = self.directory.path
        for name in _names(path):
            if name in (SOCKET, SERIAL, RECORD, PAST) or _HUBS_FILES.fullmatch(name):
                remove_file(os.path.join(path, name))
        with suppress(OSError):  # something else is in it
            self._remove_directory()
        remove_file(os.path.join(path, LOCK))
        if self.made:
            with suppress(OSError):  # somebody else's files are in it
                os.rmdir(path)

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<Claim on {self.directory.path}>"


def _complaint(path: str) -> str:
    """Why a directory is not ours alone; empty if it is."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return f"is a link to nothing; {_NAME_ANOTHER}"
    if not stat.S_ISDIR(found.st_mode):
        return f"is not a directory; {_NAME_ANOTHER}"
    # The link too, if it is one: its owner may let it point elsewhere at any time.
    if {found.st_uid, os.lstat(path).st_uid} != {os.geteuid()}:
        return f"belongs to another user; {_NAME_ANOTHER}"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written by other users (mode {stat.S_IMODE(found.st_mode):o}): chmod 700 it"
    return ""


def _try_lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_locked(path: str) -> bool:
    """Whether a live process has locked the file. Looks by locking it for a moment."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _try_lock(fd, fcntl.LOCK_SH)
    finally:
        close_now(fd)


def _is_file(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _read_number(path: str) -> int:
    """0 if there is none."""
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def read_file(path: str) -> bytes:
    """All that is in a file. Raises OSError, also if it is something else, and would be waited for."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError("it is not a file")
        return file.read()


def replace_file(path: str, content: bytes) -> None:
    """Write a file anew, so that it is never half of one. Raises OSError, and leaves nothing else behind."""
    new = f"{path}.new"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        try:
            while content:  # a disk that is nearly full takes a part
                content = content[os.write(fd, content) :]
        finally:
            close_now(fd)
        os.replace(new, path)
    except OSError:
        remove_file(new)
        raise


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def remove_file(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
