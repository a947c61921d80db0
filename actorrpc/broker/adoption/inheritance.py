"""What the broker before this one has left in the runtime directory, and whether that may be taken over.

    no hub lives                               nothing: the server starts afresh
    none of those that live has ever served    they are killed, and the server starts afresh
    what they serve differs from what is       ConfigError, which says what differs
    wanted, or they cannot be called
    else                                       they are taken over

Of those that live, only those that the record names count: its members, and the new ones of a reload. A
process that has just been started, and has not joined the others yet, is killed, and started again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from actorrpc.broker.host.orphaned_hubs import kill_hubs
from actorrpc.broker.host.record import Record
from actorrpc.broker.host.runtime_dir import RuntimeDir
from actorrpc.errors import ConfigError
from actorrpc.net.addresses import parse_bind
from actorrpc.net.listening import Bound
from actorrpc.net.unix_sockets import SocketFile
from actorrpc.pb.record_pb2 import Address, Process, Server

__all__ = ["Inheritance", "Wanted", "binds_of", "bounds_of"]


@dataclass(frozen=True)
class Wanted:
    """What is to be served: as ``serve`` was told, with defaults. If the service manager has given the
    sockets, there are no ``binds``, and ``given`` says what they are, as ``str(bound)``."""

    app: str
    binds: tuple[str, ...]
    accept: str
    given: tuple[str, ...] = ()
    tls_binds: tuple[str, ...] = ()

    def why_not(self, server: Server) -> str:
        """What differs from what hubs serve; "" if nothing that matters."""
        if server.app != self.app:
            return f"they serve {server.app}, not {self.app}"
        # As it was typed, or as it came out: a port 0 is found again by the first.
        there = tuple(map(str, bounds_of(server)))
        told = _marked(self.binds, self.tls_binds)
        same = (
            told == _marked(binds_of(server), server.tls_binds)
            if told
            else sorted(there) == sorted(self.given)
        )
        if not same and there != (here := told or self.given):
            return f"they listen on {' and '.join(there)}, not on {' and '.join(here)}"
        if server.accept != self.accept:
            return f"they were started with --accept {server.accept}, not {self.accept}"
        return ""


@dataclass(frozen=True)
class Inheritance:
    """Hubs that live, by serial with their pids, and what was written down of them."""

    server: Server
    pids: dict[int, int]

    @classmethod
    def find(cls, directory: RuntimeDir, wanted: Wanted) -> Inheritance | None:
        """Look, in a directory that this process holds. Raises ConfigError if hubs serve there that cannot be
        taken over."""
        living = directory.living_hubs()
        if not living:
            return None
        server = _read(directory, living)
        if server is not None and not _named(living, server.members):
            kill_hubs(directory, living)
            return None
        _check(directory, server, wanted, living)
        assert server is not None
        known = _named(living, [*server.members, *server.reload.successors])
        kill_hubs(directory, {serial: pid for serial, pid in living.items() if serial not in known})
        return cls(server, known)

    @classmethod
    def check(cls, directory: RuntimeDir, wanted: Wanted) -> None:
        """Look whether the hubs of a living broker could be taken over. Raises ConfigError if not."""
        if living := directory.living_hubs():
            _check(directory, _read(directory, living), wanted, living, "the hubs")

    @property
    def members(self) -> list[Process]:
        """Those that serve."""
        return [process for process in self.server.members if process.serial in self.pids]

    @property
    def ended(self) -> list[Process]:
        """Those that served, and have ended meanwhile."""
        return [process for process in self.server.members if process.serial not in self.pids]

    @property
    def successors(self) -> list[Process]:
        """Those that a reload has started, and that have not joined the others."""
        serving = {process.serial for process in self.server.members}
        return [
            process
            for process in self.server.reload.successors
            if process.serial in self.pids and process.serial not in serving
        ]


def _marked(binds: Iterable[str], tls_binds: Iterable[str]) -> tuple[str, ...]:
    return (*binds, *[f"{bind} (TLS)" for bind in tls_binds])


def binds_of(server: Server) -> tuple[str, ...]:
    """What a broker was told to listen on."""
    return tuple(server.binds) or tuple(filter(None, [server.bind]))


def bounds_of(server: Server) -> list[Bound]:
    """What its hubs listen on: the sockets are theirs."""
    if not server.addresses:  # an earlier version knew one
        return [Bound(server.address, shared=server.accept == "acceptor")]
    return [_bound(address) for address in server.addresses]


def _bound(address: Address) -> Bound:
    path = parse_bind(address.text) if address.inode else None
    file = SocketFile(path, address.device, address.inode) if isinstance(path, str) else None
    return Bound(address.text, address.shared, tls=address.tls, file=file)


def _check(
    directory: RuntimeDir,
    server: Server | None,
    wanted: Wanted,
    living: dict[int, int],
    who: str = "hubs of a dead broker",
) -> None:
    missing = [serial for serial in living if not os.path.exists(directory.call_path(serial))]
    if server is None:
        why = "what their broker has written down is missing"
    elif missing:
        why = f"they cannot be called: {directory.call_path(missing[0])} is missing"
    else:
        why = wanted.why_not(server)
    if why:
        raise _refusal(directory, who, living, why)


def _refusal(directory: RuntimeDir, who: str, living: dict[int, int], why: str) -> ConfigError:
    pids = ", ".join(map(str, living.values()))
    return ConfigError(
        f"{who} serve on in {directory.path} (pids {pids}), and cannot be taken over: {why}; "
        f"`actorrpc stop --runtime-dir {directory.path}` ends them"
    )


def _read(directory: RuntimeDir, living: dict[int, int]) -> Server | None:
    try:
        return Record(directory).read()
    except ConfigError as error:
        raise _refusal(directory, "hubs", living, str(error)) from error


def _named(living: dict[int, int], processes: Iterable[Process]) -> dict[int, int]:
    return {each.serial: living[each.serial] for each in processes if each.serial in living}
