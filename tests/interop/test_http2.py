"""HTTP/2 itself, with tools that know no gRPC. What a test proves is a row of the docs' table.

A call that is refused for its headers alone is made without a body: the server ends its answer to one with a
body by RST_STREAM(NO_ERROR) (RFC 9113, 8.1), and curl before 8.0 may then drop the answer.
"""

from __future__ import annotations

import gzip
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.protobuf.message import Message

from tests.interop.conftest import Start, plaintext_only, tls_only
from tests.interop.procedures import LARGE, LARGE_REPLY, NO, YES, large, output, reply_of
from tests.interop.service import IDENTITY
from tests.interop.testing_pb2 import (
    EchoStatus,
    Empty,
    SimpleRequest,
    SimpleResponse,
    StreamingOutputCallResponse,
)
from tests.interop.wiretap import wiretap
from tests.support import raw
from tests.support.endpoints import NAME, Endpoint
from tests.support.programs import program
from tests.support.waiting import PATIENCE

SERVICE = "grpc.testing.TestService"
HEADERS = ["-H", "content-type: application/grpc", "-H", "te: trailers"]


@pytest.fixture(scope="module")
def app() -> str:
    return "tests.interop.service:app"


def framed(message: Message, *, compress: bool = False) -> bytes:
    """As gRPC frames it: the Compressed-Flag, the length, the message."""
    payload = message.SerializeToString()
    if compress:
        payload = gzip.compress(payload)
    return bytes((compress,)) + len(payload).to_bytes(4, "big") + payload


def unframed(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The Compressed-Flag and the bytes of each message."""
    while data:
        end = 5 + int.from_bytes(data[1:5], "big")
        assert len(data) >= end, "a message that is not whole"
        yield data[0], data[5:end]
        data = data[end:]


def run(name: str, *arguments: str) -> str:
    """Run a tool to its end, which must be a good one. Returns what it printed."""
    done = subprocess.run([program(name), *arguments], capture_output=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode(errors="replace")


@dataclass
class Answer:
    """What curl got. ``head`` has the headers and the trailers, which no name is in twice."""

    code: int
    head: dict[str, str]
    body: bytes

    def replies(self, kind: type[Message]) -> list[Message]:
        return [kind.FromString(payload) for _, payload in unframed(self.body)]


class Curl:
    def __init__(self, endpoint: Endpoint, folder: Path) -> None:
        self._endpoint = endpoint
        self._folder = folder

    def post(self, method: str, body: bytes, *arguments: str) -> Answer:
        request = self._folder / "request"
        request.write_bytes(body)
        return self.fetch(method, "--data-binary", f"@{request}", *HEADERS, *arguments)

    def post_nothing(self, method: str, *arguments: str) -> Answer:
        return self.fetch(method, "-X", "POST", *HEADERS, *arguments)

    def fetch(self, path: str, *arguments: str) -> Answer:
        head, body = self._folder / "head", self._folder / "body"
        written = run(
            "curl", "-sS", *curl_options(self._endpoint), "-D", str(head), "-o", str(body), "-w",
            "%{http_code} %{http_version}", *arguments, self._endpoint.url(path),
        )  # fmt: skip
        code, version = written.split()
        assert version == "2"
        lines = [line.partition(": ") for line in head.read_text().splitlines() if ": " in line]
        fields = {name: value for name, _, value in lines}
        assert len(fields) == len(lines)
        return Answer(int(code), fields, body.read_bytes() if body.exists() else b"")


def curl_options(endpoint: Endpoint) -> tuple[str, ...]:
    if not endpoint.files:
        return ("--http2-prior-knowledge",)
    authority, certificate, key = endpoint.files
    return ("--tlsv1.3", "--cacert", authority, "--cert", certificate, "--key", key)


@pytest.fixture
def curl(endpoint: Endpoint, tmp_path: Path) -> Curl:
    return Curl(endpoint, tmp_path)


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    return tmp_path / "request"


def test_curl_calls_a_method(curl: Curl) -> None:
    """a framed message, POSTed, is answered with one, and with the status in the trailers"""
    answer = curl.post(f"{SERVICE}/UnaryCall", framed(LARGE))
    assert (answer.code, answer.head) == (200, {"content-type": "application/grpc", "grpc-status": "0"})
    assert answer.replies(SimpleResponse) == [LARGE_REPLY]


def test_curl_reads_a_stream(curl: Curl) -> None:
    """a stream of replies is one body"""
    answer = curl.post(f"{SERVICE}/StreamingOutputCall", framed(output(0, 31415, 9, 0)))
    assert answer.head["grpc-status"] == "0"
    assert answer.replies(StreamingOutputCallResponse) == [reply_of(size) for size in (31415, 9, 0)]


def test_curl_sees_a_status(curl: Curl) -> None:
    """a status message is percent-encoded"""
    status = EchoStatus(code=2, message="100 %\r\n☺")
    answer = curl.post(f"{SERVICE}/UnaryCall", framed(SimpleRequest(response_status=status)))
    assert (answer.code, answer.head["grpc-status"]) == (200, "2")
    assert answer.head["grpc-message"] == "100 %25%0D%0A%E2%98%BA"


def test_curl_calls_an_unknown_method(curl: Curl) -> None:
    """an unknown method is answered with headers alone, and 200"""
    answer = curl.post_nothing("no.Service/Method")
    assert (answer.code, answer.head["grpc-status"], answer.body) == (200, "12", b"")


def test_curl_gets_405(curl: Curl) -> None:
    """GET is refused with 405"""
    assert curl.fetch(f"{SERVICE}/EmptyCall", *HEADERS).code == 405


def test_curl_is_told_what_to_use(curl: Curl) -> None:
    """405 comes with `allow: POST`, as it must (RFC 9110, 15.5.6)"""
    assert curl.fetch(f"{SERVICE}/EmptyCall", *HEADERS).head.get("allow") == "POST"


def test_curl_gets_415(curl: Curl) -> None:
    """another content-type than gRPC's is refused with 415"""
    answer = curl.fetch(f"{SERVICE}/EmptyCall", "-X", "POST", "-H", "content-type: application/json")
    assert answer.code == 415


@plaintext_only
def test_curl_speaks_http1(endpoint: Endpoint) -> None:
    """HTTP/1.1 is told, in HTTP/1.1, what this port speaks"""
    answer = run("curl", "-sS", "--http1.1", "-i", endpoint.url(f"{SERVICE}/EmptyCall"))
    assert answer.startswith("HTTP/1.1 505 ") and "gRPC over HTTP/2" in answer


@tls_only
def test_curl_does_not_offer_h2(endpoint: Endpoint) -> None:
    """a client that does not offer `h2` (ALPN) is told so by an alert"""
    url = endpoint.url(f"{SERVICE}/EmptyCall")
    command = [program("curl"), "-sS", "--http1.1", *curl_options(endpoint), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 35 and "no application protocol" in done.stderr


@tls_only
def test_curl_is_known(curl: Curl) -> None:
    """the call knows whose it is by the client's certificate"""
    answer = curl.post(f"{SERVICE}/UnaryCall", framed(SimpleRequest(fill_server_id=True)))
    assert (answer.head["grpc-status"], answer.head[IDENTITY]) == ("0", NAME)


def test_curl_has_a_deadline(curl: Curl) -> None:
    """`grpc-timeout` ends a call that sleeps"""
    sleepy = output(0, 1)
    sleepy.response_parameters[0].interval_us = 60_000_000
    answer = curl.post(f"{SERVICE}/StreamingOutputCall", framed(sleepy), "-H", "grpc-timeout: 200m")
    assert (answer.code, answer.head["grpc-status"], answer.body) == (200, "4", b"")


def test_curl_expects_to_go_on(curl: Curl, tmp_path: Path) -> None:
    """`expect: 100-continue` is answered with 100 ahead of the answer"""
    answer = curl.post(f"{SERVICE}/UnaryCall", framed(LARGE), "-H", "expect: 100-continue")
    assert (answer.code, answer.head["grpc-status"]) == (200, "0")
    assert answer.replies(SimpleResponse) == [LARGE_REPLY]
    lines = (tmp_path / "head").read_text().split("\n")
    assert [line.split()[1] for line in lines if line.startswith("HTTP/2")] == ["100", "200"]


@pytest.mark.parametrize("accepted", ["gzip", "identity, deflate, gzip"])
def test_curl_compresses(curl: Curl, accepted: str) -> None:
    """a gzip message is read, and answered with one if `grpc-accept-encoding` has it"""
    request = framed(large(expect_compressed=YES, response_compressed=YES), compress=True)
    encodings = ["-H", "grpc-encoding: gzip", "-H", f"grpc-accept-encoding: {accepted}"]
    answer = curl.post(f"{SERVICE}/UnaryCall", request, *encodings)
    assert (answer.head.get("grpc-status"), answer.head.get("grpc-encoding")) == ("0", "gzip")
    [(flag, data)] = unframed(answer.body)
    assert flag == 1 and SimpleResponse.FromString(gzip.decompress(data)) == LARGE_REPLY


def test_curl_does_not_decompress(curl: Curl) -> None:
    """a client that names no encodings gets plain replies, even where it asks for others"""
    answer = curl.post(f"{SERVICE}/UnaryCall", framed(large(response_compressed=YES)))
    assert answer.head["grpc-status"] == "0"
    assert [flag for flag, _ in unframed(answer.body)] == [0]
    assert answer.replies(SimpleResponse) == [LARGE_REPLY]


def test_curl_names_an_encoding_and_does_not_use_it(curl: Curl) -> None:
    """a message without the Compressed-Flag is plain, whatever `grpc-encoding` says"""
    answer = curl.post(
        f"{SERVICE}/UnaryCall", framed(large(expect_compressed=NO)), "-H", "grpc-encoding: gzip"
    )
    assert (answer.head["grpc-status"], answer.replies(SimpleResponse)) == ("0", [LARGE_REPLY])


def test_curl_uses_an_unknown_encoding(curl: Curl) -> None:
    """an encoding that the server does not know is UNIMPLEMENTED, and it names those that it knows"""
    answer = curl.post_nothing(f"{SERVICE}/EmptyCall", "-H", "grpc-encoding: snappy")
    assert (answer.code, answer.head["grpc-status"]) == (200, "12")
    assert {"gzip", "identity"} <= set(re.split(", *", answer.head["grpc-accept-encoding"]))


def test_curl_sets_the_flag_without_an_encoding(curl: Curl) -> None:
    """the Compressed-Flag without `grpc-encoding` is INTERNAL"""
    answer = curl.post(f"{SERVICE}/EmptyCall", framed(Empty(), compress=True))
    assert (answer.code, answer.head["grpc-status"]) == (200, "13")


@plaintext_only  # test_openssl.py has it for TLS
def test_curl_hears_goaway(start: Start) -> None:
    """a server that is stopped says GOAWAY, and the call that is under way goes on to its end"""
    request, reply = framed(output(10, 20)), framed(reply_of(20))
    with start() as server, wiretap(server.address) as tap:
        command = [program("curl"), "-sS", "-N", "--http2-prior-knowledge", "-X", "POST", "-T", ".", *HEADERS]
        url = f"http://{tap.address}/{SERVICE}/FullDuplexCall"
        with subprocess.Popen([*command, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as curl:
            assert curl.stdin is not None and curl.stdout is not None
            curl.stdin.write(request)
            curl.stdin.flush()
            assert curl.stdout.read(len(reply)) == reply
            [(_, answered)] = tap.connections
            server.process.terminate()
            server.wait_for(lambda: raw.GOAWAY in [type_ for type_, *_ in answered.frames()])
            curl.stdin.write(request)
            curl.stdin.flush()
            assert curl.stdout.read(len(reply)) == reply
            curl.stdin.close()
            assert curl.stdout.read() == b""
            assert curl.wait(PATIENCE) == 0
        assert server.process.wait(PATIENCE) == 0
        assert answered.headers()[-1]["grpc-status"] == "0"


def nghttp(endpoint: Endpoint, body: Path, method: str, *arguments: str) -> str:
    """Call a method, and return the log of all frames."""
    _, certificate, key = endpoint.files or ("", "", "")
    shown = (f"--cert={certificate}", f"--key={key}") if key else ()
    return run(
        "nghttp",
        "-v",
        "-n",
        "-d",
        str(body),
        *HEADERS,
        *shown,
        *arguments,
        endpoint.url(f"{SERVICE}/{method}"),
    )


def received(log: str, stream: int) -> list[str]:
    """The frames that came on a stream."""
    return re.findall(rf"recv (\w+) frame <length=\d+, flags=0x\w+, stream_id={stream}>", log)


def data_bytes(log: str) -> int:
    return sum(int(length) for length in re.findall(r"recv DATA frame <length=(\d+),", log))


def statuses(log: str) -> list[str]:
    return re.findall(r"recv \(stream_id=\d+\) grpc-status: (\d+)", log)


def test_nghttp_sees_the_frames(endpoint: Endpoint, request_file: Path) -> None:
    """an answer is HEADERS, DATA, HEADERS; the client's SETTINGS are acknowledged"""
    request_file.write_bytes(framed(Empty()))
    log = nghttp(endpoint, request_file, "EmptyCall", "--no-dep")
    assert received(log, 1) == ["HEADERS", "DATA", "HEADERS"]
    assert received(log, 0).count("SETTINGS") == 2 and "GOAWAY" not in received(log, 0)
    assert statuses(log) == ["0"]


@tls_only
def test_nghttp_is_known(endpoint: Endpoint, request_file: Path) -> None:
    """each of ten calls knows whose it is by the client's certificate"""
    request_file.write_bytes(framed(SimpleRequest(fill_server_id=True)))
    log = nghttp(endpoint, request_file, "UnaryCall", "-m", "10")
    assert re.findall(rf"recv \(stream_id=\d+\) {IDENTITY}: (.*)", log) == [NAME] * 10


def test_nghttp_multiplexes(endpoint: Endpoint, request_file: Path) -> None:
    """a hundred calls on one connection, begun at once, are all answered"""
    request_file.write_bytes(framed(output(10, 1000, 1000)))
    log = nghttp(endpoint, request_file, "StreamingOutputCall", "-m", "100")
    assert statuses(log) == ["0"] * 100
    assert data_bytes(log) == 200 * len(framed(reply_of(1000)))


def test_nghttp_has_small_windows(endpoint: Endpoint, request_file: Path) -> None:
    """windows of 255 bytes let a large reply through, one window at a time"""
    request_file.write_bytes(framed(output(10, 31415)))
    log = nghttp(endpoint, request_file, "StreamingOutputCall", "-w", "8", "-W", "8")
    lengths = [int(length) for length in re.findall(r"recv DATA frame <length=(\d+),", log)]
    assert sum(lengths) == len(framed(reply_of(31415))) and max(lengths) <= 255
    assert statuses(log) == ["0"]


@pytest.mark.parametrize(
    "options",
    [("--padding", "255"), ("--header-table-size", "0"), ("--no-content-length",),
     ("--header-table-size", "65536"), ("--encoder-header-table-size", "0"), ("--trailer", "x-checksum: 1")],
    ids=lambda options: options[0][2:],
)  # fmt: skip
def test_nghttp_uses_what_http2_offers(
    endpoint: Endpoint, request_file: Path, options: tuple[str, ...]
) -> None:
    """padding, other header tables and request trailers are understood"""
    request_file.write_bytes(framed(LARGE))
    log = nghttp(endpoint, request_file, "UnaryCall", "-m", "3", *options)
    assert statuses(log) == ["0"] * 3
    assert data_bytes(log) == 3 * len(framed(LARGE_REPLY))


def test_nghttp_sends_too_many_headers(endpoint: Endpoint, request_file: Path) -> None:
    """headers over the limit, in CONTINUATION frames, are RESOURCE_EXHAUSTED, each time"""
    request_file.write_bytes(framed(Empty()))
    log = nghttp(endpoint, request_file, "EmptyCall", "-m", "3", "--continuation")
    blocks = [int(length) for length in re.findall(r"send HEADERS frame <length=(\d+),", log)]
    assert min(blocks) > 16_384, "no frame holds such a header block"
    assert statuses(log) == ["8"] * 3 and "GOAWAY" not in received(log, 0)


def h2load(
    endpoint: Endpoint, body: Path, method: str, calls: int, replies: Iterable[Message], *arguments: str
) -> None:
    """Make so many calls. h2load sees no gRPC status; but an answer that is an error has no message."""
    report = run(
        "h2load", f"-n{calls}", "-d", str(body), *HEADERS, *arguments, endpoint.url(f"{SERVICE}/{method}")
    )
    assert f"{calls} succeeded, 0 failed, 0 errored, 0 timeout" in report, report
    assert f"status codes: {calls} 2xx" in report, report
    size = sum(len(framed(reply)) for reply in replies)
    assert f"({calls * size}) data" in report, report


def test_h2load_calls(endpoint: Endpoint, request_file: Path) -> None:
    """2,000 calls, 32 at once on each of four connections, are all answered"""
    request_file.write_bytes(framed(SimpleRequest(response_size=10)))
    reply = SimpleResponse(payload=reply_of(10).payload)
    h2load(endpoint, request_file, "UnaryCall", 2000, [reply], "-c4", "-m32")


def test_h2load_has_small_windows(endpoint: Endpoint, request_file: Path) -> None:
    """200 streams share windows of 4 kB, and each gets its 40 kB"""
    request_file.write_bytes(framed(output(100, 31415, 9, 8192)))
    replies = [reply_of(size) for size in (31415, 9, 8192)]
    h2load(endpoint, request_file, "StreamingOutputCall", 200, replies, "-c2", "-m10", "-w12", "-W12")


def test_h2load_has_no_header_table(endpoint: Endpoint, request_file: Path) -> None:
    """calls whose headers come without HPACK's table are answered"""
    request_file.write_bytes(framed(Empty()))
    options = ["-c2", "-m8", "--header-table-size=0", "--encoder-header-table-size=0"]
    h2load(endpoint, request_file, "EmptyCall", 500, [Empty()], *options)
