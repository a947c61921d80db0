"""tlslite-ng, another TLS, as a client: every suite, KeyUpdate, padding, records of odd sizes."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from actorrpc.pb.tls_pb2 import TlsSnapshot
from actorrpc.tls.handshake.contexts import Contexts
from actorrpc.tls.handshake.handshake import Established, Handshake
from actorrpc.tls.handshake.key_log import KeyLog
from actorrpc.tls.handshake.settings import Tls
from actorrpc.tls.record_layer import RecordLayer
from actorrpc.tls.snapshot import freeze_records, thaw_records
from tests.support.certificates import Pair

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports asyncore where there is one
    from tlslite.api import HandshakeSettings, TLSConnection
    from tlslite.constants import KeyUpdateMessageType

SUITES = {
    "aes128gcm": "TLS_AES_128_GCM_SHA256",
    "aes256gcm": "TLS_AES_256_GCM_SHA384",
    "chacha20-poly1305": "TLS_CHACHA20_POLY1305_SHA256",
}


class Memory:
    """A socket in memory that never blocks."""

    def __init__(self) -> None:
        self.incoming, self.outgoing = b"", b""

    def send(self, data: bytes) -> int:
        self.outgoing += bytes(data)
        return len(data)

    def sendall(self, data: bytes) -> None:
        self.send(data)

    def recv(self, size: int) -> bytes:
        if not self.incoming:
            raise OSError(errno.EWOULDBLOCK, "nothing has come")
        data, self.incoming = self.incoming[:size], self.incoming[size:]
        return data

    def take(self) -> bytes:
        data, self.outgoing = self.outgoing, b""
        return data

    def close(self) -> None: ...


class Both:
    """A client of tlslite's and the server's record layer, which moves before each answer."""

    def __init__(self, contexts: Contexts, **settings: Any) -> None:
        self.memory = Memory()
        self.client = TLSConnection(self.memory)
        self.client.closeSocket = False
        wanted = HandshakeSettings()
        wanted.minVersion = wanted.maxVersion = (3, 4)
        for name, value in settings.items():
            setattr(wanted, name, value)
        handshake = Handshake(contexts)
        shaking = self.client.handshakeClientCert(
            settings=wanted, serverName="localhost", alpn=[bytearray(b"h2")], async_=True
        )
        for _ in shaking:
            if data := self.memory.take():
                self.memory.incoming += handshake.receive(data)
        self.memory.incoming += handshake.receive(self.memory.take())
        assert isinstance(handshake.outcome, Established)
        assert isinstance(handshake.outcome.records, RecordLayer)
        self.outcome = handshake.outcome
        self.server = handshake.outcome.records

    def to_server(self) -> bytes:
        """What the client has sealed since, opened."""
        return self.server.receive(self.memory.take())

    def to_client(self, data: bytes) -> bytes:
        """Data that the server seals after a move, as the client reads it."""
        message = freeze_records(self.server).SerializeToString()
        arrived = thaw_records(TlsSnapshot.FromString(message))
        arrived.outbound.records_per_key = self.server.outbound.records_per_key
        arrived.own(self.server.freezes)
        self.server.release()
        self.server = arrived
        self.memory.incoming += self.server.send(data)
        read = b""
        while len(read) < len(data):
            read += last(self.client.readAsync(max=65536))
        assert not self.memory.incoming
        return read

    def write(self, data: bytes) -> bytes:
        last(self.client.writeAsync(data))
        return self.to_server()

    def update_keys(self, request: bool) -> bytes:
        kind = KeyUpdateMessageType.update_requested if request else KeyUpdateMessageType.update_not_requested
        last(self.client.send_keyupdate_request(kind))
        return self.to_server()


def last(steps: Iterator[Any]) -> Any:
    """Run a generator of tlslite's to its end. 0 or 1 is what it waits for: nothing has to, here."""
    result: Any = None
    for result in steps:
        assert result not in (0, 1) or isinstance(result, (bytes, bytearray)), "it waits"
    return result


@pytest.fixture
def contexts(log: KeyLog, server_pair: Pair) -> Contexts:
    return Contexts(Tls(server_pair.cert, server_pair.key), log, tickets=2)


@pytest.mark.parametrize("cipher", SUITES)
def test_each_suite(contexts: Contexts, cipher: str) -> None:
    both = Both(contexts, cipherNames=[cipher])
    assert both.outcome.cipher == SUITES[cipher]
    for size in (1, 100, 16_384, 50_000):
        data = bytes(index & 0xFF for index in range(size))
        assert both.write(data) == data
        assert both.to_client(data) == data
    for request in (True, False, True, True):
        assert both.update_keys(request) == b""
        assert both.write(b"after it") == b"after it"
        assert both.to_client(b"an answer") == b"an answer"
    assert both.server.outbound.protection.epoch == 3
    assert both.server.inbound.protection.epoch == 4


@pytest.mark.parametrize("cipher", SUITES)
def test_our_own_key_updates(contexts: Contexts, cipher: str) -> None:
    both = Both(contexts, cipherNames=[cipher])
    both.server.outbound.records_per_key = 4
    for number in range(30):
        data = b"%d" % number
        assert both.write(data) == data
        assert both.to_client(data) == data
    assert both.server.outbound.protection.epoch >= 9
    # It has been asked for new keys of its own, and has changed them each time.
    assert both.server.inbound.protection.epoch >= 5
    assert both.server.fault is None


def test_padded_records(contexts: Contexts) -> None:
    both = Both(contexts, padding_cb=lambda size, type_, most: min(most, 333))
    for size in (1, 10, 5000):
        assert both.write(b"p" * size) == b"p" * size
        assert both.to_client(b"q" * size) == b"q" * size


@pytest.mark.parametrize("size", [1, 2, 100])
def test_records_of_odd_sizes(contexts: Contexts, size: int) -> None:
    both = Both(contexts)
    both.client.recordSize = size
    assert both.write(b"in many records" * 10) == b"in many records" * 10


def test_the_end_from_both_sides(contexts: Contexts) -> None:
    both = Both(contexts)
    assert both.write(b"last words") == b"last words"
    both.memory.incoming += both.server.close()
    assert last(both.client.readAsync(max=10)) == b""
    assert both.to_server() == b""  # it answers with its own
    assert both.server.ended
    assert both.client.closed
