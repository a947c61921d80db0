"""The listening sockets: made, and kept, by the broker.

With a queue for each hub, each address has a socket for each of them, among which the kernel shares the
connections out (SO_REUSEPORT). It does not for unix sockets, and for what a service manager has opened there
are none: such an address is **shared**, and has one socket, from which one hub accepts for all. A socket's
queue of connections is lost when its last descriptor is closed, so the broker keeps one, for the next process
of that hub.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from actorrpc.errors import ConfigError
from actorrpc.forks import serves
from actorrpc.net.addresses import address_text, parse_bind
from actorrpc.net.unix_sockets import SocketFile, listen_at

__all__ = ["BACKLOG", "Bound", "open_addresses", "open_again", "open_another", "several"]

log = logging.getLogger("actorrpc")

BACKLOG = 4096

#: How often to look for a port that is free on all addresses of a name.
_ATTEMPTS = 16
#: What a name's address says that this machine does not have.
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


@dataclass(eq=False)
class Bound:
    """An address that a server listens on."""

    #: As clients write it.
    text: str
    #: One socket is for all hubs.
    shared: bool
    #: One, or one for each hub; none where those that listen are other processes'.
    sockets: list[socket.socket] = field(default_factory=list)
    #: Its clients speak TLS.
    tls: bool = False
    #: What is removed when the server stops.
    file: SocketFile | None = None

    def remove_file(self) -> None:
        """Let no new client find it. Before the sockets are closed."""
        if self.file is not None:
            self.file.remove()
            self.file = None

    def close(self) -> None:
        """Close the sockets that it was made with, and remove the file."""
        self.remove_file()
        for sock in self.sockets:
            sock.close()

    @classmethod
    def given(cls, sock: socket.socket, *, tls: bool = False) -> Bound:
        """What a service manager has opened: it removes the file, too."""
        return cls(address_text(sock.getsockname()), shared=True, sockets=[sock], tls=tls)

    def __str__(self) -> str:
        return f"{self.text} (TLS)" if self.tls else self.text


def several(bind: str | Sequence[str] | None) -> tuple[str, ...]:
    """What a program gives where several addresses may be: one text, or some, or None."""
    return (bind,) if isinstance(bind, str) else tuple(bind or ())


@contextmanager
def open_addresses(
    binds: Sequence[str],
    hubs: int | None = None,
    *,
    tls_binds: Sequence[str] = (),
    unix_mode: int | None = None,
) -> Iterator[list[Bound]]:
    """Listen on each of these until the block ends: for each of so many hubs where that can be; None: once
    for all. Port 0: one free port. Clients of ``tls_binds``, which come last, speak TLS.

    A name is listened on at each of its addresses that this machine has. ``unix_mode`` are the permissions of
    files of sockets. Raises ConfigError, and nothing is left open, if an address cannot be used, or is in use
    by anybody.
    """
    with ExitStack() as opened:
        targets = [*[_Target(bind) for bind in binds], *[_Target(bind, tls=True) for bind in tls_binds]]
        bounds = _open_all(targets, hubs, unix_mode, opened)
        for bound in bounds:
            for sock in bound.sockets:
                serves(sock)
        yield bounds


def _open_all(
    targets: Sequence[_Target], hubs: int | None, unix_mode: int | None, opened: ExitStack
) -> list[Bound]:
    if not targets:
        raise ConfigError("there is no address to listen on")
    if unix_mode is not None and not any(each.is_file for each in targets):
        raise ConfigError("unix_mode is for unix:PATH, and there is none")
    _check_distinct(targets)
    # Unix sockets listen at once, and the others when nothing can fail any more.
    for target in sorted(targets, key=lambda each: each.is_unix):
        try:
            target.open(hubs, unix_mode, opened)
        except ConfigError as error:
            raise ConfigError(f"cannot listen on {target.bind}: {error}") from error
        except OSError as error:
            raise ConfigError(f"cannot listen on {target.bind}: {error.strerror}") from error
    bounds = [bound for target in targets for bound in target.bounds]
    for bound in bounds:
        for sock in bound.sockets:
            try:
                sock.listen(BACKLOG)
            except OSError as error:
                raise ConfigError(f"cannot listen on {bound.text}: {error.strerror}") from error
    return bounds


class _Target:
    """What one ``--bind`` or ``--tls-bind`` says. Raises ConfigError if it says nothing that could be
    listened on."""

    def __init__(self, bind: str, *, tls: bool = False) -> None:
        self.bind = bind
        self.tls = tls
        self.found = _resolve(bind)
        self.bounds: list[Bound] = []

    @property
    def is_unix(self) -> bool:
        return self.found[0][0] == socket.AF_UNIX

    @property
    def is_file(self) -> bool:
        return self.is_unix and isinstance(self.found[0][1], str)

    def open(self, hubs: int | None, unix_mode: int | None, opened: ExitStack) -> None:
        if self.is_unix:
            self.bounds = [_open_unix(self.found[0][1], unix_mode)]
        else:
            self.bounds = self._bind_tcp(hubs)
        for bound in self.bounds:
            bound.tls = self.tls
            opened.callback(bound.close)

    def _bind_tcp(self, hubs: int | None) -> list[Bound]:
        for attempt in range(_ATTEMPTS):
            bounds: list[Bound] = []
            try:
                self._bind_each(hubs, bounds)
                return bounds
            except BaseException as error:
                for bound in bounds:
                    bound.close()
                # A port that is free on one of a name's addresses may be in use on the next.
                again = bounds and isinstance(error, OSError) and error.errno == errno.EADDRINUSE
                if self.found[0][1][1] or not again or attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError

    def _bind_each(self, hubs: int | None, bounds: list[Bound]) -> None:
        missing: list[OSError] = []
        for family, address in self.found:
            if bounds and not address[1]:
                address = (address[0], bounds[0].sockets[0].getsockname()[1], *address[2:])
            try:
                bounds.append(_open_tcp(family, address, hubs))
            except OSError as error:
                if error.errno not in _NOT_HERE or len(self.found) == 1:
                    raise
                log.info("%s: not on %s: %s", self.bind, address_text(address), error.strerror)
                missing.append(error)
        if not bounds:
            raise missing[0]


def _check_distinct(targets: Sequence[_Target]) -> None:
    """Raise ConfigError if two say the same."""
    said: dict[Any, str] = {}
    for target in targets:
        for family, address in target.found:
            if family != socket.AF_UNIX and not address[1]:
                continue  # each time another port
            if (other := said.get((family, address))) is not None:
                what = "is given twice" if other == target.bind else f"is the same as {other}"
                raise ConfigError(f"{target.bind} {what}")
            said[family, address] = target.bind


def _open_tcp(family: int, address: Any, hubs: int | None) -> Bound:
    """Bind, and listen not yet."""
    sockets: list[socket.socket] = []
    try:
        sockets.append(_bound(family, address, shared=False))
        address = sockets[0].getsockname()
        sockets += [_bound(family, address, shared=True) for _ in range((hubs or 1) - 1)]
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return Bound(address_text(address), shared=hubs is None, sockets=sockets)


def _open_unix(address: str | bytes, mode: int | None) -> Bound:
    if isinstance(address, str):
        sock, file = listen_at(address, mode, BACKLOG)
        return Bound(address_text(address), shared=True, sockets=[sock], file=file)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return Bound(address_text(address), shared=True, sockets=[sock])


def open_another(first: socket.socket) -> socket.socket:
    """Listen once more on the address of a socket of ``open_addresses``. The caller closes it.

    Raises ConfigError if that cannot be.
    """
    try:
        sock = _bound(first.family, first.getsockname(), shared=True)
    except OSError as error:
        raise ConfigError(f"cannot listen on the same address again: {error.strerror}") from error
    sock.listen(BACKLOG)
    serves(sock)
    return sock


def open_again(bound: Bound, unix_mode: int | None = None) -> None:
    """Listen on an address where hubs have listened, none of which has its socket any more. The caller closes
    it.

    Raises ConfigError if the address cannot be used, or is in use by anybody.
    """
    family, address = _resolve(bound.text)[0]
    try:
        if family == socket.AF_UNIX:
            anew = _open_unix(address, unix_mode)
        else:
            anew = _open_tcp(family, address, None)
        anew.sockets[0].listen(BACKLOG)
    except ConfigError as error:
        raise ConfigError(f"cannot listen on {bound.text} again: {error}") from error
    except OSError as error:
        raise ConfigError(f"cannot listen on {bound.text} again: {error.strerror}") from error
    serves(anew.sockets[0])
    bound.sockets, bound.file = anew.sockets, anew.file


def _resolve(bind: str) -> list[tuple[int, Any]]:
    """All that a text stands for: families, and addresses as ``bind`` takes them."""
    try:
        address = parse_bind(bind)
        if not isinstance(address, tuple):
            return [(socket.AF_UNIX, address)]
        host, port = address
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:  # a UnicodeError is a ValueError
        raise ConfigError(f"cannot bind to {bind!r}: {getattr(error, 'strerror', error)}") from error
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _bound(family: int, address: Any, *, shared: bool) -> socket.socket:
    """Bind a socket for a hub; unless ``shared``, only if nobody else is on the port.

    A port may be shared by whoever set SO_REUSEPORT before binding, any program of the same user. So the
    first socket binds without it and sets it only then, which lets in those that are bound next.
    """
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of an earlier server in TIME_WAIT shall not keep the port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # [::] takes IPv4 too, whatever the machine's default is
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        sock.close()
        raise
    return sock
