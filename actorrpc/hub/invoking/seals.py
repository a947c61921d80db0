"""``Seals``: what makes references to the actors of connections unguessable.

The ids of connections can be guessed, and a client may send a reference of its own making to a handler that
calls it. So a reference has a code over the service, the connection and the identity, which is made with a
secret of the server's.
"""

from __future__ import annotations

import hmac

from actorrpc.ref_pb2 import ActorRef

__all__ = ["Seals"]

#: Bytes of a seal.
SIZE = 16


class Seals:
    """Those of one server. ``secret``: b"" where the broker knows none; then there are none."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __bool__(self) -> bool:
        """Whether references can be sealed here."""
        return bool(self._secret)

    def make(self, service: str, connection: str, identity: str) -> bytes:
        """The seal of a reference; b"": none can be made here."""
        if not self._secret:
            return b""
        fields = [each.encode() for each in (service, connection, identity)]
        said = b"".join(len(each).to_bytes(4, "big") + each for each in fields)
        return hmac.digest(self._secret, said, "sha256")[:SIZE]

    def fits(self, ref: ActorRef) -> bool:
        """Whether this server has made a reference, as it is."""
        made = self.make(ref.service, ref.connection, ref.identity)
        return hmac.compare_digest(made, ref.seal) and bool(made)

    def __repr__(self) -> str:
        return f"<Seals, {'' if self else 'un'}usable>"
