"""The target for the record layer of TLS: any bytes at all, as what a client does with its keys.

A client without keys can only be told that its record is wrong. So an input is a list of steps of a client
that has them, of three bytes each: what is sealed, and how much of it. The model is a second reading of RFC
9846, 5 and 6: it says what must come of each step. Each input goes through a record layer that stays, and one
that moves at each read.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from actorrpc.pb.tls_pb2 import TlsSnapshot
from actorrpc.tls.record_layer import RecordLayer
from actorrpc.tls.snapshot import freeze_records, thaw_records
from tests.support.tls_client import ALERT, DATA, HANDSHAKE, Client

from .model import Wrong

__all__ = ["one_input"]

FULL = 1 << 14
KEY_UPDATE = b"\x18\0\0\1"
#: KeyUpdates that may come without data between them.
PATIENCE = 32

CLOSE_NOTIFY, UNEXPECTED, BAD_MAC, OVERFLOW, ILLEGAL, DECODE, CANCELED = 0, 10, 20, 22, 47, 50, 90


@dataclass
class Model:
    """What a client has written so far, and what a server owes it."""

    data: bytes = b""
    #: The alert that the server owes, twice; or (None, n) for one of the client's.
    fault: tuple[int | None, int] | None = None
    ended: bool = False
    #: Of a KeyUpdate that has begun.
    begun: bytes = b""
    idle: int = 0
    answer: bool = False
    #: A record has begun that will not come to its end.
    stuck: bool = False
    written: bytearray = field(default_factory=bytearray)

    @property
    def over(self) -> bool:
        return self.ended or self.stuck or self.fault is not None

    def owe(self, alert: int) -> None:
        self.fault = (alert, alert)

    def record(self, client: Client, type_: int, content: bytes, padding: int) -> None:
        """A record of the client's, sealed as it should be."""
        self.written += client.record(type_, content, padding)
        if len(content) + padding > FULL:
            self.owe(OVERFLOW)
        elif self.begun and type_ != HANDSHAKE:
            self.owe(UNEXPECTED)
        elif type_ == DATA:
            self.data += content
            self.idle = 0 if content else self.idle
        elif type_ == HANDSHAKE:
            self._handshake(client, content)
        elif type_ == ALERT:
            self._alert(content)
        else:
            self.owe(UNEXPECTED)

    def _handshake(self, client: Client, content: bytes) -> None:
        message = self.begun + content
        if not content or message[0] != KEY_UPDATE[0]:
            self.owe(UNEXPECTED)
        elif not (message[:4] == KEY_UPDATE[: len(message)] or message[:4] == KEY_UPDATE):
            self.owe(DECODE)
        elif len(message) < 5:
            self.begun = message
        elif len(message) > 5:
            self.owe(UNEXPECTED)
        elif message[4] > 1:
            self.owe(ILLEGAL)
        else:
            self.begun = b""
            self.idle += 1
            if self.idle > PATIENCE:
                self.owe(UNEXPECTED)
            self.answer |= bool(message[4])
            client.sending.update()

    def _alert(self, content: bytes) -> None:
        if len(content) != 2:
            self.owe(DECODE if content else UNEXPECTED)
        elif content[1] == CLOSE_NOTIFY:
            self.ended = True
        elif content[1] != CANCELED:
            self.fault = (None, content[1])

    def raw(self, data: bytes) -> None:
        """Bytes that nobody has sealed, from the beginning of a record on."""
        self.written += data
        if len(data) < 5:
            self.stuck = bool(data)
            return
        length = int.from_bytes(data[3:5], "big")
        if data[0] != DATA:
            self.owe(UNEXPECTED)
        elif length > FULL + 256:
            self.owe(OVERFLOW)
        elif len(data) - 5 >= length:
            self.owe(BAD_MAC)
        else:
            self.stuck = True


def one_input(data: bytes) -> Model:
    """Raise what a record layer raises, and Wrong if it does something else than the model."""
    model, client = Model(), Client()
    for at in range(0, len(data) - 2, 3):
        if model.over:
            break
        _step(model, client, *data[at : at + 3])
    still, moved = (_run(bytes(model.written), data, moves=moves) for moves in (False, True))
    for outcome in (still, moved):
        expected = (model.data, model.fault, model.ended, _owed(model))
        if outcome[:4] != expected:
            raise Wrong(f"the record layer does {outcome[:4]!r:.500}, not {expected!r:.500}")
    if still != moved:
        raise Wrong("the record layer that moves does something else")
    return model


def _step(model: Model, client: Client, kind: int, a: int, b: int) -> None:
    size, padding = a * (b & 31), b >> 5
    kind %= 12
    if kind < 3:
        model.record(client, DATA, bytes((a | 1,)) * (size >> (4 * kind)), min(padding**3 * a, 30_000))
    elif kind == 3:
        model.record(client, HANDSHAKE, KEY_UPDATE + bytes((b & 1,)), padding)
    elif kind == 4:  # in parts, or spoiled
        model.record(client, HANDSHAKE, (KEY_UPDATE + bytes((b & 3, a)))[: a % 7], padding)
    elif kind == 5:
        rest = (KEY_UPDATE + bytes((b & 1,)))[len(model.begun) :]
        model.record(client, HANDSHAKE, rest[: max(1, a % 5)], padding)
    elif kind == 6:
        model.record(client, ALERT, bytes((b & 3, a & 15)), padding)
    elif kind == 7:
        model.record(client, ALERT, bytes((b, CANCELED)), padding)
    elif kind == 8:
        model.record(client, a or 1, b"\1" * (b & 15), padding)
    elif kind == 9:
        record = bytearray(client.record(DATA, b"flipped" * (b + 1)))
        record[5 + a % (len(record) - 5)] ^= 1 << (b & 7)
        model.written += record
        model.owe(BAD_MAC)
    elif kind == 10 and a < 16:
        model.written += client.sending.seal(bytes(size))  # nothing but padding, or not even that
        model.owe(OVERFLOW if size > FULL + 1 else UNEXPECTED)
    elif kind == 10:
        model.raw(bytes((a, 3, 3, b, a)) + bytes(b) * (a & 3))
    else:
        model.raw(client.data(bytes(size))[: 1 + a % 20])


def _owed(model: Model) -> list[int]:
    """The types of the records that the client gets, if the server then sends data and its end."""
    if model.fault is not None:
        return [] if model.fault[0] is None else [ALERT]
    return [*[HANDSHAKE] * model.answer, DATA, ALERT]


def _run(written: bytes, data: bytes, *, moves: bool) -> tuple[object, ...]:
    client = Client()
    layer = client.server()
    received, at, work = b"", 0, 0
    sizes = [1 + (byte << (number % 8)) for number, byte in enumerate(data[:16])] or [1]
    number = 0
    while at < len(written):
        piece = written[at : at + sizes[number % len(sizes)]]
        number += 1
        at += len(piece)
        received += layer.receive(piece)
        work += layer.take_work()
        if moves and layer.fault is None:
            layer = _moved(layer)
    fault = layer.fault
    found = None if fault is None else (None if fault.received else fault.alert, fault.alert)
    sent = client.read(layer.send(b"an answer") + layer.close())
    return received, found, layer.ended, [type_ for type_, _ in sent], work


def _moved(layer: RecordLayer) -> RecordLayer:
    message = freeze_records(layer).SerializeToString()
    layer.release()
    arrived = thaw_records(TlsSnapshot.FromString(message))
    arrived.own(layer.freezes)
    return arrived
