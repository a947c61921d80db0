"""What a hub needs to serve TLS, where it does: elsewhere it need not be imported."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from actorrpc.config import Config
from actorrpc.errors import ConfigError
from actorrpc.net.peers import Remote, Unserved
from actorrpc.tls.handshake.settings import Tls

if TYPE_CHECKING:
    from actorrpc.hub.securing.transport import Secured
    from actorrpc.tls.handshake.admission import Admission

__all__ = ["Shaking", "admission_of", "handshakes_of"]

log = logging.getLogger("actorrpc.hub")


class Shaking(Protocol):
    """The handshakes of a hub: see ``actorrpc.hub.securing.handshakes.Handshakes``."""

    def __len__(self) -> int: ...
    def begin(self, sock: socket.socket, remote: Remote) -> None: ...
    def unserved(self) -> Iterator[Unserved]: ...
    def renew(self, tls: Tls | None) -> None: ...
    def close(self) -> None: ...


class _None:
    """Those of a hub that has no certificate: it has none."""

    def __len__(self) -> int:
        return 0

    def begin(self, sock: socket.socket, remote: Remote) -> None:
        why = "TLS is not served here: there is no certificate"
        log.warning("a connection is closed before its handshake: %s (from %s)", why, remote.peer)
        sock.close()

    def unserved(self) -> Iterator[Unserved]:
        return iter(())

    def renew(self, tls: Tls | None) -> None:
        if tls is not None:
            raise ConfigError("TLS is not served here")

    def close(self) -> None: ...


def handshakes_of(
    config: Config,
    served: Callable[[socket.socket, Remote, Secured], object],
    changed: Callable[[], object],
) -> Shaking:
    """As ``Handshakes``. Raises ConfigError for a file that is wrong."""
    if config.tls is None:
        return _None()
    from actorrpc.hub.securing.handshakes import Handshakes

    return Handshakes(config, config.tls, served, changed)


def admission_of(tls: Tls | None) -> Admission | None:
    """Whom the CAs of clients admit; None where TLS is not served. Raises ConfigError for a file that is
    wrong."""
    if tls is None:
        return None
    from actorrpc.tls.handshake.admission import Admission

    return Admission(tls)
