"""The handshake: who is let in, who is refused and what both sides are told, and what it leaves behind."""

from __future__ import annotations

import gc
import os
import ssl
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from actorrpc.tls.handshake.contexts import Contexts
from actorrpc.tls.handshake.handshake import Established, Handshake, Refused
from actorrpc.tls.handshake.key_log import CLIENT_SECRET, SERVER_SECRET, KeyLog
from actorrpc.tls.handshake.pinned import PinnedRecords
from actorrpc.tls.handshake.settings import Tls
from tests.support.certificates import Authority, Pair
from tests.support.openssl_client import OpenSslClient, client_context, pieces, shake_hands


@pytest.fixture
def contexts(log: KeyLog, server_pair: Pair) -> Contexts:
    return Contexts(Tls(server_pair.cert, server_pair.key), log)


def outcome_and_alert(contexts: Contexts, client: OpenSslClient) -> tuple[str, str]:
    """Why the server has refused it, and OpenSSL's name of what the client was told."""
    handshake = Handshake(contexts)
    told = ""
    client.feed(b"")
    while handshake.outcome is None:
        answer = handshake.receive(client.output())
        try:
            client.feed(answer)
            if handshake.outcome is not None:
                client.read()
        except ssl.SSLError as error:
            told = error.reason or str(error)
    assert isinstance(handshake.outcome, Refused)
    return handshake.outcome.why, told


# ---- who is let in


def test_data_that_comes_with_the_end_of_the_handshake(contexts: Contexts, authority: Authority) -> None:
    client = OpenSslClient(client_context(authority))
    handshake = Handshake(contexts)
    client.feed(b"")
    client.feed(handshake.receive(client.output()))
    assert handshake.receive(client.output() + client.write(b"at once") + b"\x17\3\3") == b""
    outcome = handshake.outcome
    assert isinstance(outcome, Established)
    assert outcome.records.receive(outcome.unread) == b"at once"
    assert outcome.records.fault is None
    assert outcome.records.receive(client.write(b"and now")[3:]) == b"and now"


@pytest.mark.parametrize("piece", [1, 10, 100])
def test_a_handshake_in_pieces(contexts: Contexts, authority: Authority, piece: int) -> None:
    outcome = shake_hands(contexts, OpenSslClient(client_context(authority)), piece=piece)
    assert isinstance(outcome, Established)


def test_a_hello_that_has_to_be_said_again(contexts: Contexts, authority: Authority) -> None:
    """HelloRetryRequest: the server takes another group than the client has guessed."""
    contexts._contexts[0].set_ecdh_curve("secp521r1")
    client = OpenSslClient(client_context(authority))
    outcome = shake_hands(contexts, client)
    assert isinstance(outcome, Established)
    assert outcome.records.receive(client.write(b"data")) == b"data"
    client.feed(outcome.records.send(b"back"))
    assert client.read() == b"back"


def test_a_hello_in_several_records(contexts: Contexts, authority: Authority) -> None:
    client = OpenSslClient(client_context(authority))
    handshake = Handshake(contexts)
    client.feed(b"")
    hello = client.output()
    split = b"".join(hello[:3] + len(part).to_bytes(2, "big") + part for part in pieces(hello[5:], 20))
    client.feed(handshake.receive(split))
    client.feed(handshake.receive(client.output()))
    outcome = handshake.outcome
    assert isinstance(outcome, Established)
    assert outcome.records.receive(client.write(b"data")) == b"data"


def test_handshakes_at_the_same_time(contexts: Contexts, authority: Authority) -> None:
    clients = [OpenSslClient(client_context(authority)) for _ in range(5)]
    handshakes = [Handshake(contexts) for _ in clients]
    for client in clients:
        client.feed(b"")
    for _ in range(2):
        for client, handshake in zip(clients, handshakes, strict=True):
            client.feed(handshake.receive(client.output()))
    for number, (client, handshake) in enumerate(zip(clients, handshakes, strict=True)):
        outcome = handshake.outcome
        assert isinstance(outcome, Established)
        assert outcome.records.receive(client.write(b"%d" % number)) == b"%d" % number


def test_names_choose_certificates(log: KeyLog, authority: Authority) -> None:
    pairs = [
        authority.sign("first", ["first.example", "also.example"]),
        authority.sign("wild", ["*.wild.example"]),
        authority.sign("common.example"),
    ]
    contexts = Contexts(Tls([pair.cert for pair in pairs], [pair.key for pair in pairs]), log)

    def shown(name: str) -> str:
        context = client_context(authority)
        context.check_hostname = False
        client = OpenSslClient(context, name)
        outcome = shake_hands(contexts, client)
        assert isinstance(outcome, Established)
        assert outcome.server_name == name
        assert (
            outcome.records.receive(client.write(b"data")) == b"data"
        )  # the key log is that of all contexts
        subject = client.tls.getpeercert()
        assert subject is not None
        return str(subject["subject"][0][0][1])  # type: ignore[index]

    assert shown("first.example") == shown("also.example") == "first"
    assert shown("a.wild.example") == shown("A.Wild.Example") == "wild"
    assert shown("a.b.wild.example") == shown("wild.example") == shown("unknown.example") == "first"
    assert shown("common.example") == "common.example"


# ---- clients' certificates


@pytest.mark.parametrize("asked", ["optional", "required"])
def test_a_clients_certificate(log: KeyLog, server_pair: Pair, authority: Authority, asked: str) -> None:
    contexts = Contexts(Tls(server_pair.cert, server_pair.key, authority.file, asked), log)
    pair = authority.sign("a client")
    outcome = shake_hands(contexts, OpenSslClient(client_context(authority, pair)))
    assert isinstance(outcome, Established)
    assert outcome.peer_certificate == ssl.PEM_cert_to_DER_cert(Path(pair.cert).read_text())


def test_a_client_may_have_none_where_it_is_optional(
    log: KeyLog, server_pair: Pair, authority: Authority
) -> None:
    contexts = Contexts(Tls(server_pair.cert, server_pair.key, authority.file, "optional"), log)
    outcome = shake_hands(contexts, OpenSslClient(client_context(authority)))
    assert isinstance(outcome, Established)
    assert outcome.peer_certificate == b""


def test_a_client_is_not_asked_where_none_is_wanted(
    log: KeyLog, server_pair: Pair, authority: Authority
) -> None:
    contexts = Contexts(Tls(server_pair.cert, server_pair.key, authority.file, "none"), log)
    outcome = shake_hands(contexts, OpenSslClient(client_context(authority, authority.sign("unasked"))))
    assert isinstance(outcome, Established)
    assert outcome.peer_certificate == b""


def test_a_client_without_a_certificate_that_needs_one(
    log: KeyLog, server_pair: Pair, authority: Authority
) -> None:
    contexts = Contexts(Tls(server_pair.cert, server_pair.key, authority.file), log)
    why, told = outcome_and_alert(contexts, OpenSslClient(client_context(authority)))
    assert why == "has failed in its handshake: it has no certificate, and needs one here"
    assert told == "TLSV13_ALERT_CERTIFICATE_REQUIRED"


@pytest.mark.parametrize("asked", ["optional", "required"])
@pytest.mark.parametrize("case", ["expired", "early", "stranger"])
def test_a_client_whose_certificate_is_not_admitted(
    log: KeyLog, server_pair: Pair, authority: Authority, tmp_path: Path, case: str, asked: str
) -> None:
    contexts = Contexts(Tls(server_pair.cert, server_pair.key, authority.file, asked), log)
    pair, reason, alert = {
        "expired": lambda: (
            authority.sign("late", days=-0.5),
            "certificate has expired",
            "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        ),
        "early": lambda: (
            authority.sign("early", begins=2),
            "certificate is not yet valid",
            "SSLV3_ALERT_BAD_CERTIFICATE",
        ),
        "stranger": lambda: (
            Authority(tmp_path / "other").sign("stranger"),
            "unable to get local issuer certificate",
            "TLSV1_ALERT_UNKNOWN_CA",
        ),
    }[case]()
    why, told = outcome_and_alert(contexts, OpenSslClient(client_context(authority, pair)))
    assert why == f"has a certificate that is not admitted: {reason}"
    assert told == alert


def test_a_certificate_that_is_too_large(log: KeyLog, server_pair: Pair, authority: Authority) -> None:
    contexts = Contexts(Tls(server_pair.cert, server_pair.key, authority.file), log)
    large = authority.sign("large", padding=70_000)
    client = OpenSslClient(client_context(authority, large))
    outcome = shake_hands(contexts, client)
    assert outcome == Refused("has sent more than 65536 bytes in its handshake")
    fits = authority.sign("fits", padding=40_000)
    assert isinstance(shake_hands(contexts, OpenSslClient(client_context(authority, fits))), Established)


# ---- who is refused


@pytest.mark.parametrize("alpn", [(), ("http/1.1",), ("h2c", "h3")])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_alpn_must_choose_h2(
    log: KeyLog, server_pair: Pair, authority: Authority, alpn: tuple[str, ...], version: ssl.TLSVersion
) -> None:
    contexts = Contexts(Tls(server_pair.cert, server_pair.key, minimum="1.2"), log)
    client = OpenSslClient(client_context(authority, alpn=alpn, maximum_version=version))
    why, told = outcome_and_alert(contexts, client)
    assert why == "does not offer h2 (ALPN)"
    assert "alert no application protocol" in told.lower().replace("_", " ")


def test_h2_is_chosen_among_others(contexts: Contexts, authority: Authority) -> None:
    client = OpenSslClient(client_context(authority, alpn=("h3", "http/1.1", "h2")))
    outcome = shake_hands(contexts, client)
    assert isinstance(outcome, Established)
    assert outcome.alpn == client.tls.selected_alpn_protocol() == "h2"


def test_an_old_version_is_refused(contexts: Contexts, authority: Authority) -> None:
    client = OpenSslClient(client_context(authority, maximum_version=ssl.TLSVersion.TLSv1_2))
    why, told = outcome_and_alert(contexts, client)
    assert why == "has failed in its handshake: it offers no version of TLS that is allowed here"
    assert told == "TLSV1_ALERT_PROTOCOL_VERSION"


def test_a_client_that_does_not_trust_the_server(contexts: Contexts, tmp_path: Path) -> None:
    client = OpenSslClient(client_context(Authority(tmp_path / "other")))
    handshake = Handshake(contexts)
    client.feed(b"")
    with pytest.raises(ssl.SSLCertVerificationError):
        client.feed(handshake.receive(client.output()))
    assert handshake.receive(client.output()) == b""
    assert handshake.outcome == Refused("has ended its handshake: unknown ca")


@pytest.mark.parametrize(
    ("first", "speaks"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2"),
        (b"P", "HTTP/2"),
        (b"GET / HTTP/1.1\r\n", "HTTP/1"),
        (b"POST /x HTTP/1.1\r\n", "HTTP/1"),
        (b"\x80\x2e\1\0\2", "something else"),  # SSL 2
        (b"SSH-2.0-", "something else"),
        (b"\x17\3\3\0\1\0", "something else"),
    ],
)
def test_plaintext_where_tls_is_spoken(contexts: Contexts, first: bytes, speaks: str) -> None:
    handshake = Handshake(contexts)
    assert handshake.receive(first) == b""
    assert handshake.outcome == Refused(f"speaks {speaks}, and not TLS", speaks)
    with pytest.raises(RuntimeError, match="the handshake is over"):
        handshake.receive(b"more")


@pytest.mark.parametrize("length", [1, 3, 5])
def test_the_first_bytes_of_tls_are_waited_for(contexts: Contexts, length: int) -> None:
    handshake = Handshake(contexts)
    assert handshake.receive(b"\x16\3\1\2\0"[:length]) == b""
    assert handshake.outcome is None


@pytest.mark.parametrize(
    ("spoil", "why", "alert"),
    [
        (lambda hello: hello[:3] + b"\xff\xff" + hello[5:], "has failed in its handshake: ", 22),
        (lambda hello: hello[:5] + b"\2" + hello[6:], "has failed in its handshake: unexpected message", 10),
        (
            lambda hello: hello[:8] + bytes((hello[8] - 1,)) + hello[9:],
            "has sent a malformed ClientHello",
            50,
        ),
        (lambda hello: hello[:3] + b"\0\5\1\0\0\1\0", "has sent a malformed ClientHello", 50),
        (lambda hello: (hello[:3] + b"\0\0") * 40, "has failed in its handshake: ", 10),
    ],
)
def test_a_first_record_that_is_wrong(
    contexts: Contexts, authority: Authority, spoil: Callable[[bytes], bytes], why: str, alert: int
) -> None:
    client = OpenSslClient(client_context(authority))
    client.feed(b"")
    handshake = Handshake(contexts)
    answer = handshake.receive(spoil(client.output()))
    assert isinstance(handshake.outcome, Refused)
    assert handshake.outcome.why.startswith(why)
    assert answer == bytes((21, 3, 3, 0, 2, 2, alert))


def test_a_bit_that_is_flipped_in_any_byte_of_the_client(contexts: Contexts, authority: Authority) -> None:
    """Of its second flight, which is protected: nothing but a refusal comes of it, and an alert."""
    for at in range(0, 80, 3):
        client = OpenSslClient(client_context(authority))
        handshake = Handshake(contexts)
        client.feed(b"")
        client.feed(handshake.receive(client.output()))
        flight = bytearray(client.output())
        if at >= len(flight):
            break
        flight[at] ^= 1
        answer = handshake.receive(bytes(flight))
        if handshake.outcome is None:  # a length: the rest is waited for
            assert answer == b""
        elif isinstance(handshake.outcome, Established):  # a version, which means nothing
            assert at in (1, 2)
        else:
            assert answer


def test_a_handshake_that_never_ends(contexts: Contexts) -> None:
    handshake = Handshake(contexts, max_bytes=1000)
    hello = b"\1\0\xff\xff" + bytes(400)
    record = b"\x16\3\3" + len(hello).to_bytes(2, "big") + hello
    part = b"\x16\3\3\1\0" + bytes(256)
    assert handshake.receive(record + part * 2) == b""
    assert handshake.outcome is None
    assert handshake.receive(part) == b"\x15\3\3\0\2\2\x2f", "illegal_parameter"
    assert handshake.outcome == Refused("has sent more than 1000 bytes in its handshake")
    byte_by_byte = Handshake(contexts)
    byte_by_byte.receive(b"\x16\3\3\0\1\1" * 70_000)
    assert byte_by_byte.outcome == Refused("has sent more than 65536 bytes in its handshake")


def test_a_client_that_goes_away(contexts: Contexts) -> None:
    handshake = Handshake(contexts)
    handshake.receive_eof()
    assert handshake.outcome == Refused("has closed the connection before its handshake was over")
    handshake = Handshake(contexts)
    handshake.abandon()
    assert handshake.outcome == Refused("was not waited for")
    handshake.abandon()


# ---- TLS 1.2


def test_tls_1_2_stays_with_openssl(log: KeyLog, server_pair: Pair, authority: Authority) -> None:
    contexts = Contexts(Tls(server_pair.cert, server_pair.key, minimum="1.2"), log)
    client = OpenSslClient(client_context(authority, maximum_version=ssl.TLSVersion.TLSv1_2))
    outcome = shake_hands(contexts, client)
    assert isinstance(outcome, Established)
    assert isinstance(outcome.records, PinnedRecords)
    assert outcome.pinned == "it speaks TLSv1.2"
    records = outcome.records
    for size in (1, 1000, 50_000):
        data = b"d" * size
        sealed = client.write(data)
        assert b"".join(records.receive(part) for part in pieces(sealed, 999)) == data
        client.feed(records.send(data))
        assert client.read() == data
    client.feed(records.close())
    assert client.tls.read(1) == b""
    assert records.send(b"more") == b""
    client.tls.unwrap()
    assert records.receive(client.output()) == b""
    assert records.ended
    records.receive_eof()
    assert not records.truncated


def test_tls_1_2_that_breaks(log: KeyLog, server_pair: Pair, authority: Authority) -> None:
    contexts = Contexts(Tls(server_pair.cert, server_pair.key, minimum="1.2"), log)
    client = OpenSslClient(client_context(authority, maximum_version=ssl.TLSVersion.TLSv1_2))
    outcome = shake_hands(contexts, client)
    assert isinstance(outcome, Established)
    sealed = bytearray(client.write(b"data"))
    sealed[-1] ^= 1
    assert outcome.records.receive(bytes(sealed)) == b""
    assert outcome.records.fault is not None
    with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
        client.feed(outcome.records.send(b"dropped"))
        client.read()


def test_tls_1_3_where_1_2_is_allowed(log: KeyLog, server_pair: Pair, authority: Authority) -> None:
    contexts = Contexts(Tls(server_pair.cert, server_pair.key, minimum="1.2"), log)
    outcome = shake_hands(contexts, OpenSslClient(client_context(authority)))
    assert isinstance(outcome, Established)
    assert (outcome.version, outcome.pinned) == ("TLSv1.3", "")


# ---- tickets


def test_a_ticket_is_good_for_its_own_contexts_only(
    log: KeyLog, server_pair: Pair, authority: Authority
) -> None:
    tls = Tls(server_pair.cert, server_pair.key)
    contexts, others = Contexts(tls, log, tickets=1), Contexts(tls, log, tickets=1)
    context = client_context(authority)
    first = OpenSslClient(context)
    outcome = shake_hands(contexts, first)
    assert isinstance(outcome, Established)
    first.read()
    session = first.tls.session
    assert session is not None
    assert session.has_ticket
    for own, resumed in ((contexts, True), (others, False)):
        again = OpenSslClient(context, session=session)
        outcome = shake_hands(own, again)
        assert isinstance(outcome, Established)
        assert again.tls.session_reused is resumed
        assert outcome.records.receive(again.write(b"data")) == b"data"
        again.feed(outcome.records.send(b"back"))
        assert again.read() == b"back"


# ---- what it leaves behind


def test_openssl_is_let_go_of(contexts: Contexts, authority: Authority) -> None:
    client = OpenSslClient(client_context(authority))
    handshake = Handshake(contexts)
    openssl = weakref.ref(handshake._tls)
    client.feed(b"")
    gc.disable()
    try:
        client.feed(handshake.receive(client.output()))
        client.feed(handshake.receive(client.output()))
        assert isinstance(handshake.outcome, Established)
        assert openssl() is None
    finally:
        gc.enable()


def test_the_key_log_is_in_no_file_and_is_read_once(contexts: Contexts, authority: Authority) -> None:
    handshake = Handshake(contexts)
    client = OpenSslClient(client_context(authority))
    client.feed(b"")
    client.feed(handshake.receive(client.output()))
    log = contexts.log
    assert os.readlink(log.path).startswith("pipe:")
    with pytest.raises(BlockingIOError):
        os.read(log._reader, 1)
    assert not any(log._buffer)
    assert handshake._secrets.keys() == {SERVER_SECRET}  # the other is logged when the client is done
    handshake.abandon()
    assert not handshake._secrets


def test_a_key_log_has_lines_of_others() -> None:
    log = KeyLog()
    try:
        with open(log.path, "ab") as writing:
            for random in (b"a" * 32, b"b" * 32):
                for label in (CLIENT_SECRET, SERVER_SECRET, b"EXPORTER_SECRET"):
                    writing.write(
                        b"%s %s %s\n" % (label, random.hex().encode(), (random + label).hex().encode())
                    )
        assert log.take(b"b" * 32) == {label: b"b" * 32 + label for label in (CLIENT_SECRET, SERVER_SECRET)}
        assert log.take(b"a" * 32) == {}
    finally:
        log.close()


def test_it_works_in_a_process_that_gevent_has_patched(
    log: KeyLog, server_pair: Pair, authority: Authority
) -> None:
    program = """
import gevent.monkey
gevent.monkey.patch_all()
import ssl, sys
from actorrpc.tls.handshake.contexts import Contexts
from actorrpc.tls.handshake.handshake import Established
from actorrpc.tls.handshake.key_log import KeyLog
from actorrpc.tls.handshake.settings import Tls
from tests.support.openssl_client import OpenSslClient, shake_hands
context = ssl.create_default_context(cafile=sys.argv[3])
context.set_alpn_protocols(["h2"])
client = OpenSslClient(context)
outcome = shake_hands(Contexts(Tls(sys.argv[1], sys.argv[2], sys.argv[3], "optional"), KeyLog()), client)
print(outcome.records.receive(client.write(b"data")).decode())
"""
    command = [sys.executable, "-c", program, server_pair.cert, server_pair.key, authority.file]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.stdout == "data\n", done.stderr
