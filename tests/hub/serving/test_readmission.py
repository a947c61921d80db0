"""Which connections end when a hub admits others than before, and when that is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gevent
import pytest

from actorrpc.errors import StatusCode
from actorrpc.hub.phase import CLOSED, CLOSING, FROZEN, QUIESCING, SERVING
from actorrpc.hub.serving.readmission import Readmission
from tests.support.waiting import until


class Fake:
    """Stands for ``Admission``: admits chains that do not begin with ``bad``."""

    def __init__(self, fingerprint: bytes, bad: bytes = b"bad", fails: bool = False) -> None:
        self.fingerprint = fingerprint
        self.bad = bad
        self.fails = fails
        self.asked: list[tuple[bytes, ...]] = []

    def why_not(self, chain: tuple[bytes, ...]) -> str:
        self.asked.append(chain)
        if self.fails:
            raise RuntimeError("a fault of ours")
        return "its certificate is not admitted: too old" if chain[:1] == (self.bad,) else ""


@dataclass
class Secure:
    chain: tuple[bytes, ...]
    admitted_by: bytes = b"old"


@dataclass
class Phase:
    state: str = SERVING
    left: bool = False


class Calls:
    def __init__(self) -> None:
        self.ended: list[tuple[StatusCode, str]] = []

    def end_all(self, status: StatusCode, message: str) -> None:
        self.ended.append((status, message))


@dataclass
class Client:
    id: str
    secure: Secure | None
    peer: str = "here:1"
    phase: Phase = field(default_factory=Phase)
    calls: Calls = field(default_factory=Calls)
    parted: bool = False

    def close_politely(self, until: float | None = 0.0) -> None:
        assert self.calls.ended, "its calls are told why, first"
        self.phase.state, self.parted = CLOSING, True


Look = Callable[..., None]


def readmission(admission: Any) -> Any:
    return Readmission(admission)


def settled(found: Any) -> None:
    until(lambda: found._greenlet is None, sleep=gevent.sleep)


def good(id: str = "good", **more: Any) -> Client:
    return Client(id, Secure((b"good",)), **more)


def bad(id: str = "bad", **more: Any) -> Client:
    return Client(id, Secure((b"bad",)), **more)


def test_who_is_not_admitted_any_more_ends_and_the_others_are_remembered() -> None:
    found = readmission(Fake(b"old"))
    plain, stays, goes = Client("plain", None), good(), bad()
    anew = Fake(b"new")
    found.use(anew, [plain, stays, goes])
    assert not goes.parted, "not while the files are read"
    settled(found)
    assert goes.calls.ended == [
        (
            StatusCode.UNAUTHENTICATED,
            "the client is not admitted any more: its certificate is not admitted: too old",
        )
    ]
    assert goes.parted and not stays.parted and not plain.parted
    assert stays.secure is not None and stays.secure.admitted_by == b"new"
    anew.asked.clear()
    found.look(stays)
    assert found._greenlet is None and anew.asked == [], "it is not verified twice"


def test_one_that_comes_from_where_the_same_are_admitted_is_not_verified() -> None:
    admission = Fake(b"old")
    found = readmission(admission)
    found.look(bad())
    settled(found)
    assert admission.asked == []


def test_one_that_comes_from_elsewhere_is() -> None:
    found = readmission(Fake(b"new"))
    client = bad()
    found.look(client)
    settled(found)
    assert client.parted


@pytest.mark.parametrize("state", [FROZEN, CLOSING, CLOSED])
def test_what_is_frozen_or_ends_is_left_alone_until_it_goes_on(state: str) -> None:
    found = readmission(Fake(b"old"))
    client = bad(phase=Phase(state))
    found.use(Fake(b"new"), [client])
    settled(found)
    assert not client.parted and client.secure is not None
    assert client.secure.admitted_by == b"old", "so that it is seen again"
    client.phase.state = SERVING
    found.look(client)
    settled(found)
    assert client.parted


def test_one_that_is_about_to_move_ends_here() -> None:
    found = readmission(Fake(b"new"))
    client = bad(phase=Phase(QUIESCING))
    found.look(client)
    settled(found)
    assert client.parted


def test_one_that_has_moved_is_the_other_hubs() -> None:
    found = readmission(Fake(b"new"))
    client = bad(phase=Phase(left=True))
    found.look(client)
    settled(found)
    assert not client.parted


def test_each_certificate_is_verified_once_and_others_have_their_turns_between() -> None:
    anew = Fake(b"new")
    found = readmission(Fake(b"old"))
    clients = [good(str(number)) for number in range(50)] + [bad(str(number)) for number in range(50, 100)]
    found.use(anew, clients)
    steps = 0
    while found._greenlet is not None:
        gevent.sleep(0)
        steps += 1
    assert steps >= 100
    assert sorted(anew.asked) == [(b"bad",), (b"good",)]
    assert sum(client.parted for client in clients) == 50
    found.look(bad("later"))
    settled(found)
    assert len(anew.asked) == 3, "it may have expired since"


def test_another_renewal_meanwhile_counts() -> None:
    found = readmission(Fake(b"old"))
    clients = [good(str(number)) for number in range(10)]
    found.use(Fake(b"new"), clients)
    gevent.sleep(0)
    found.use(Fake(b"newest", bad=b"good"), clients)
    settled(found)
    assert all(client.parted for client in clients)


def test_what_cannot_be_verified_is_not_admitted(caplog: pytest.LogCaptureFixture) -> None:
    found = readmission(Fake(b"old"))
    clients = [good(), bad()]
    found.use(Fake(b"new", fails=True), clients)
    settled(found)
    assert all(client.parted for client in clients)
    assert "a fault of ours" in caplog.text


def test_a_connection_that_cannot_be_ended_keeps_none_of_the_others(caplog: pytest.LogCaptureFixture) -> None:
    found = readmission(Fake(b"old"))
    clients = [bad(str(number)) for number in range(3)]
    del clients[1].calls
    found.use(Fake(b"new"), clients)
    settled(found)
    assert [client.parted for client in clients] == [True, False, True]
    assert "connection 1 could not be ended" in caplog.text


def test_a_hub_that_ends_looks_at_no_more() -> None:
    found = readmission(Fake(b"new"))
    client = bad()
    found.look(client)
    found.close()
    gevent.sleep(0)
    assert not client.parted
