"""What a server seals: fragments, keys that are renewed, and the last record."""

from __future__ import annotations

import pytest

from actorrpc.errors import TlsFault
from actorrpc.tls.alerts import Alert
from actorrpc.tls.limits import MAX_EPOCH, RECORDS_PER_KEY
from tests.support.tls_client import AES_128, AES_256, ALERT, CHACHA, DATA, HANDSHAKE, Client, joined

FULL = 1 << 14
UPDATE, REQUEST = (HANDSHAKE, bytes((24, 0, 0, 1, 0))), (HANDSHAKE, bytes((24, 0, 0, 1, 1)))
END = (ALERT, b"\1\0")


@pytest.mark.parametrize("suite", [AES_128, AES_256, CHACHA])
@pytest.mark.parametrize(
    ("size", "records"),
    [(0, 0), (1, 1), (FULL - 1, 1), (FULL, 1), (FULL + 1, 2), (5 * FULL, 5), (100_000, 7)],
)
def test_data_goes_in_as_few_records_as_hold_it(suite: int, size: int, records: int) -> None:
    client = Client(suite)
    data = bytes(index * 7 & 0xFF for index in range(size))
    sealed = client.server().send(data)
    assert len(sealed) == size + records * 22  # no padding
    read = client.read(sealed)
    assert len(read) == records
    assert all(len(content) <= FULL for _, content in read)
    assert joined(read) == data


def test_the_header_of_a_record() -> None:
    assert Client().server().send(b"four")[:5] == b"\x17\3\3\0\x15"


def test_the_end_is_said_once_and_is_the_last() -> None:
    client = Client()
    layer = client.server()
    assert client.read(layer.send(b"last words") + layer.close()) == [(DATA, b"last words"), END]
    assert layer.close() == layer.send(b"more") == layer.send() == b""
    # What comes is still opened.
    assert layer.receive(client.data(b"still here") + client.alert(0, 1)) == b"still here"
    assert layer.ended


def test_an_end_for_a_reason_of_ours() -> None:
    client = Client()
    layer = client.server()
    layer.fail(TlsFault(Alert.ACCESS_DENIED, "the certificate is not admitted any more"))
    layer.fail(TlsFault(Alert.INTERNAL_ERROR, "which changes nothing"))
    assert client.read(layer.send(b"never sent")) == [(ALERT, bytes((2, 49)))]
    assert str(layer.fault) == "the certificate is not admitted any more"


def test_a_fault_after_the_end_says_no_more() -> None:
    client = Client()
    layer = client.server()
    client.read(layer.close())
    layer.receive(b"nonsense")
    assert layer.fault is not None
    assert layer.send() == b""


def test_keys_are_renewed_before_they_have_sealed_too_much() -> None:
    assert RECORDS_PER_KEY < 1 << 24
    client = Client()
    layer = client.server()
    layer.outbound.records_per_key = 5
    for number in range(12):
        client.read(layer.send(b"%d" % number))
    kinds = [type_ for type_, _ in client.records]
    # Four records of data and the KeyUpdate for each key.
    assert kinds == [*[DATA] * 4, HANDSHAKE, *[DATA] * 4, HANDSHAKE, *[DATA] * 4]
    assert client.data_read == b"01234567891011"
    assert layer.outbound.protection.epoch == 2


def test_keys_are_renewed_within_one_flush() -> None:
    client = Client(opened=1)
    layer = client.server()
    layer.outbound.records_per_key = 3
    data = bytes(FULL * 6)
    assert joined(client.read(layer.send(data))) == data
    assert [type_ for type_, _ in client.records] == [
        DATA,
        HANDSHAKE,
        DATA,
        DATA,
        HANDSHAKE,
        DATA,
        DATA,
        HANDSHAKE,
        DATA,
    ]


def test_the_real_limit_is_kept() -> None:
    client = Client(opened=(1 << 24) - 4)
    layer = client.server()
    for _ in range(4):
        client.read(layer.send(b"d"))
    assert client.records == [(DATA, b"d"), (DATA, b"d"), UPDATE, (DATA, b"d"), (DATA, b"d")]


def test_the_peer_is_asked_for_another_key_when_its_own_has_sealed_too_much() -> None:
    """OpenSSL never changes its key itself."""
    client = Client()
    layer = client.server()
    layer.outbound.records_per_key = 8
    for _ in range(20):
        layer.receive(client.data(b"d"))
    assert client.read(layer.send(b"a")) == [REQUEST, (DATA, b"a")]
    # Not again until it has (RFC 9846, 4.7.3), however long that takes.
    for _ in range(10):
        layer.receive(client.data(b"d"))
        client.read(layer.send(b"a"))
    assert client.records.count(REQUEST) == 1
    assert UPDATE in client.records  # our own key was renewed meanwhile, as it must
    layer.receive(client.key_update(0))
    client.records.clear()
    for _ in range(8):
        layer.receive(client.data(b"d"))
    client.read(layer.send(b"a"))
    assert client.records == [REQUEST, (DATA, b"a")]


def test_a_peer_that_changes_its_key_is_not_asked() -> None:
    client = Client()
    layer = client.server()
    layer.outbound.records_per_key = 8
    for _ in range(8):
        layer.receive(client.data(b"d"))
    layer.receive(client.key_update(0))
    assert client.read(layer.send(b"a"))[0] == UPDATE


def test_there_is_a_last_key() -> None:
    client = Client()
    layer = client.server()
    layer.outbound.records_per_key = 4
    layer.outbound.protection.epoch = MAX_EPOCH
    layer.receive(client.key_update(1))
    assert client.read(layer.send(b"a")) == [(DATA, b"a")]  # the request is ignored (RFC 9846, 4.7.3)
    assert client.read(layer.send(bytes(FULL * 5)))[-1] == (ALERT, bytes((2, Alert.INTERNAL_ERROR)))
    assert [type_ for type_, _ in client.records] == [DATA, DATA, DATA, ALERT]
    assert layer.fault is not None
    assert layer.send(b"more") == b""


def test_ciphers_are_made_again_after_a_rest() -> None:
    client = Client()
    layer = client.server()
    for number in range(3):
        data = b"%d" % number
        assert layer.receive(client.data(data)) == data
        assert client.read(layer.send(data)) == [(DATA, data)]
        layer.rest()
        assert layer.inbound.protection._aead is layer.outbound.protection._aead is None
