"""TLS itself, with `openssl s_client`, which is given HTTP/2 by hand.

What a test proves is a row of the docs' table.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import hpack
import pytest

from tests.interop.conftest import Start, tls_only
from tests.interop.procedures import LARGE, LARGE_REPLY, output, reply_of
from tests.interop.service import IDENTITY
from tests.interop.test_http2 import SERVICE, framed
from tests.interop.testing_pb2 import SimpleRequest
from tests.support import raw
from tests.support.endpoints import NAME, Endpoint
from tests.support.programs import program
from tests.support.waiting import PATIENCE

pytestmark = [tls_only]

#: Windows that no reply of these tests fills.
OPEN = raw.PREFACE + raw.settings((raw.INITIAL_WINDOW_SIZE, 1 << 24)) + raw.window_update(0, 1 << 24)
SMALL = SimpleRequest(fill_server_id=True)


@pytest.fixture(scope="module")
def app() -> str:
    return "tests.interop.service:app"


class SClient:
    """One connection of `openssl s_client`: what is written to it goes to the server, record for record.

    A read of one of its letters is a command, so what begins a write matters; frames begin with a zero, as
    none is longer than 64 kB.
    """

    def __init__(self, endpoint: Endpoint, *options: str) -> None:
        authority, certificate, key = endpoint.files
        command = [
            program("openssl"), "s_client", "-connect", endpoint.address, "-alpn", "h2", "-brief",
            "-CAfile", authority, "-verify_return_error", "-cert", certificate, "-key", key, *options,
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._splitter, self._decoder = raw.Splitter(), hpack.Decoder()
        self._calls = 0
        self.frames: list[raw.Frame] = []
        self._taken = 0
        #: What it has said itself.
        self.said = ""

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def until(self, condition: Callable[[], object]) -> None:
        """Read what it says and what the server says until a condition is true."""
        deadline = time.monotonic() + PATIENCE
        assert self.process.stdout is not None and self.process.stderr is not None
        out, err = self.process.stdout.fileno(), self.process.stderr.fileno()
        while not condition():
            ready = select.select([out, err], [], [], max(deadline - time.monotonic(), 0))[0]
            assert ready, f"nothing more came: {self.frames[-5:]}, {self.said}"
            if err in ready:
                data = os.read(err, 65_536)
                self.said += data.decode()
            if out in ready:
                data = os.read(out, 65_536)
                self.frames += self._splitter.split(data)
            assert data, f"it has ended: {self.said}"

    def begin(self, method: str, body: bytes = b"", flags: int = raw.END_STREAM) -> int:
        """Begin a call; returns its stream."""
        stream = self._calls * 2 + 1
        head = [
            (":method", "POST"), (":scheme", "https"), (":path", f"/{SERVICE}/{method}"),
            (":authority", "localhost"), ("content-type", "application/grpc"), ("te", "trailers"),
        ]  # fmt: skip
        parts = [body[at : at + 16_384] for at in range(0, len(body), 16_384)]
        frames = b"".join(raw.data(stream, part) for part in parts) + raw.data(stream, b"", flags)
        self.write((b"" if self._calls else OPEN) + raw.headers(stream, head) + frames)
        self._calls += 1
        return stream

    def data(self, stream: int) -> bytes:
        """What has come on a stream."""
        return b"".join(data for type_, _, on, data in self.frames if (type_, on) == (raw.DATA, stream))

    def trailers(self, stream: int) -> dict[str, str]:
        """Wait for the end of a stream. They are decoded in order, so none may be left out."""
        found: dict[str, str] = {}
        self.until(lambda: any(f[1] & raw.END_STREAM and f[2] == stream for f in self.frames))
        for type_, _, on, payload in self.frames[self._taken :]:
            if type_ == raw.HEADERS:
                fields = {str(name): str(value) for name, value in self._decoder.decode(payload)}
                found = fields if on == stream else found
        self._taken = len(self.frames)
        return found

    def call(self, request: SimpleRequest = SMALL) -> tuple[bytes, dict[str, str]]:
        stream = self.begin("UnaryCall", framed(request))
        trailers = self.trailers(stream)
        return self.data(stream), trailers

    def check_calls(self) -> None:
        """Large and small ones, on a connection that moves meanwhile if it is one that does."""
        for _ in range(5):
            _, trailers = self.call()
            assert (trailers["grpc-status"], trailers[IDENTITY]) == ("0", NAME)
        data, trailers = self.call(LARGE)
        assert trailers["grpc-status"] == "0" and data == framed(LARGE_REPLY)


@contextmanager
def s_client(endpoint: Endpoint, *options: str) -> Iterator[SClient]:
    client = SClient(endpoint, *options)
    try:
        yield client
    finally:
        client.process.kill()
        client.process.communicate()


@pytest.mark.parametrize(
    "suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
)
def test_openssl_uses_each_cipher(endpoint: Endpoint, suite: str) -> None:
    """calls are answered with each cipher suite, and know whose they are"""
    with s_client(endpoint, "-ciphersuites", suite) as client:
        client.check_calls()
        assert suite in client.said and "TLSv1.3" in client.said


def test_openssl_renews_its_keys(endpoint: Endpoint) -> None:
    """calls go on over KeyUpdates, with and without one of ours in return"""
    with s_client(endpoint) as client:
        client.check_calls()
        for command in (b"K\n", b"k\n", b"K\n"):
            updates = client.said.count("KEYUPDATE")
            client.write(command)
            client.until(lambda updates=updates: client.said.count("KEYUPDATE") > updates)
            client.check_calls()


@pytest.mark.parametrize("length", ["512", "4096"])
def test_openssl_wants_small_records(endpoint: Endpoint, length: str) -> None:
    """calls are answered in records that are as small as was agreed on (`-maxfraglen`)"""
    with s_client(endpoint, "-maxfraglen", length) as client:
        client.check_calls()


@pytest.mark.parametrize(
    "options",
    [("-groups", "P-256"), ("-groups", "P-384"), ("-groups", "X25519"), ("-no_middlebox",),
     ("-split_send_frag", "100", "-max_send_frag", "600"), ("-record_padding", "1000")],
    ids=lambda options: "-".join(options).strip("-"),
)  # fmt: skip
def test_openssl_uses_what_tls_offers(endpoint: Endpoint, options: tuple[str, ...]) -> None:
    """groups, no middlebox mode, many small records and padded ones are understood"""
    with s_client(endpoint, *options) as client:
        client.check_calls()


def test_openssl_hears_goaway(start: Start, endpoint: Endpoint) -> None:
    """a server that is stopped says GOAWAY, and the call that is under way goes on to its end"""
    request, reply = framed(output(10, 20)), framed(reply_of(20))
    with start() as server, s_client(Endpoint(server.address, endpoint.identity)) as client:
        stream = client.begin("FullDuplexCall", request, flags=0)
        client.until(lambda: client.data(stream) == reply)
        server.process.terminate()
        client.until(lambda: raw.GOAWAY in [type_ for type_, *_ in client.frames])
        client.write(raw.data(stream, request, raw.END_STREAM))
        assert client.trailers(stream)["grpc-status"] == "0"
        assert client.data(stream) == reply * 2
        assert server.process.wait(PATIENCE) == 0
        assert client.process.wait(PATIENCE) == 0, "close_notify came before the end"


@pytest.mark.parametrize(
    ("options", "alert"),
    [(("-tls1_2",), "protocol version"), (("-alpn", "http/1.1"), "no application protocol"),
     (("-ciphersuites", "TLS_AES_128_CCM_SHA256"), "handshake failure")],
    ids=["TLS 1.2", "no h2", "no cipher"],
)  # fmt: skip
def test_openssl_is_refused(endpoint: Endpoint, options: tuple[str, ...], alert: str) -> None:
    """TLS 1.2, no `h2`, and no cipher in common are refused, each with its alert"""
    with s_client(endpoint, *options) as client:
        assert client.process.wait(PATIENCE) == 1
        _, said = client.process.communicate()
        assert f"alert {alert}" in said.decode()
