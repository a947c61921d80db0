"""Early data (0-RTT) is refused as RFC 8446, 4.2.10 has it: the extension is ignored, what comes as early
data is passed over, as much as a client may send unasked, and never becomes data of the connection.

The client is tlslite-ng, which does not know early data itself: the extension is put into its ClientHello,
and records of early data behind that. No key could open these here, whatever seals them.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from actorrpc.tls.handshake.contexts import Contexts
from actorrpc.tls.handshake.handshake import Established, Handshake, Refused
from actorrpc.tls.handshake.key_log import KeyLog
from actorrpc.tls.handshake.settings import Tls
from actorrpc.tls.record_layer import RecordLayer
from actorrpc.tls.records import APPLICATION_DATA, RECORD_HEADER
from tests.support.certificates import Pair
from tests.tls.test_tlslite import Memory, last

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports asyncore where there is one
    from tlslite.api import HandshakeSettings, TLSConnection
    from tlslite.errors import TLSRemoteAlert
    from tlslite.extensions import TLSExtension
    from tlslite.messages import ClientHello, EncryptedExtensions

EARLY_DATA = 42
UNEXPECTED_MESSAGE, BAD_RECORD_MAC = 10, 20


def record(size: int) -> bytes:
    return RECORD_HEADER.pack(APPLICATION_DATA, 0x0303, size) + os.urandom(size)


class Eager(TLSConnection):  # type: ignore[misc]
    """Asks for early data in its first ClientHello, whatever becomes of the binders before it: no server here
    knows their key."""

    asked = False

    def _sendMsg(self, message: Any, *more: Any, **named: Any) -> Iterator[Any]:
        if isinstance(message, ClientHello):
            if not self.asked:
                message.extensions.insert(0, TLSExtension(extType=EARLY_DATA).create(bytearray()))
            else:  # the second one
                message.extensions = [each for each in message.extensions if each.extType != EARLY_DATA]
            self.asked = True
        yield from super()._sendMsg(message, *more, **named)


class Talk:
    """One client's handshake, with these bytes behind its first ClientHello. ``told`` is what the server has
    said that it accepts."""

    def __init__(self, contexts: Contexts, early: bytes, *, ticket: bool = True) -> None:
        self.memory = Memory()
        self.client = Eager(self.memory)
        self.client.closeSocket = False
        settings = HandshakeSettings()
        settings.minVersion = settings.maxVersion = (3, 4)
        settings.keyShares = ["secp256r1"]
        if ticket:
            settings.pskConfigs = [(b"a ticket of another server", b"\1" * 32, "sha256")]
        self.handshake = Handshake(contexts)
        self.alerts: list[int] = []
        shaking = self.client.handshakeClientCert(
            settings=settings, serverName="localhost", alpn=[bytearray(b"h2")], async_=True
        )
        try:
            for _ in shaking:
                self._pass_on(early)
                early = b""
        except TLSRemoteAlert as alert:
            self.alerts.append(alert.description)
        self._pass_on(b"")
        if isinstance(self.handshake.outcome, Refused) and not self.alerts:
            with pytest.raises(TLSRemoteAlert) as raised:  # it takes itself for connected until it reads
                last(self.client.readAsync(max=1))
            self.alerts.append(raised.value.description)

    def _pass_on(self, early: bytes) -> None:
        if (data := self.memory.take() + early) and self.handshake.outcome is None:
            self.memory.incoming += self.handshake.receive(data)


@pytest.fixture
def contexts(log: KeyLog, server_pair: Pair) -> Contexts:
    return Contexts(Tls(server_pair.cert, server_pair.key), log)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The extensions of EncryptedExtensions."""
    found: list[int] = []
    parse = EncryptedExtensions.parse

    def parsed(self: Any, parser: Any) -> Any:
        message = parse(self, parser)
        found.extend(each.extType for each in message.extensions)
        return message

    monkeypatch.setattr(EncryptedExtensions, "parse", parsed)
    return found


EARLY = {
    "none": b"",
    "a record": record(100),
    "as much as it may": b"".join(record(1000) for _ in range(16)),
    "an empty one": record(17),
}


@pytest.mark.parametrize("early", EARLY)
@pytest.mark.parametrize("ticket", [True, False], ids=["with a ticket", "without one"])
def test_it_is_passed_over(contexts: Contexts, told: list[int], early: str, ticket: bool) -> None:
    """What follows the handshake has the first number of its key, and is all there is."""
    talk = Talk(contexts, EARLY[early], ticket=ticket)
    outcome = talk.handshake.outcome
    assert isinstance(outcome, Established), outcome
    assert told and EARLY_DATA not in told, "it is not accepted"
    records = outcome.records
    assert isinstance(records, RecordLayer)
    assert outcome.unread == b"" and records.inbound.protection.sequence == 0
    last(talk.client.writeAsync(b"in time"))
    assert records.receive(talk.memory.take()) == b"in time"
    talk.memory.incoming += records.send(b"an answer")
    assert last(talk.client.readAsync(max=100)) == b"an answer"


def test_more_than_it_may_be_ends_the_handshake(contexts: Contexts) -> None:
    talk = Talk(contexts, b"".join(record(1000) for _ in range(18)))
    outcome = talk.handshake.outcome
    assert isinstance(outcome, Refused)
    assert outcome.why == "has failed in its handshake: too much early data"
    assert talk.alerts == [UNEXPECTED_MESSAGE]


def test_it_is_passed_over_where_the_hello_has_to_be_said_again(contexts: Contexts, told: list[int]) -> None:
    """HelloRetryRequest: then it is not even tried to open what comes before the second ClientHello."""
    contexts._contexts[0].set_ecdh_curve("secp521r1")
    talk = Talk(contexts, record(2000) + record(300))
    outcome = talk.handshake.outcome
    assert isinstance(outcome, Established), outcome
    assert EARLY_DATA not in told
    last(talk.client.writeAsync(b"in time"))
    assert outcome.records.receive(talk.memory.take()) == b"in time"


def test_what_comes_as_early_data_once_the_handshake_is_over_is_a_forgery(contexts: Contexts) -> None:
    talk = Talk(contexts, b"")
    outcome = talk.handshake.outcome
    assert isinstance(outcome, Established)
    assert outcome.records.receive(record(100)) == b""
    assert outcome.records.fault is not None and outcome.records.fault.alert == BAD_RECORD_MAC


def test_who_asks_for_none_may_send_none(contexts: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extension no record is passed over."""
    monkeypatch.setattr(Eager, "asked", True)
    talk = Talk(contexts, record(100))
    assert isinstance(talk.handshake.outcome, Refused)
    assert talk.alerts == [BAD_RECORD_MAC]


def test_no_client_is_ever_allowed_any(contexts: Contexts, told: list[int]) -> None:
    """By max_early_data_size in a session ticket (RFC 9846, 4.7.1): there are none."""
    talk = Talk(contexts, b"", ticket=False)
    assert isinstance(talk.handshake.outcome, Established)
    last(talk.client.writeAsync(b"data"))
    assert talk.client.tickets == [] and not talk.memory.incoming
