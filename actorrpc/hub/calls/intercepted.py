"""Calls that show the app's interceptors their replies and their end.

Nothing of this is made for an app without interceptors.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gevent import get_hub
from google.protobuf.message import Message

from actorrpc.call import Reply
from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.calls.call import CallHost, ServerCall
from actorrpc.hub.calls.chain import Chain
from actorrpc.hub.calls.failures import contain, fail
from actorrpc.hub.calls.identity import check_identity, check_unset
from actorrpc.hub.calls.route import Route
from actorrpc.hub.calls.variables import run_in
from actorrpc.hub.runtime.runners import Runners
from actorrpc.keys import key_of_call
from actorrpc.wire.stream import Stream

__all__ = ["Endings", "InterceptedCall"]


class InterceptedCall(ServerCall[Reply]):
    """A call whose replies and whose end the app's interceptors see, and which may have an identity."""

    __slots__ = ("_identity", "_key")

    def __init__(self, host: CallHost, stream: Stream, route: Route) -> None:
        super().__init__(host, stream, route)
        self._identity = self._key = ""

    @property
    def identity(self) -> str:
        return self._identity

    @identity.setter
    def identity(self, value: str) -> None:
        check_unset(value, self._identity)
        if not self.receiver.admits:
            raise RuntimeError(
                "call.identity is set before the call has an actor: in an interceptor's on_call"
            )
        check_identity(value)
        self._identity = value

    @property
    def key(self) -> str:
        keyed = self.route.keyed
        if keyed is None or self._key:
            return self._key
        try:
            return "" if keyed.field else key_of_call(keyed, self.metadata, self._identity)
        except RpcError:  # its end, once it has been admitted
            return ""

    def set_key(self, key: str) -> None:
        self._key = key

    def restore_identity(self, value: str) -> None:
        """Take over what was set in another hub."""
        self._identity = value

    @property
    def _chain(self) -> Chain:
        assert self.route.chain is not None
        return self.route.chain

    def send(self, message: Reply, *, compress: bool = True) -> None:
        method = self.route.method
        self.host.settle("send")  # before an on_reply runs in another thread, or while the connection moves
        if self.ended or not (isinstance(message, method.reply) and method.server_streaming):
            super().send(message, compress=compress)  # which says what is wrong
            return
        message = self._seen(message)  # type: ignore[assignment]
        if not self._is_over:  # else an on_reply has ended it: this was the last that the handler could send
            super().send(message, compress=compress)

    def send_published(self, payload: bytes, compress: bool = True) -> None:
        if self._chain.sees_replies:
            try:
                payload = self._seen(self.route.method.reply.FromString(payload)).SerializeToString()
            except BaseException as error:
                fail(self, error)
        if not self.ended:
            self.send_payload(payload, compress)

    @property
    def _is_over(self) -> bool:
        """``ended``, read anew."""
        return self.ended

    def _seen(self, message: Message) -> Message:
        """What the interceptors make of a reply, which goes out if the call has not ended then."""
        chain = self._chain
        return (
            run_in(self, chain.reply, self, message, self.route.method.reply)
            if chain.sees_replies
            else message
        )

    def reply(self, message: Message) -> None:
        message = self._seen(message)
        if not self.ended:
            super().reply(message)
            if not self.cancelled:  # as a reply over a limit is: `end` has told that
                self._tell(StatusCode.OK, "")

    def reply_payload(self, payload: bytes) -> None:
        if self._chain.sees_replies:
            self.reply(self.route.method.reply.FromString(payload))
        else:
            self.send_reply(payload)
            if not self.cancelled:
                self._tell(StatusCode.OK, "")

    def end(
        self, status: StatusCode, message: str = "", metadata: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        if not self.ended:
            super().end(status, message, metadata)
            self._tell(status, message)

    def cancel(self, why: str) -> None:
        if not self.ended:
            super().cancel(why)
            self._tell(StatusCode.CANCELLED, why)

    def _tell(self, status: StatusCode, message: str) -> None:
        self.host.tell_ended(self, status, message)


class Endings:
    """Calls that have ended, until their interceptors have been told.

    They are told in gevent's loop, where a hook that blocks gets an error instead of holding up others.
    """

    def __init__(self, runners: Runners) -> None:
        self._runners = runners
        self._loop = get_hub().loop
        self._due: list[tuple[ServerCall[Any], StatusCode, str]] = []

    def add(self, call: ServerCall[Any], status: StatusCode, message: str) -> None:
        if not self._due:
            self._loop.run_callback(self.tell)
        self._due.append((call, status, message))

    def tell(self) -> None:
        """Run ``on_end`` of all that have ended."""
        due, self._due = self._due, []
        for call, status, message in due:
            assert call.route.chain is not None
            for error in run_in(call, call.route.chain.ended, call, status, message):
                contain(error)
            self._runners.leave_child()

    def __repr__(self) -> str:
        return f"<Endings {len(self._due)} due>"
