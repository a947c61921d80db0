"""``Relay``: a client's call to a keyed actor, where the client's connection is. What the client sends goes
to the actor, wherever that lives, and what the actor answers to the client.

The app's interceptors see the call here, as they see all others of the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from google.protobuf.message import DecodeError

from actorrpc.errors import CallInterrupted, RpcError, StatusCode
from actorrpc.hub.actors.call_stage import CallStage
from actorrpc.hub.actors.turns import END
from actorrpc.hub.calls.call import Receiver, ServerCall
from actorrpc.hub.calls.failures import fail
from actorrpc.hub.calls.variables import run_as_turn
from actorrpc.hub.directory.names import Location
from actorrpc.hub.exchange.outgoing import BEGUN, Fields, OutgoingCall, Request
from actorrpc.hub.metering.usage import Part
from actorrpc.hub.phase import FROZEN
from actorrpc.hub.runtime.runners import Runner
from actorrpc.keys import key_in, key_of_call
from actorrpc.pb.snapshot_pb2 import RelaySnapshot
from actorrpc.service import Keyed
from actorrpc.wire.compression import Compressed

__all__ = ["FirstMessage", "Relay"]


class Relay(Receiver):
    """To its call it stands where the actor's cell would, and to the actor it is who calls."""

    __slots__ = ("_call", "_payload", "_stage", "outgoing")

    serves = True
    #: Whoever ends the call, the actor is to hear of it.
    ends = True

    def __init__(self, stage: CallStage, call: ServerCall[Any]) -> None:
        self._stage = stage
        #: None once it has ended, or is served elsewhere.
        self._call: ServerCall[Any] | None = call
        self.part = Part(stage.usage)
        self.queued = False
        #: The request, until it is sent.
        self._payload: bytes | None = None
        #: Once it is.
        self.outgoing: OutgoingCall | None = None

    # ---- what the client does

    def push(self, kind: int, call: ServerCall[Any], payload: Any) -> None:
        self._payload = payload

    def release(self, call: ServerCall[Any]) -> None:
        """The call has been admitted."""
        self.go_on(call)

    def go_on(self, call: ServerCall[Any]) -> None:
        if call.held:
            self._payload = call.held.popleft()
            self._stage.schedule.ready(self)
        if self.outgoing is not None:
            self._stage.resources.exchange.attach(self.outgoing)

    def start(self) -> None:
        payload, self._payload = self._payload, None
        call, schedule = self._call, self._stage.schedule
        if payload is None or call is None:
            return
        if schedule.paused:
            call.hold(payload)
            schedule.notice_quiet()
        elif call.route.chain is None:
            self._take(call, payload)
        else:  # on_request may block
            schedule.run(lambda runner: self._take_on(runner, call, payload), self.part)

    def _take_on(self, runner: Runner, call: ServerCall[Any], payload: bytes) -> None:
        try:
            run_as_turn(call, runner, self._take, call, payload)
        finally:
            self._stage.schedule.runner_left(self)

    def _take(self, call: ServerCall[Any], payload: bytes) -> None:
        try:
            keyed = call.route.keyed
            assert keyed is not None
            if call.route.chain is None and not keyed.field and type(payload) is bytes:
                call.drop(payload)  # the connection need not count it any more
            else:
                message = call.take(payload)
                if keyed.field:
                    key = key_in(keyed, message)
                payload = message.SerializeToString()
                if call.parsed:
                    call.host.release(call)
            if not keyed.field:
                key = key_of_call(keyed, call.metadata, call.identity)
        except CallInterrupted:
            return
        except BaseException as error:
            fail(call, error)
            return
        call.since = monotonic()
        request = Request(
            method=call.route.path,
            message=payload,
            fields=call.stream.head.fields,
            deadline=call.deadline,
            identity=call.identity,
            peer=self._stage.peer,
            origin=self._stage.id,
            client=self._stage.client_facts,
            context=tuple(call.noted),
            passed_on=call.passed_on,
        )
        name = call.route.service.__rpc__.name, key
        outgoing = self._stage.resources.exchange.begin(name, request, self)
        if not call.ended:
            self.outgoing = outgoing

    def drained(self, call: ServerCall[Any]) -> None:
        if self.outgoing is not None:
            self._stage.resources.exchange.go_on(self.outgoing)

    def call_ended(self, call: ServerCall[Any], status: StatusCode, message: str) -> None:
        outgoing, self.outgoing = self.outgoing, None
        if outgoing is not None:
            self._stage.resources.exchange.withdraw(outgoing)
        if self._payload is not None:
            call.drop(self._payload)
        self._let_go()
        self._stage.schedule.notice_quiet()

    def _let_go(self) -> None:
        """Forget the call, which knows this, so that both are freed at once."""
        self._payload = None
        self._call = None

    # ---- what the actor answers

    @property
    def frozen(self) -> bool:
        return self._stage.phase.state == FROZEN

    @property
    def congested(self) -> bool:
        return self._call is not None and self._call.congested

    def on_begun(self) -> None:
        self._stage.schedule.notice_quiet()

    def on_headers(self, fields: Fields) -> None:
        assert self._call is not None
        self._call.initial = [*self._call.initial, *fields]
        self._call.send_headers()

    def on_message(self, payload: bytes) -> None:
        assert self._call is not None
        self._call.send_published(payload)

    def on_end(self, status: StatusCode, message: str, fields: Fields, reply: bytes | None) -> None:
        self.outgoing = None
        call = self._call
        if call is None:
            return
        if reply is None:
            call.end(status, message, fields)
            return
        call.trailing = [*call.trailing, *fields]
        try:
            call.reply_payload(reply)
        except BaseException as error:  # an interceptor's
            fail(call, error)

    # ---- its moves

    @property
    def on_its_way(self) -> bool:
        return self._payload is not None or (self.outgoing is not None and self.outgoing.state != BEGUN)

    def freeze(self) -> RelaySnapshot:
        """What travels of it with its call."""
        outgoing = self.outgoing
        if outgoing is None:
            return RelaySnapshot()
        service, key = outgoing.name
        snapshot = RelaySnapshot(
            call=outgoing.id, service=service, key=key, received=outgoing.received, moves=outgoing.moves
        )
        if outgoing.where is not None:
            snapshot.hub = outgoing.where.hub
        return snapshot

    def thaw(self, snapshot: RelaySnapshot) -> None:
        if snapshot.call:
            where = Location(snapshot.hub, 0) if snapshot.HasField("hub") else None
            self.outgoing = OutgoingCall(
                snapshot.call,
                (snapshot.service, snapshot.key),
                self,
                None,
                BEGUN,
                where,
                snapshot.received,
                moves=snapshot.moves + 1,
            )

    def left(self) -> None:
        outgoing, self.outgoing = self.outgoing, None
        if outgoing is not None:
            self._stage.resources.exchange.leave(outgoing)
        self._let_go()

    def __repr__(self) -> str:
        return f"<Relay {self._call!r} as {self.outgoing!r}>"


class FirstMessage(Receiver):
    """Where a call waits whose key is in its first message: interceptors are to know it in ``on_call``."""

    __slots__ = ("_admit",)

    admits = True

    def __init__(self, part: Part, admit: Callable[[ServerCall[Any]], None]) -> None:
        self.part = part
        self.queued = False
        self._admit = admit

    def push(self, kind: int, call: ServerCall[Any], payload: Any) -> None:
        call.hold(None if kind == END else payload)
        if kind != END:
            self.see(call, payload)
        self._admit(call)

    def see(self, call: ServerCall[Any], payload: bytes) -> None:
        """Have the key be known."""
        keyed = call.route.keyed
        assert keyed is not None
        try:
            call.set_key(_peek(call, keyed, payload))
        except RpcError:
            pass  # it is refused when it has been admitted: then the client may know why


def _peek(call: ServerCall[Any], keyed: Keyed, payload: bytes) -> str:
    if isinstance(payload, Compressed):
        payload = call.host.session.inbound.decompress(call.stream, payload, again=True)
    try:
        return key_in(keyed, call.route.parse(payload))
    except DecodeError as error:
        raise RpcError(StatusCode.INTERNAL, "not a message") from error
