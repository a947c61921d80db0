"""The contract of a record layer: where bytes are cut, and where it moves, makes no difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorrpc.errors import SnapshotError
from actorrpc.pb.tls_pb2 import TlsSnapshot
from actorrpc.tls.record_layer import RecordLayer
from actorrpc.tls.snapshot import freeze_records, thaw_records
from tests.support.tls_client import AES_128, AES_256, ALERT, CHACHA, DATA, HANDSHAKE, Client

#: What a client does, as steps of small numbers.
Step = tuple[str, int]

KINDS: dict[str, Callable[[Client, int], bytes]] = {
    "data": lambda client, n: client.data(bytes((n,)) * n),
    "padded": lambda client, n: client.data(bytes((n,)) * (n % 5), n),
    "large": lambda client, n: client.data(bytes((n,)) * (n * 60)),
    "empty": lambda client, n: client.data(b"", n),
    "update": lambda client, n: client.key_update(n % 2),
    "split update": lambda client, n: split_update(client, n),
    "cancel": lambda client, n: client.alert(90, n % 3),
}
ENDS: dict[str, Callable[[Client, int], bytes]] = {
    "end": lambda client, n: client.alert(0, 1) + bytes(n),
    "alert": lambda client, n: client.alert(10 + n % 246),
    "flipped": lambda client, n: client.data(b"flipped")[:-1] + bytes((n,)),
    "garbage": lambda client, n: bytes((n,)) * 20,
    "renegotiation": lambda client, n: client.record(HANDSHAKE, b"\1\0\0" + bytes((n,))),
    "torn update": lambda client, n: client.record(HANDSHAKE, b"\x18") + client.data(b"", n),
    "part": lambda client, n: client.data(b"this does not come to its end")[: 1 + n % 40],
}

STEPS = st.lists(st.tuples(st.sampled_from([*KINDS] * 4 + [*ENDS]), st.integers(0, 255)), max_size=12)


def split_update(client: Client, n: int) -> bytes:
    """A KeyUpdate in two records."""
    message = bytes((24, 0, 0, 1, n & 1))
    at = 1 + n % 4
    records = client.record(HANDSHAKE, message[:at]) + client.record(HANDSHAKE, message[at:], n)
    client.sending.update()
    return records


def written(client: Client, steps: list[Step]) -> bytes:
    return b"".join((KINDS.get(kind) or ENDS[kind])(client, n) for kind, n in steps)


@dataclass
class Run:
    """One server that takes a client's bytes in pieces, answers each data, and may move at the end of
    each."""

    client: Client
    moves: bool = False
    layer: RecordLayer = field(init=False)
    #: All data, and what the client has seen of the server.
    data: bytes = b""
    work: int = 0

    def __post_init__(self) -> None:
        self.layer = self.client.server()
        self.layer.outbound.records_per_key = 20

    def feed(self, piece: bytes) -> None:
        self.data += self.layer.receive(piece)
        self.work += self.layer.take_work()
        if self.moves and self.layer.fault is None:
            self.layer = moved(self.layer)

    @property
    def outcome(self) -> object:
        """What has become of it."""
        layer = self.layer
        fault = None if layer.fault is None else (layer.fault.alert, str(layer.fault), layer.fault.received)
        # Nothing has been answered meanwhile: that would say how the bytes were cut.
        sent = self.client.read(layer.send(b"answer") + layer.send(b"again") + layer.close())
        layer.receive_eof()
        return self.data, fault, layer.ended, layer.truncated, sent, self.work


def moved(layer: RecordLayer) -> RecordLayer:
    """The same in another process."""
    message = freeze_records(layer, b"sealed, and not written").SerializeToString()
    layer.release()
    arrived = thaw_records(TlsSnapshot.FromString(message))
    arrived.outbound.records_per_key = layer.outbound.records_per_key
    assert arrived.own(layer.freezes) == b"sealed, and not written"
    assert arrived.unsent == b""
    return arrived


def run(data: bytes, suite: int, pieces: Iterator[bytes], *, moves: bool = False) -> object:
    one = Run(Client(suite), moves)
    for piece in pieces:
        one.feed(piece)
    return one.outcome


def cut(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Pieces of these lengths, over and over; of length 0: a read that brought nothing."""
    at = number = 0
    while at < len(data):
        length = cuts[number % len(cuts)] if cuts else len(data)
        yield data[at : at + length]
        at += length
        number += 1


suites = pytest.mark.parametrize("suite", [AES_128, AES_256, CHACHA])
CUTS = st.lists(st.integers(1, 60), max_size=4)


@suites
@settings(deadline=None)
@given(STEPS, CUTS)
def test_cut_anywhere(suite: int, steps: list[Step], cuts: list[int]) -> None:
    data = written(Client(suite), steps)
    assert run(data, suite, cut(data, cuts)) == run(data, suite, cut(data, []))


@suites
@settings(deadline=None)
@given(STEPS, CUTS)
def test_moved_at_each_cut(suite: int, steps: list[Step], cuts: list[int]) -> None:
    data = written(Client(suite), steps)
    assert run(data, suite, cut(data, cuts), moves=True) == run(data, suite, cut(data, []))


#: Each kind of step once, and each end behind something.
WHOLE = [[(kind, 37) for kind in KINDS] + [(end, 2)] for end in ENDS]


@pytest.mark.parametrize("steps", WHOLE, ids=lambda steps: str(steps[-1][0]))
def test_moved_at_each_byte(steps: list[Step]) -> None:
    data = written(Client(), steps)
    whole = run(data, AES_128, cut(data, []))
    assert run(data, AES_128, cut(data, [1])) == whole
    assert run(data, AES_128, cut(data, [1]), moves=True) == whole
    for offset in range(1, len(data), 7):
        pieces = iter((data[:offset], data[offset:]))
        assert run(data, AES_128, pieces, moves=True) == whole, f"cut at {offset}"


def test_the_steps_come_to_what_they_are_meant_to() -> None:
    """Else the tests above might compare one failure with another."""
    outcomes = {}
    for steps in WHOLE:
        data = written(Client(), steps)
        outcomes[steps[-1][0]] = run(data, AES_128, cut(data, []))
    for end, (data, fault, ended, truncated, sent, work) in outcomes.items():  # type: ignore[misc]
        assert len(data) == 37 + 2 + 37 * 60
        assert work >= 2 * 25 + 5 * 3
        assert ended == (end == "end")
        assert truncated == (end == "part")
        assert (fault is None) == (end in ("end", "part"))
        if fault is None:  # an answer to both KeyUpdates
            assert [type_ for type_, _ in sent] == [HANDSHAKE, DATA, DATA, ALERT]
        else:
            assert sent == ([] if fault[2] else [(ALERT, bytes((2, fault[0])))])


# ---- the snapshot


def test_a_snapshot_has_no_more_than_what_is_needed() -> None:
    client = Client()
    layer = client.server()
    layer.receive(client.data(b"data"))
    assert len(freeze_records(layer).SerializeToString()) < 90


def test_a_connection_that_is_being_closed_is_not_frozen() -> None:
    client = Client()
    for spoil in (lambda layer: layer.receive(b"nonsense"), lambda layer: layer.receive_eof()):
        layer = client.server()
        spoil(layer)
        with pytest.raises(SnapshotError, match="being closed"):
            freeze_records(layer)
        layer.send(b"")  # it is still owned


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"suite": 0x1304}, "cipher suite 0x1304 is not known here"),
        ({"suite": 0}, "cipher suite 0x0000 is not known here"),
        ({"suite": AES_256}, "a secret of 32 bytes for TLS_AES_256_GCM_SHA384"),
        ({"sending_secret": b""}, "a secret of 0 bytes for TLS_AES_128_GCM_SHA256"),
        ({"receiving_secret": bytes(31)}, "a secret of 31 bytes"),
        ({"partial_record": bytes(16645)}, "cannot be"),
        ({"partial_message": bytes(5)}, "cannot be"),
        ({"idle_updates": 33}, "cannot be"),
        ({"freezes": 0}, "cannot be"),
        ({"max_content": 0}, "cannot be"),
        ({"max_content": 16385}, "cannot be"),
    ],
)
def test_what_cannot_be_is_not_thawed(change: dict[str, object], why: str) -> None:
    snapshot = freeze_records(Client().server())
    thaw_records(snapshot)
    for name, value in change.items():
        setattr(snapshot, name, value)
    with pytest.raises(SnapshotError, match=why):
        thaw_records(snapshot)


def test_no_secret_is_shown() -> None:
    client = Client()
    layer = client.server()
    shown = f"{layer!r} {layer.inbound!r} {layer.outbound!r} {layer.outbound.protection!r}"
    assert "record 0 of key 0" in shown
    assert "owned, sealed 0, opened 0, TLS_AES_128_GCM_SHA256" in shown
    for secret in (client.secret, client.server_secret):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
