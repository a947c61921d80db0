"""The server of gRPC's public interoperability tests, with the features that its descriptions name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from gevent import sleep

import actorrpc
from tests.interop.testing_actorrpc import TestServiceBase
from tests.interop.testing_pb2 import (
    EchoStatus,
    Empty,
    Payload,
    SimpleRequest,
    SimpleResponse,
    StreamingInputCallRequest,
    StreamingInputCallResponse,
    StreamingOutputCallRequest,
    StreamingOutputCallResponse,
    Visits,
)

INITIAL = "x-grpc-test-echo-initial"
TRAILING = "x-grpc-test-echo-trailing-bin"
#: Our own: what to compress with if not gzip; and, in trailers, the calls that the actor has had, and whose.
ENCODING = "x-actorrpc-encoding"
CALLS = "x-actorrpc-calls"
IDENTITY = "x-actorrpc-identity"

Expecting = SimpleRequest | StreamingInputCallRequest
Replies = actorrpc.Call[StreamingOutputCallResponse]


def echo_metadata(call: actorrpc.Call[Any]) -> None:
    """Feature "Echo Metadata"."""
    if INITIAL in call.metadata:
        call.send_initial_metadata({INITIAL: call.metadata[INITIAL]})
    if TRAILING in call.metadata:
        call.set_trailing_metadata({TRAILING: call.metadata[TRAILING]})


def echo_status(asked: EchoStatus) -> None:
    """Feature "Echo Status"."""
    if asked.code:
        raise actorrpc.RpcError(actorrpc.StatusCode(asked.code), asked.message)


def check_compression(message: Expecting, call: actorrpc.Call[Any]) -> None:
    """Feature "CompressedRequest"."""
    if message.HasField("expect_compressed") and message.expect_compressed.value != call.request_compressed:
        raise actorrpc.RpcError(
            actorrpc.StatusCode.INVALID_ARGUMENT,
            f"the message came with the Compressed-Flag {call.request_compressed:d}",
        )


def payload(size: int) -> Payload:
    return Payload(body=bytes(size))


class TestService(TestServiceBase):
    """An actor: what a call needs from one turn to the next is in ``call.cursor``, which travels."""

    state: Visits

    def EmptyCall(self, request: Empty, call: actorrpc.Call[Empty]) -> Empty:
        self.state.calls += 1
        return Empty()

    def UnaryCall(self, request: SimpleRequest, call: actorrpc.Call[SimpleResponse]) -> SimpleResponse:
        self.state.calls += 1
        check_compression(request, call)
        if request.response_compressed.value:
            call.set_compression(str(call.metadata.get(ENCODING, "gzip")))
        echo_metadata(call)
        echo_status(request.response_status)
        reply = SimpleResponse(payload=payload(request.response_size))
        if request.fill_server_id:
            reply.server_id = str(os.getpid())
            call.set_trailing_metadata({CALLS: str(self.state.calls), IDENTITY: call.identity})
        return reply

    def StreamingOutputCall(
        self, request: StreamingOutputCallRequest, call: Replies
    ) -> Iterator[StreamingOutputCallResponse]:
        """An iterable that goes on from its cursor where its connection moves; it blocks between replies, as
        one that reads a database does."""
        self._begin(request, call)
        wanted = request.response_parameters
        for number in range(int(call.cursor or b"0"), len(wanted)):
            call.cursor = b"%d" % (number + 1)
            sleep(wanted[number].interval_us / 1e6)
            plain = wanted[number].HasField("compressed") and not wanted[number].compressed.value
            call.set_compression(None if plain or not asks_for_compression(request) else "gzip")
            yield StreamingOutputCallResponse(payload=payload(wanted[number].size))

    def StreamingInputCall(
        self, message: StreamingInputCallRequest, call: actorrpc.Call[StreamingInputCallResponse]
    ) -> None:
        check_compression(message, call)
        call.cursor = b"%d" % (int(call.cursor or b"0") + len(message.payload.body))

    def StreamingInputCall_end(
        self, call: actorrpc.Call[StreamingInputCallResponse]
    ) -> StreamingInputCallResponse:
        self.state.calls += 1
        return StreamingInputCallResponse(aggregated_payload_size=int(call.cursor or b"0"))

    def FullDuplexCall(self, message: StreamingOutputCallRequest, call: Replies) -> None:
        self._begin(message, call)
        call.cursor = b"begun"
        for wanted in message.response_parameters:
            if wanted.interval_us:
                sleep(wanted.interval_us / 1e6)
            reply = StreamingOutputCallResponse(payload=payload(wanted.size))
            if wanted.HasField("compressed") and not wanted.compressed.value:
                call.send(reply, compress=False)
            else:
                call.send(reply)

    def _begin(self, request: StreamingOutputCallRequest, call: Replies) -> None:
        """Set compression, and echo metadata once: after the headers know of the compression."""
        if asks_for_compression(request):
            call.set_compression("gzip")
        if not call.cursor:
            self.state.calls += 1
            echo_metadata(call)
        echo_status(request.response_status)


def asks_for_compression(request: StreamingOutputCallRequest) -> bool:
    return any(wanted.compressed.value for wanted in request.response_parameters)


app = actorrpc.App([TestService])
