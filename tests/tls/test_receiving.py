"""What a client may send in records, and the alert that answers what it may not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actorrpc.tls.alerts import Alert
from actorrpc.tls.limits import MAX_IDLE_UPDATES
from actorrpc.tls.record_layer import RecordLayer
from tests.support.tls_client import AES_128, AES_256, ALERT, CCS, CHACHA, DATA, HANDSHAKE, Client

FULL = 1 << 14
KEY_UPDATE = bytes((24, 0, 0, 1, 0))
suites = pytest.mark.parametrize("suite", [AES_128, AES_256, CHACHA])


def refused(layer: RecordLayer, client: Client) -> str:
    """The alert that a layer has sent, with the reason; it must be the last that it sends, and opens."""
    assert layer.fault is not None
    assert not layer.fault.received
    [(type_, content)] = client.read(layer.send(b"never sent"))
    assert (type_, content) == (ALERT, bytes((2, layer.fault.alert)))
    assert layer.send(b"never sent") == layer.close() == b""
    assert layer.receive(client.data(b"never read")) == b""
    names = {number: name for name, number in vars(Alert).items()}
    return f"{names[layer.fault.alert]}: {layer.fault}"


@suites
def test_data_in_records_of_any_size(suite: int) -> None:
    client = Client(suite)
    layer = client.server()
    for size in (1, 8, 9, 60, FULL - 1, FULL):
        assert layer.receive(client.data(b"d" * size)) == b"d" * size
    assert layer.receive(client.data(b"one") + client.data(b"two" * 100)) == b"one" + b"two" * 100
    assert layer.fault is None


def test_records_before_the_takeover_are_counted() -> None:
    client = Client(sealed=3, opened=2)
    layer = client.server()
    assert layer.receive(client.data(b"the fourth")) == b"the fourth"
    assert client.read(layer.send(b"the third")) == [(DATA, b"the third")]
    wrong = Client(sealed=3)
    layer = Client(sealed=2).server()
    layer.receive(wrong.data(b"the fourth"))
    assert layer.fault is not None
    assert layer.fault.alert == Alert.BAD_RECORD_MAC


@pytest.mark.parametrize("padding", [1, 2, 7, 255, 256, 1000, FULL - 5])
@pytest.mark.parametrize("content", [b"", b"five!", b"zero\0"])
def test_padding_is_taken_off(padding: int, content: bytes) -> None:
    client = Client()
    layer = client.server()
    assert layer.receive(client.data(content, padding)) == content
    assert layer.receive(client.data(b"next")) == b"next"
    assert layer.fault is None


def test_a_record_with_as_much_padding_as_fits() -> None:
    client = Client()
    layer = client.server()
    assert layer.receive(client.data(b"a", FULL - 1)) == b"a"
    assert layer.receive(client.data(b"", FULL)) == b""
    assert layer.fault is None


def test_what_a_record_says_of_its_version_means_nothing() -> None:
    client = Client()
    layer = client.server()
    assert layer.receive(client.sending.seal(b"data\x17", version=0x0301)) == b"data"


def test_the_memory_of_another_may_be_given() -> None:
    """A transport has one buffer for all its connections, and reads into it again."""
    client = Client()
    layer = client.server()
    sealed = client.data(b"first") + client.data(b"second" * 100)
    buffer = bytearray(1000)
    buffer[: len(sealed) - 5] = sealed[:-5]
    assert layer.receive(memoryview(buffer)[: len(sealed) - 5]) == b"first"
    buffer[:5] = sealed[-5:]
    assert layer.receive(memoryview(buffer)[:5]) == b"second" * 100
    buffer.clear()  # BufferError if anything of it were kept


def test_many_small_pieces_are_not_copied_over_and_over() -> None:
    client = Client()
    layer = client.server()
    sealed = client.data(b"x" * FULL)
    copied = 0

    class Counting(bytearray):
        def __iadd__(self, data: bytes) -> Counting:  # type: ignore[override]
            nonlocal copied
            copied += len(data)
            return super().__iadd__(data)  # type: ignore[return-value]

    layer.inbound.partial_record = Counting()
    for byte in sealed[:-1]:
        assert layer.receive(bytes((byte,))) == b""
    assert layer.receive(sealed[-1:]) == b"x" * FULL
    assert copied == len(sealed)


# ---- what is refused


@pytest.mark.parametrize(
    ("send", "answer"),
    [
        (lambda c: flipped(c.data(b"data"), 8), "BAD_RECORD_MAC: a record that was not sealed with the conn"),
        (lambda c: flipped(c.data(b"data"), 1), "BAD_RECORD_MAC: "),
        (lambda c: flipped(c.data(b"data"), -1), "BAD_RECORD_MAC: "),
        (lambda c: b"\x17\3\3\0\0", "BAD_RECORD_MAC: "),
        (lambda c: b"\x17\3\3\0\x0f" + bytes(15), "BAD_RECORD_MAC: "),
        (lambda c: c.data(b"skipped") and c.data(b"data"), "BAD_RECORD_MAC: "),
        (lambda c: c.data(b"again") * 2, "BAD_RECORD_MAC: "),
        (lambda c: b"\x17\3\3\x41\x01", "RECORD_OVERFLOW: a record of 16641 bytes"),
        (lambda c: b"\x17\3\3\xff\xff", "RECORD_OVERFLOW: a record of 65535 bytes"),
        (lambda c: c.data(b"d" * (FULL + 1)), "RECORD_OVERFLOW: a record of 16385 bytes"),
        (lambda c: c.data(b"d", FULL), "RECORD_OVERFLOW: a record of 16385 bytes"),
        (lambda c: c.data(b"d" * (FULL + 239)), "RECORD_OVERFLOW: a record of 16623 bytes"),
        (lambda c: c.sending.seal(b""), "UNEXPECTED_MESSAGE: a record of nothing but padding"),
        (lambda c: c.sending.seal(bytes(100)), "UNEXPECTED_MESSAGE: a record of nothing but padding"),
        (lambda c: c.sending.seal(bytes(FULL + 1)), "UNEXPECTED_MESSAGE: a record of nothing but padding"),
        (lambda c: b"\x14\3\3\0\1\1", "UNEXPECTED_MESSAGE: change_cipher_spec after the handshake"),
        (lambda c: c.record(CCS, b"\1"), "UNEXPECTED_MESSAGE: a record of type 20"),
        (lambda c: b"\x15\3\3\0\2\1\0", "UNEXPECTED_MESSAGE: a record of type 21 that is not protected"),
        (
            lambda c: b"\x16\3\1\0\5\1\0\0\1\3",
            "UNEXPECTED_MESSAGE: a record of type 22 that is not protected",
        ),
        (lambda c: b"PRI * HTTP/2.0", "UNEXPECTED_MESSAGE: a record of type 80 that is not protected"),
        (
            lambda c: c.sending.seal(b"data\x17", outer=HANDSHAKE),
            "UNEXPECTED_MESSAGE: a record of type 22 that",
        ),
        (lambda c: c.record(24, b"heartbeat"), "UNEXPECTED_MESSAGE: a record of type 24"),
        (lambda c: c.record(255, b""), "UNEXPECTED_MESSAGE: a record of type 255"),
        (lambda c: c.record(ALERT, b""), "UNEXPECTED_MESSAGE: an alert of 0 bytes"),
        (lambda c: c.record(ALERT, b"\2"), "DECODE_ERROR: an alert of 1 bytes"),
        (lambda c: c.record(ALERT, b"\1\0\1\0"), "DECODE_ERROR: an alert of 4 bytes"),
        (lambda c: c.record(HANDSHAKE, b""), "UNEXPECTED_MESSAGE: an empty handshake record"),
        (lambda c: c.record(HANDSHAKE, b"", 5), "UNEXPECTED_MESSAGE: an empty handshake record"),
        # Renegotiation, a ticket from the client, and a certificate that nobody has asked for.
        (lambda c: c.record(HANDSHAKE, b"\1\0\0\4abcd"), "UNEXPECTED_MESSAGE: a handshake message of type 1"),
        (lambda c: c.record(HANDSHAKE, b"\4\0\0\4abcd"), "UNEXPECTED_MESSAGE: a handshake message of type 4"),
        (lambda c: c.record(HANDSHAKE, b"\x0b"), "UNEXPECTED_MESSAGE: a handshake message of type 11"),
        (
            lambda c: c.record(HANDSHAKE, b"\x14\0\0\x20"),
            "UNEXPECTED_MESSAGE: a handshake message of type 20",
        ),
        (
            lambda c: c.record(HANDSHAKE, KEY_UPDATE[:4] + b"\2"),
            "ILLEGAL_PARAMETER: a KeyUpdate with request 2",
        ),
        (lambda c: c.record(HANDSHAKE, b"\x18\0\0\0"), "DECODE_ERROR: a KeyUpdate of another length than 1"),
        (lambda c: c.record(HANDSHAKE, b"\x18\0\1"), "DECODE_ERROR: a KeyUpdate of another length than 1"),
        (
            lambda c: c.record(HANDSHAKE, KEY_UPDATE * 2),
            "UNEXPECTED_MESSAGE: a KeyUpdate that does not end its",
        ),
        (
            lambda c: c.record(HANDSHAKE, KEY_UPDATE + b"\x18"),
            "UNEXPECTED_MESSAGE: a KeyUpdate that does not end",
        ),
        (
            lambda c: c.record(HANDSHAKE, KEY_UPDATE[:2]) + c.data(b"data" * 10),
            "UNEXPECTED_MESSAGE: a record between the parts of a KeyUpdate",
        ),
        (
            lambda c: c.record(HANDSHAKE, KEY_UPDATE[:2]) + c.data(b""),
            "UNEXPECTED_MESSAGE: a record between the parts of a KeyUpdate",
        ),
        (
            lambda c: c.record(HANDSHAKE, KEY_UPDATE[:4]) + c.alert(0, 1),
            "UNEXPECTED_MESSAGE: a record between the parts of a KeyUpdate",
        ),
        # The key has to change with the message that says so.
        (lambda c: c.record(HANDSHAKE, KEY_UPDATE) + c.data(b"old key"), "BAD_RECORD_MAC: "),
        (lambda c: c.sending.update() or c.data(b"new key"), "BAD_RECORD_MAC: "),
    ],
)
def test_what_breaks_tls_is_answered_with_its_alert(send: Callable[[Client], bytes], answer: str) -> None:
    client = Client()
    layer = client.server()
    before = client.data(b"what came before")
    assert layer.receive(before + send(client)) in (b"what came before", b"what came beforeagain")
    assert refused(layer, client).startswith(answer)


def test_a_header_is_refused_before_its_record_has_come() -> None:
    for header in (b"\x17\3\3\x41\x01", b"\x16\3\3\0\x20"):
        client = Client()
        layer = client.server()
        assert layer.receive(header[:4]) == b""
        assert layer.fault is None
        assert layer.receive(header[4:]) == b""
        assert layer.fault is not None


def test_the_keys_of_a_broken_connection_are_forgotten() -> None:
    client = Client()
    layer = client.server()
    secret, server_secret = layer.inbound.protection.secret, layer.outbound.protection.secret
    assert bytes(secret) == client.secret
    layer.receive(flipped(client.data(b"data"), -1))
    assert not any(secret)
    assert not any(server_secret)
    refused(layer, client)


# ---- alerts


@pytest.mark.parametrize("level", [1, 2, 0, 77])
def test_close_notify_ends_what_comes(level: int) -> None:
    client = Client()
    layer = client.server()
    assert (
        layer.receive(client.data(b"last words") + client.alert(0, level) + b"ignored" * 9) == b"last words"
    )
    assert layer.ended
    assert layer.receive(b"ignored, too") == b""
    assert layer.fault is None
    layer.receive_eof()
    assert not layer.truncated
    # Our own side is still open (RFC 9846, 6.1).
    assert client.read(layer.send(b"an answer") + layer.close()) == [(DATA, b"an answer"), (ALERT, b"\1\0")]


def test_an_end_without_close_notify_is_told_apart() -> None:
    client = Client()
    layer = client.server()
    layer.receive(client.data(b"some"))
    layer.receive_eof()
    assert layer.truncated
    assert not layer.ended


def test_a_canceled_user_is_no_end() -> None:
    client = Client()
    layer = client.server()
    assert layer.receive(client.alert(90, 1) + client.data(b"data") + client.alert(0, 1)) == b"data"
    assert layer.ended
    assert layer.fault is None


@pytest.mark.parametrize("description", [10, 20, 40, 42, 80, 117, 200])
@pytest.mark.parametrize("level", [1, 2])
def test_any_other_alert_ends_the_connection_without_a_word(description: int, level: int) -> None:
    client = Client()
    layer = client.server()
    assert layer.receive(client.data(b"before") + client.alert(description, level)) == b"before"
    assert layer.fault is not None
    assert layer.fault.received
    assert layer.fault.alert == description
    assert str(layer.fault).startswith("the client ended the connection with ")
    assert layer.send(b"more") == layer.close() == b""
    assert layer.receive(client.data(b"more")) == b""


def test_an_alert_has_its_name() -> None:
    client = Client()
    layer = client.server()
    layer.receive(client.alert(Alert.CERTIFICATE_UNKNOWN))
    assert str(layer.fault) == "the client ended the connection with certificate_unknown"


# ---- KeyUpdate


@suites
@pytest.mark.parametrize("request_", [0, 1])
def test_the_peer_changes_its_key(suite: int, request_: int) -> None:
    client = Client(suite, sealed=5)
    layer = client.server()
    assert layer.receive(client.data(b"old") + client.key_update(request_) + client.data(b"new")) == b"oldnew"
    assert layer.fault is None
    expected = [(HANDSHAKE, KEY_UPDATE)] * request_ + [(DATA, b"answer")]
    assert client.read(layer.send(b"answer")) == expected
    assert client.read(layer.send(b"and more")) == [(DATA, b"and more")]


def test_requests_are_answered_once_and_with_data() -> None:
    client = Client()
    layer = client.server()
    for _ in range(3):
        assert layer.receive(client.key_update(1) + client.key_update(0) + client.data(b"d")) == b"d"
    assert layer.send() == b""
    assert client.read(layer.send(b"answer")) == [(HANDSHAKE, KEY_UPDATE), (DATA, b"answer")]
    assert client.read(layer.send(b"more")) == [(DATA, b"more")]


def test_a_request_is_not_answered_with_the_end() -> None:
    client = Client()
    layer = client.server()
    layer.receive(client.key_update(1))
    assert client.read(layer.close()) == [(ALERT, b"\1\0")]


@pytest.mark.parametrize("cuts", [(1,), (4,), (1, 2, 3, 4), (2, 3)])
def test_a_key_update_in_parts(cuts: tuple[int, ...]) -> None:
    client = Client()
    layer = client.server()
    ends = (*cuts, 5)
    message = KEY_UPDATE[:4] + b"\1"
    for start, end in zip((0, *cuts), ends, strict=True):
        assert layer.receive(client.record(HANDSHAKE, message[start:end], padding=3)) == b""
    client.sending.update()
    assert layer.receive(client.data(b"new")) == b"new"
    assert client.read(layer.send(b"answer")) == [(HANDSHAKE, KEY_UPDATE), (DATA, b"answer")]


def test_so_many_key_updates_may_come_without_data() -> None:
    client = Client()
    layer = client.server()
    for _ in range(2):
        for _ in range(MAX_IDLE_UPDATES):
            layer.receive(client.key_update())
        assert layer.receive(client.data(b"")) == b""
        assert layer.fault is None
        assert layer.receive(client.data(b"data")) == b"data"
    for _ in range(MAX_IDLE_UPDATES):
        layer.receive(client.key_update(1))
    layer.receive(client.data(b""))  # which is no data
    assert layer.fault is None
    layer.receive(client.key_update())
    assert refused(layer, client) == "UNEXPECTED_MESSAGE: too many KeyUpdates without data between them"


def flipped(record: bytes, at: int) -> bytes:
    changed = bytearray(record)
    changed[at] ^= 1
    return bytes(changed)
