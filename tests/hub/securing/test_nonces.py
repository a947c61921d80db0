"""In hubs that move TLS connections all the time no number is used twice with one key, whatever goes wrong.

A spy has the key and the nonce of every record of all hubs. Faults are injected where the messages of a
handoff arrive.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import grpc
import pytest

from actorrpc.hub.moving.handoffs import Handoffs
from actorrpc.ipc.framing import close_all
from actorrpc.pb import control_pb2
from actorrpc.tls.limits import RECORDS_PER_KEY
from actorrpc.tls.outbound import Outbound
from actorrpc.tls.record_layer import RecordLayer
from tests.apps.shapes import app
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.hub.securing.clients import secure_channel
from tests.support.certificates import Authority, Pair
from tests.support.hubs import Hubs, serving
from tests.support.nonces import Nonces
from tests.support.waiting import PATIENCE, until

CLIENTS = 4


#: Messages that may be lost, and which fault that is.
_LOST = {"prepared": "unheard", "abort": "unheard", "commit": "lost"}


class Faults:
    """What becomes of the messages of handoffs. All of it happens in the hubs' loop.

    "refused": the target cannot take the offer. "unheard": READY is lost, so that the move is given up, and
    so is the news of that: the target keeps what it has. "lost": COMMIT is lost, with the socket. "astray":
    COMMIT comes to a target of the same connection that has kept the snapshot of an earlier attempt.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, chances: dict[str, float]) -> None:
        self.seen: Counter[str] = Counter()
        self._chances = chances
        self._random = Random(1)
        self._receive = Handoffs.receive
        monkeypatch.setattr("actorrpc.hub.moving.source.READY_TIMEOUT", 0.02)
        monkeypatch.setattr(Handoffs, "receive", lambda *args: self.receive(*args))

    def receive(
        self, handoffs: Handoffs, link: Any, message: control_pb2.HubToHub, fds: tuple[int, ...]
    ) -> None:
        kind = message.WhichOneof("kind")
        if kind == "prepare" and self._strikes("refused"):
            message.prepare.snapshot = b"\xff"
        elif kind in _LOST and self._strikes(_LOST[kind]):
            close_all(fds)
            return
        elif kind == "commit":
            stale = self._stale(handoffs, link, message.commit)
            if stale and self._strikes("astray"):
                message.commit.number = stale
        self._receive(handoffs, link, message, fds)

    @staticmethod
    def _stale(handoffs: Handoffs, link: Any, commit: control_pb2.Commit) -> int:
        return next(
            (
                number
                for (on, number), target in handoffs.targets.items()
                if on is link and target.id == commit.connection and number != commit.number
            ),
            0,
        )

    def _strikes(self, fault: str) -> bool:
        if self._random.random() >= self._chances.get(fault, 0):
            return False
        self.seen[fault] += 1
        return True


class Clients:
    """Each calls, and reads streams, and does so anew when its connection has gone."""

    def __init__(self, address: str, authority: Authority) -> None:
        self.calls = 0
        self.gone = 0
        self.faults: list[str] = []
        self._stopping = threading.Event()
        self._address = address
        self._authority = authority
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            with secure_channel(self._address, self._authority) as channel:
                try:
                    self._call(StatefulStub(channel))
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        self.faults.append(str(error))
                        return
                    self.gone += 1
                except Exception as error:
                    self.faults.append(repr(error))
                    return

    def _call(self, stub: Any) -> None:
        while not self._stopping.is_set():
            stub.Unary(Item(body=bytes(100)), timeout=PATIENCE)
            body = bytes(range(256)) * 100
            numbers = [(item.number, item.body) for item in stub.Talk(self._items(body), timeout=PATIENCE)]
            assert numbers == [(number, body) for number in range(5)]
            self.calls += 2

    @staticmethod
    def _items(body: bytes) -> Iterator[Item]:
        return (Item(number=number, body=body) for number in range(5))

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture
def nonces(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nonces]:
    """Keys are renewed after 50 records."""
    defaults: tuple[Any, ...] = Outbound.__init__.__defaults__ or ()
    assert defaults.count(RECORDS_PER_KEY) == 1
    fewer = tuple(50 if value == RECORDS_PER_KEY else value for value in defaults)
    monkeypatch.setattr(Outbound.__init__, "__defaults__", fewer)
    watching = Nonces().watch()
    yield watching
    watching.stop()


@contextmanager
def calling(pair: Pair, authority: Authority) -> Iterator[tuple[Hubs, Clients]]:
    with serving(app, 3, tls_cert=(pair.cert,), tls_key=(pair.key,), move_every=1) as hubs:
        clients = Clients(hubs.address, authority)
        try:
            yield hubs, clients
        finally:
            clients.stop()


def test_connections_that_move_after_every_turn(pair: Pair, authority: Authority, nonces: Nonces) -> None:
    with calling(pair, authority) as (hubs, clients):
        until(lambda: clients.faults or (len(hubs.moved) >= 1000 and clients.calls >= 200))
    assert (clients.faults, clients.gone, nonces.repeated) == ([], 0, [])
    assert not [moved for moved in hubs.moved[:1000] if moved.aborted], "while none was stopping"
    keys = {key for key, _ in nonces.sealed}
    assert len(keys) > 4 * CLIENTS, "they were renewed"
    assert len(nonces.sealed) > 2000


def test_moves_of_which_everything_goes_wrong(
    pair: Pair, authority: Authority, nonces: Nonces, monkeypatch: pytest.MonkeyPatch
) -> None:
    chances = {"refused": 0.1, "unheard": 0.1, "lost": 0.02, "astray": 0.2}
    faults = Faults(monkeypatch, chances)

    def enough() -> bool:
        return min(faults.seen[fault] for fault in chances) >= 10 and clients.calls >= 200

    with calling(pair, authority) as (_, clients):
        until(lambda: clients.faults or enough(), told=lambda: f"{faults.seen}, {clients.calls} calls")
    assert (clients.faults, nonces.repeated) == ([], [])
    assert 0 < clients.gone <= faults.seen["lost"] + faults.seen["astray"] + CLIENTS


def test_the_spy_sees_a_target_that_goes_on_from_an_earlier_snapshot(
    pair: Pair, authority: Authority, nonces: Nonces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes of it if nobody compares what COMMIT says with the snapshot."""
    own = RecordLayer.own
    monkeypatch.setattr(RecordLayer, "own", lambda self, freezes: own(self, self.freezes))
    Faults(monkeypatch, {"unheard": 0.3, "astray": 1.0})
    with calling(pair, authority) as (_, clients):
        until(lambda: nonces.repeated)
        clients.faults.clear()
