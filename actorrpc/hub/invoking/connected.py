"""``ConnectedChannel``: as ``ActorChannel``, to the actor of a connection, by a reference to it."""

from __future__ import annotations

from actorrpc.errors import StatusCode
from actorrpc.hub.directory.names import Name, gone, name_on_connection
from actorrpc.hub.invoking.channel import ActorChannel, Callers, elsewhere
from actorrpc.ref_pb2 import ActorRef

__all__ = ["ConnectedChannel"]


class ConnectedChannel(ActorChannel):
    """The way to one actor, of the service that the reference names. Each method of a stub is a callable of
    it. Where its seal does not fit, nothing is looked up."""

    def __init__(self, hub: Callers, ref: ActorRef) -> None:
        super().__init__(hub, "", server=ref.server)
        self._ref = ActorRef()
        self._ref.CopyFrom(ref)
        self._fits = hub.seals.fits(ref)

    def name(self, service: str) -> Name:
        return name_on_connection(service, self._ref.connection, self._ref.identity)

    def ref(self, service: str) -> ActorRef:
        ref = ActorRef()
        ref.CopyFrom(self._ref)
        return ref

    def refusal(self, service: str) -> tuple[StatusCode, str] | None:
        if self.server != self.hub.server:
            return StatusCode.NOT_FOUND, elsewhere(service)
        if not self.hub.seals:
            return StatusCode.UNAVAILABLE, (
                "the server was started by a version of actorrpc that knows no references to actors of "
                "connections"
            )
        if not self._fits:
            return StatusCode.NOT_FOUND, gone(service)
        if service not in self.hub.services:
            return StatusCode.UNIMPLEMENTED, f"{service} is not served here"
        return None

    def __repr__(self) -> str:
        return f"<ConnectedChannel to {self._ref.service} on {self._ref.connection}>"
