"""OpenSSL's handshake, and a client of OpenSSL's over the record layer that takes over after it."""

from __future__ import annotations

import shutil
import socket
import subprocess

import pytest

from actorrpc.pb.tls_pb2 import TlsSnapshot
from actorrpc.tls.handshake.contexts import Contexts
from actorrpc.tls.handshake.handshake import Established, Handshake, Refused
from actorrpc.tls.handshake.key_log import KeyLog
from actorrpc.tls.handshake.settings import Tls
from actorrpc.tls.record_layer import RecordLayer
from actorrpc.tls.snapshot import freeze_records, thaw_records
from tests.support.certificates import Authority, Pair
from tests.support.openssl_client import OpenSslClient, client_context, pieces, shake_hands


def established(outcome: Established | Refused) -> tuple[Established, RecordLayer]:
    assert isinstance(outcome, Established), outcome
    assert isinstance(outcome.records, RecordLayer)
    return outcome, outcome.records


def moved(records: RecordLayer, unsent: bytes = b"") -> tuple[RecordLayer, bytes]:
    message = freeze_records(records, unsent).SerializeToString()
    records.release()
    arrived = thaw_records(TlsSnapshot.FromString(message))
    return arrived, arrived.own(records.freezes)


@pytest.mark.parametrize("tickets", [0, 1, 2, 5])
@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_echoes_over_moves(
    log: KeyLog, server_pair: Pair, authority: Authority, piece: int, tickets: int
) -> None:
    contexts = Contexts(Tls(server_pair.cert, server_pair.key), log, tickets=tickets)
    client = OpenSslClient(client_context(authority))
    outcome, records = established(shake_hands(contexts, client, piece=piece))
    assert (outcome.version, outcome.alpn, outcome.server_name) == ("TLSv1.3", "h2", "localhost")
    assert outcome.peer_certificate == b""
    assert outcome.pinned == ""
    assert outcome.unread == b""
    assert records.outbound.protection.sequence == tickets
    for number in range(20):
        message = b"%d " % number * (number * 211 % 7000 + 1)
        received = b""
        for part in pieces(client.write(message), piece * 100):
            received += records.receive(part)
            records, unsent = moved(records)
            assert unsent == b""
        assert received == message
        sealed = records.send(message)
        records, unsent = moved(records, sealed[50:])
        client.feed(sealed[:50] + unsent)
        assert client.read() == message
    client.feed(records.close())
    assert client.tls.read(1) == b""
    client.tls.unwrap()
    assert records.receive(client.output()) == b""
    assert records.ended
    assert records.fault is None


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
@pytest.mark.parametrize("most", [0, 512, 4096])
def test_a_client_that_takes_small_records_only(
    log: KeyLog, server_pair: Pair, authority: Authority, most: int
) -> None:
    """max_fragment_length (RFC 6066, 4): OpenSSL agrees to it, and so have we then."""
    contexts = Contexts(Tls(server_pair.cert, server_pair.key), log)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-alpn", "h2", "-quiet"]
        command += ["-servername", "localhost", "-CAfile", authority.file, "-verify_return_error"]
        command += ["-maxfraglen", str(most)] if most else []
        client = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        with client:
            assert client.stdin is not None
            assert client.stdout is not None
            connection, _ = listener.accept()
            with connection:
                records = greet(contexts, connection)
                client.stdin.write(b"q" * 1000)
                client.stdin.flush()
                received = b""
                while len(received) < 1000:
                    received += records.receive(connection.recv(4096))
                sealed = records.send(b"r" * 10_000)
                assert len(sealed) == 10_000 + 22 * -(-10_000 // (most or 16384))
                connection.sendall(sealed)
                assert client.stdout.read(10_000) == b"r" * 10_000
                connection.sendall(records.close())
            assert client.wait() == 0


def greet(contexts: Contexts, connection: socket.socket) -> RecordLayer:
    handshake = Handshake(contexts)
    while handshake.outcome is None:
        connection.sendall(handshake.receive(connection.recv(4096)))
    _, records = established(handshake.outcome)
    return records
