"""How each case goes, step by step, told once for all clients in Python."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from tests.interop.clients.client import Client, Metadata, Options
from tests.interop.service import INITIAL, TRAILING
from tests.interop.testing_pb2 import (
    BoolValue,
    EchoStatus,
    Empty,
    Payload,
    ResponseParameters,
    SimpleRequest,
    SimpleResponse,
    StreamingInputCallRequest,
    StreamingInputCallResponse,
    StreamingOutputCallRequest,
    StreamingOutputCallResponse,
)

SERVICE = "/grpc.testing.TestService"
UNIMPLEMENTED_SERVICE = "/grpc.testing.UnimplementedService"

OK = 0
CANCELLED = grpc.StatusCode.CANCELLED.value[0]
UNKNOWN = grpc.StatusCode.UNKNOWN.value[0]
INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT.value[0]
DEADLINE_EXCEEDED = grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED.value[0]

COMPRESSED = Options(compressed=True)
YES, NO = BoolValue(value=True), BoolValue(value=False)

REQUEST_SIZES = [27182, 8, 1828, 45904]
REPLY_SIZES = [31415, 9, 2653, 58979]

LARGE = SimpleRequest(response_size=314159, payload=Payload(body=bytes(271828)))
LARGE_REPLY = SimpleResponse(payload=Payload(body=bytes(314159)))

Procedure = Callable[[Client], Awaitable[None]]


def large(**fields: Any) -> SimpleRequest:
    request = SimpleRequest(**fields)
    request.MergeFrom(LARGE)
    return request


def reply_of(size: int) -> StreamingOutputCallResponse:
    return StreamingOutputCallResponse(payload=Payload(body=bytes(size)))


def output(request_size: int, *sizes: int, **fields: Any) -> StreamingOutputCallRequest:
    return StreamingOutputCallRequest(
        response_parameters=[ResponseParameters(size=size) for size in sizes],
        payload=Payload(body=bytes(request_size)),
        **fields,
    )


async def empty_unary(client: Client) -> None:
    outcome = await client.unary(f"{SERVICE}/EmptyCall", Empty())
    assert (outcome.status, outcome.replies) == (OK, [Empty()])


async def large_unary(client: Client) -> None:
    outcome = await client.unary(f"{SERVICE}/UnaryCall", LARGE)
    assert (outcome.status, outcome.replies) == (OK, [LARGE_REPLY]), outcome.message


async def client_compressed_unary(client: Client) -> None:
    probe = await client.unary(f"{SERVICE}/UnaryCall", large(expect_compressed=YES))
    assert probe.status == INVALID_ARGUMENT, probe
    compressed = await client.unary(f"{SERVICE}/UnaryCall", large(expect_compressed=YES), COMPRESSED)
    assert (compressed.status, compressed.replies) == (OK, [LARGE_REPLY]), compressed.message
    plain = await client.unary(f"{SERVICE}/UnaryCall", large(expect_compressed=NO))
    assert (plain.status, plain.replies) == (OK, [LARGE_REPLY]), plain.message


async def server_compressed_unary(client: Client) -> None:
    for wanted in (YES, NO):
        outcome = await client.unary(f"{SERVICE}/UnaryCall", large(response_compressed=wanted))
        assert (outcome.status, outcome.replies) == (OK, [LARGE_REPLY]), outcome.message


async def client_streaming(client: Client) -> None:
    requests = [StreamingInputCallRequest(payload=Payload(body=bytes(size))) for size in REQUEST_SIZES]
    outcome = await client.collect(f"{SERVICE}/StreamingInputCall", requests)
    expected = StreamingInputCallResponse(aggregated_payload_size=74922)
    assert (outcome.status, outcome.replies) == (OK, [expected]), outcome.message


async def client_compressed_streaming(client: Client) -> None:
    method = f"{SERVICE}/StreamingInputCall"
    zeros = StreamingInputCallRequest(payload=Payload(body=bytes(27182)), expect_compressed=YES)
    noise = random.Random(0).randbytes(45904)  # which grpcio sends plain on a compressed call
    plain = StreamingInputCallRequest(payload=Payload(body=noise), expect_compressed=NO)
    assert (await client.collect(method, [zeros])).status == INVALID_ARGUMENT
    outcome = await client.collect(method, [zeros, plain], COMPRESSED)
    expected = StreamingInputCallResponse(aggregated_payload_size=73086)
    assert (outcome.status, outcome.replies) == (OK, [expected]), outcome.message


async def server_streaming(client: Client) -> None:
    outcome = await client.expand(f"{SERVICE}/StreamingOutputCall", output(0, *REPLY_SIZES))
    assert (outcome.status, outcome.replies) == (OK, [reply_of(size) for size in REPLY_SIZES])


async def server_compressed_streaming(client: Client) -> None:
    request = StreamingOutputCallRequest(
        response_parameters=[
            ResponseParameters(compressed=YES, size=31415),
            ResponseParameters(compressed=NO, size=92653),
        ]
    )
    outcome = await client.expand(f"{SERVICE}/StreamingOutputCall", request)
    assert (outcome.status, outcome.replies) == (OK, [reply_of(31415), reply_of(92653)]), outcome.message


async def ping_pong(client: Client) -> None:
    call = await client.talk(f"{SERVICE}/FullDuplexCall")
    for request_size, reply_size in zip(REQUEST_SIZES, REPLY_SIZES, strict=True):
        await call.send(output(request_size, reply_size))
        assert await call.receive() == reply_of(reply_size)
    await call.half_close()
    outcome = await call.outcome()
    assert (outcome.status, outcome.replies) == (OK, [])


async def empty_stream(client: Client) -> None:
    call = await client.talk(f"{SERVICE}/FullDuplexCall")
    await call.half_close()
    outcome = await call.outcome()
    assert (outcome.status, outcome.replies) == (OK, [])


async def custom_metadata(client: Client) -> None:
    sent: Metadata = [(INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab")]
    options = Options(metadata=sent)
    unary = await client.unary(f"{SERVICE}/UnaryCall", LARGE, options)
    assert (unary.status, unary.replies) == (OK, [LARGE_REPLY])
    call = await client.talk(f"{SERVICE}/FullDuplexCall", options)
    await call.send(output(271828, 314159))
    await call.half_close()
    duplex = await call.outcome()
    assert (duplex.status, duplex.replies) == (OK, [reply_of(314159)])
    for outcome in (unary, duplex):
        assert sent[0] in outcome.initial and sent[1] in outcome.trailing, outcome


async def status_code_and_message(client: Client) -> None:
    await _echoes_status(client, "test status message")
    call = await client.talk(f"{SERVICE}/FullDuplexCall")
    status = EchoStatus(code=UNKNOWN, message="test status message")
    await call.send(StreamingOutputCallRequest(response_status=status))
    await call.half_close()
    outcome = await call.outcome()
    assert (outcome.status, outcome.message) == (UNKNOWN, "test status message")


async def special_status_message(client: Client) -> None:
    await _echoes_status(client, "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n")


async def _echoes_status(client: Client, message: str) -> None:
    request = SimpleRequest(response_status=EchoStatus(code=UNKNOWN, message=message))
    outcome = await client.unary(f"{SERVICE}/UnaryCall", request)
    assert (outcome.status, outcome.message) == (UNKNOWN, message)


async def unimplemented_method(client: Client) -> None:
    assert (await client.unary(f"{SERVICE}/UnimplementedCall", Empty())).status == UNIMPLEMENTED


async def unimplemented_service(client: Client) -> None:
    outcome = await client.unary(f"{UNIMPLEMENTED_SERVICE}/UnimplementedCall", Empty())
    assert outcome.status == UNIMPLEMENTED


async def cancel_after_begin(client: Client) -> None:
    assert (await client.collect_and_cancel(f"{SERVICE}/StreamingInputCall")).status == CANCELLED
    await empty_unary(client)


async def cancel_after_first_response(client: Client) -> None:
    call = await client.talk(f"{SERVICE}/FullDuplexCall")
    await call.send(output(27182, 31415))
    assert await call.receive() == reply_of(31415)
    await call.cancel()
    assert (await call.outcome()).status == CANCELLED
    await empty_unary(client)


async def timeout_on_sleeping_server(client: Client) -> None:
    call = await client.talk(f"{SERVICE}/FullDuplexCall", Options(timeout=0.001))
    await call.send(output(27182))
    assert (await call.outcome()).status == DEADLINE_EXCEEDED
    await empty_unary(client)


async def rpc_soak(client: Client) -> None:
    for _ in range(20):
        await large_unary(client)


async def channel_soak(client: Client) -> None:
    for _ in range(5):
        async with client.another() as another:
            await large_unary(another)


PROCEDURES: dict[str, Procedure] = {
    procedure.__name__: procedure
    for procedure in (
        empty_unary,
        large_unary,
        client_compressed_unary,
        server_compressed_unary,
        client_streaming,
        client_compressed_streaming,
        server_streaming,
        server_compressed_streaming,
        ping_pong,
        empty_stream,
        custom_metadata,
        status_code_and_message,
        special_status_message,
        unimplemented_method,
        unimplemented_service,
        cancel_after_begin,
        cancel_after_first_response,
        timeout_on_sleeping_server,
        rpc_soak,
        channel_soak,
    )
}
