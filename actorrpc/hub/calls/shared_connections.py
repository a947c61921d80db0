"""Connections that several clients seem to share, without an identity to tell their calls apart.

Whoever calls on a connection gets at its own actors, those of no identity. Proxies put the calls of many
clients on one connection, and some of that can be seen: see ``actorrpc.wire.caller``. Such a connection is
told of once, its calls are counted, and they are refused if that is wished.
"""

from __future__ import annotations

import logging
from typing import Protocol

from actorrpc.config import Config
from actorrpc.errors import RpcError, StatusCode
from actorrpc.log import about
from actorrpc.pb.control_pb2 import SharedConnections
from actorrpc.wire.caller import is_steady, sign_of
from actorrpc.wire.head import RequestHead

__all__ = ["Sharing"]

log = logging.getLogger("actorrpc.hub")


class Shared(Protocol):
    """A connection. ``caller`` is whose it is so far, ``shared_by`` the header that has told of another."""

    caller: bytes
    shared_by: str

    @property
    def id(self) -> str: ...
    @property
    def peer(self) -> str: ...


class Sharing:
    """What one hub has seen, and what it does about it."""

    def __init__(self, config: Config) -> None:
        self._refuses = config.shared_connections == "refuse"
        #: To be reported.
        self.seen = SharedConnections()

    def look(self, connection: Shared, head: RequestHead) -> RpcError | None:
        """Look at a call that has no identity, is for an actor of the connection's own, and whose caller is
        not known to be the one that the connection knows. Returns why it is refused; None lets it through.

        A connection that has been found out stays so: one of its clients looks like another there, so that a
        call which agrees with earlier ones is as doubtful as one that does not.
        """
        if not connection.shared_by:
            caller = head.find_caller()
            sign = sign_of(connection.caller, caller)
            if not sign:
                connection.caller = caller
                return None
            connection.shared_by = sign
            connection.caller = b""  # no call has that: all of them come here
            self.seen.connections += 1
        why = _explain(connection.shared_by)
        self.seen.calls += 1
        if not self.seen.first:
            what = f"{head.path} on connection {connection.id} from {connection.peer}: {why}"
            self._tell(what, connection.id)
        if not self._refuses:
            return None
        self.seen.refused += 1
        return RpcError(
            StatusCode.FAILED_PRECONDITION,
            f"several clients seem to share this connection ({why}), and would share its actor: either the "
            "server gives calls an identity, or each client needs a connection of its own "
            "(docs/operate/proxies.md of actorrpc)",
        )

    def _tell(self, what: str, connection: str) -> None:
        self.seen.first = what
        log.warning(
            "several clients seem to share a connection, and its actors: %s. Such calls are %s; give them "
            "an identity, or each client a connection: docs/operate/proxies.md. This is said once: "
            "`actorrpc status` counts them",
            what,
            "refused" if self._refuses else "served",
            extra=about(connection=connection),
        )

    def report(self) -> SharedConnections | None:
        """What there is to tell; None if nothing has been seen."""
        return self.seen if self.seen.calls else None

    def __repr__(self) -> str:
        return f"<Sharing {self.seen.connections} connections, {self.seen.calls} calls>"


def _explain(sign: str) -> str:
    return f"`{sign}` is not the same in all calls" if is_steady(sign) else f"`{sign}` is what a proxy adds"
