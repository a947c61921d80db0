"""The flood budget, and the enforcement of keepalive: what ends a connection, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from actorrpc.config import Config
from actorrpc.wire.flood import STEP, FloodBudget
from actorrpc.wire.server import ServerSession
from actorrpc.wire.snapshot import freeze_session, thaw_session
from tests.support import raw

from .owner import Owner

CALM = 0xB
CONFIG = Config(flood_burst=20_000, flood_rate=1000, permit_keepalive_time=0)

BOTH = raw.END_HEADERS | raw.END_STREAM


def fed(frames: bytes, count: int, config: Config = CONFIG, begin: bytes = b"") -> Owner:
    owner = Owner(config)
    owner.feed(raw.OPEN + begin)
    for _ in range(count):
        owner.feed(frames)
    return owner


def is_calmed(owner: Owner) -> bool:
    return owner.events[-1:] == [f"fault {CALM}"] and goaway(owner) == (
        CALM,
        b"too many frames that serve no call",
    )


def goaway(owner: Owner) -> tuple[int, bytes] | None:
    """Code and debug data of the GOAWAY that was sent."""
    found = None
    for type_, _, _, payload in raw.frames(owner.sent):
        if type_ == raw.GOAWAY:
            found = int.from_bytes(payload[4:8], "big"), payload[8:]
    return found


LATE = raw.block([("late", "yes")])
REQUEST = raw.headers(1, raw.request("Hold")) + raw.headers(3, raw.request("Fail"))
FLOODS = {
    "PING": (raw.frame(raw.PING, 0, 0, bytes(8)), 5),
    "PING ACK": (raw.frame(raw.PING, raw.ACK, 0, bytes(8)), 5),
    "SETTINGS": (raw.settings(), 10),
    "SETTINGS ACK": (raw.frame(raw.SETTINGS, raw.ACK, 0), 2),
    "SETTINGS of many": (raw.settings(*((99, 1),) * 100), 110),
    "PRIORITY": (raw.frame(raw.PRIORITY, 0, 1, bytes(4) + b"\x01"), 2),
    "an unknown type": (raw.frame(0x42, 0, 0), 2),
    "WINDOW_UPDATE": (raw.window_update(0, 1), 2),
    "WINDOW_UPDATE of a call": (raw.window_update(1, 1), 2),
    "empty DATA": (raw.data(1, b""), 2),
    "DATA after an early answer": (raw.data(3, b"late"), 2),
    "trailers after an early answer": (raw.frame(raw.HEADERS, BOTH, 3, LATE), 3),
    "the same, with table size updates": (raw.frame(raw.HEADERS, BOTH, 3, b"\x20" * 3000 + LATE), 508),
    "only padding": (raw.data(1, b"\x01\0", raw.PADDED), 2),
    "GOAWAY": (raw.frame(raw.GOAWAY, 0, 0, bytes(8)), 2),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_the_connection_when_the_budget_is_used_up(name: str) -> None:
    frame, price = FLOODS[name]
    affordable = CONFIG.flood_burst // price
    owner = fed(frame * (affordable - STEP // price), 1, begin=REQUEST)
    assert not owner.session.faulted, "too early"
    owner.feed(frame * (2 * STEP // price + 2))
    assert is_calmed(owner)


def resets(begin: int, count: int, provoke: Callable[[int], bytes]) -> bytes:
    ids = range(begin, begin + 2 * count, 2)
    return b"".join(raw.headers(id, raw.request("Hold")) + provoke(id) for id in ids)


PROVOKED: dict[str, Callable[[int], bytes]] = {
    "rapid reset": lambda id: raw.frame(raw.RST_STREAM, 0, id, bytes(4)),
    "WINDOW_UPDATE of 0": lambda id: raw.window_update(id, 0),
    "a window that overflows": lambda id: raw.window_update(id, 2**31 - 1),
    "HEADERS again": lambda id: raw.headers(id, raw.request("Hold")),
    "PRIORITY of 4 bytes": lambda id: raw.frame(raw.PRIORITY, 0, id, bytes(4)),
    "DATA after the end": lambda id: raw.data(id, b"", raw.END_STREAM) + raw.data(id, b"x"),
}


@pytest.mark.parametrize("name", PROVOKED)
def test_streams_that_are_reset_use_the_budget_up(name: str) -> None:
    """CVE-2023-44487, and CVE-2025-8671, where the client makes the server send the RST_STREAM."""
    affordable = CONFIG.flood_burst // 50
    owner = fed(resets(1, affordable - 60, PROVOKED[name]), 1)
    assert not owner.session.faulted, "too early"
    owner.feed(resets(1 + 2 * affordable, 100, PROVOKED[name]))
    assert is_calmed(owner) and not owner.calls


def test_requests_beyond_the_limit_use_it_up() -> None:
    owner = Owner(replace(CONFIG, max_concurrent_streams=1))
    owner.feed(raw.OPEN + b"".join(raw.headers(id, raw.request("Hold")) for id in range(1, 2001, 2)))
    assert is_calmed(owner)


def test_empty_continuations_use_it_up() -> None:
    owner = fed(raw.headers(1, raw.request("Hold"), 0) + raw.frame(raw.CONTINUATION, 0, 1) * 5000, 1)
    assert is_calmed(owner)


def test_header_blocks_of_very_many_fields_use_it_up() -> None:
    block = b"\x83" * 16_000
    owner = Owner(CONFIG)
    owner.feed(raw.OPEN + b"".join(raw.frame(raw.HEADERS, BOTH, id, block) for id in range(1, 21, 2)))
    assert is_calmed(owner)


def test_usual_calls_use_up_nothing() -> None:
    owner = Owner(replace(CONFIG, flood_burst=1))
    owner.feed(raw.OPEN)
    for id in range(1, 4001, 2):
        call = raw.headers(id, raw.request("Echo")) + raw.data(id, raw.message(b"x"), raw.END_STREAM)
        owner.feed(call)
    assert not owner.session.faulted and owner.session.flood.unsettled + owner.session.flood.spent < STEP


def test_messages_whose_prefix_comes_by_itself_use_up_nothing() -> None:
    owner = Owner(replace(CONFIG, flood_burst=1))
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Collect")))
    message = raw.message(b"tick")
    for _ in range(4000):
        owner.feed(raw.data(1, message[:5]) + raw.data(1, message[5:]))
    assert not owner.session.faulted and owner.session.flood.unsettled + owner.session.flood.spent < STEP


def test_messages_by_the_byte_use_it_up() -> None:
    owner = fed(b"".join(raw.data(1, b"%c" % byte) for byte in raw.message(b"tick")), 3500, begin=REQUEST)
    assert is_calmed(owner)


def test_what_was_used_flows_in_again() -> None:
    session = ServerSession(CONFIG)
    session.receive_data(raw.OPEN, 0.0)
    ping = raw.frame(raw.PING, 0, 0, bytes(8))
    now = 0.0
    for _ in range(100):
        session.receive_data(ping * 1000, now)
        session.data_to_send()
        now += 5.1  # 5000 units each, at 1000 a second
    assert not session.faulted
    for _ in range(6):
        session.receive_data(ping * 1000, now)
    assert session.faulted


def test_no_burst_is_no_limit() -> None:
    assert not fed(FLOODS["SETTINGS"][0] * 50_000, 1, replace(CONFIG, flood_burst=0)).session.faulted


def test_a_move_gives_nobody_a_new_budget() -> None:
    owner = Owner(CONFIG)
    owner.feed(raw.OPEN)
    for _ in range(39):
        owner.feed(FLOODS["PING"][0] * 100)  # 500 units
        owner.move()
    owner.feed(FLOODS["PING"][0] * 400)
    assert is_calmed(owner)


def test_the_budget_by_itself() -> None:
    budget = FloodBudget(100, 10)
    budget.unsettled = 60
    assert budget.settle(5.0) and budget.spent == 60
    budget.unsettled = 60
    assert budget.settle(8.0) and budget.spent == 90
    budget.unsettled = 11
    assert not budget.settle(8.0) and repr(budget) == "<FloodBudget 101 of 100 units spent>"
    other = FloodBudget(100, 10)
    other.restore(budget.level(9.0), 3, 1000.0)
    assert other.level(1001.0) == 81 and other.unsettled == 3
    assert other.level(2000.0) == 0


# ---- keepalive enforcement (gRFC A8)

KEEPALIVE = Config(permit_keepalive_time=300)
PING = raw.frame(raw.PING, 0, 0, b"12345678")


def pinged(session: ServerSession, times: list[float]) -> list[bool]:
    """Whether the session lives after each PING."""
    lives = []
    for now in times:
        session.receive_data(PING, now)
        lives.append(not session.faulted)
    return lives


def session_with(streams: int, config: Config = KEEPALIVE) -> ServerSession:
    session = ServerSession(config)
    session.receive_data(
        raw.OPEN + b"".join(raw.headers(1 + 2 * n, raw.request("Hold")) for n in range(streams))
    )
    session.outbound.take()
    return session


def test_the_third_strike_ends_the_connection() -> None:
    session = session_with(1)
    assert pinged(session, [0, 1, 2, 3, 4]) == [True, True, True, False, False]
    answer = session.data_to_send()
    assert answer.endswith(b"too_many_pings") and (CALM).to_bytes(4, "big") in answer


def test_pings_at_their_interval_are_no_strikes() -> None:
    assert all(pinged(session_with(1), [300.0 * n for n in range(20)]))


def test_without_calls_the_interval_is_two_hours() -> None:
    assert not all(pinged(session_with(0), [301.0 * n for n in range(4)]))
    assert all(pinged(session_with(0), [7200.0 * n for n in range(10)]))
    permitted = replace(KEEPALIVE, permit_keepalive_without_calls=True)
    assert all(pinged(session_with(0, permitted), [301.0 * n for n in range(10)]))


def test_an_interval_of_0_permits_all() -> None:
    assert all(pinged(session_with(0, replace(KEEPALIVE, permit_keepalive_time=0)), [0.0] * 50))


def test_what_is_sent_clears_the_strikes() -> None:
    """A client that probes the bandwidth sends a PING for what it receives."""
    session = session_with(1)
    for number in range(50):
        session.outbound.message(session.streams[1], b"news")
        assert all(pinged(session, [number, number]))
    assert pinged(session, [60, 61]) == [True, False]


def test_an_acknowledgement_is_no_strike() -> None:
    session = session_with(1)
    session.receive_data(raw.frame(raw.PING, raw.ACK, 0, b"12345678") * 50)
    assert not session.faulted


@pytest.mark.parametrize("spoken", (False, True))
def test_strikes_travel(spoken: bool) -> None:
    session = session_with(1)
    pinged(session, [1000.0, 1001.0, 1002.0])
    if spoken:
        session.outbound.message(session.streams[1], b"news")
    moved = thaw_session(freeze_session(session, now=1003.0), KEEPALIVE, now=5.0)
    assert pinged(moved, [5.0, 6.0]) == [spoken, spoken]


def test_a_ping_of_ours_is_no_event() -> None:
    session = session_with(1)
    session.ping()
    [(type_, flags, id, payload)] = raw.frames(session.data_to_send())
    assert (type_, flags, id) == (raw.PING, 0, 0)
    assert session.receive_data(raw.frame(raw.PING, raw.ACK, 0, payload)) == []


def test_a_shutdown_whose_ping_is_not_answered_can_be_ended() -> None:
    session = session_with(1)
    session.end_shutdown()
    assert not session.data_to_send(), "there was none"
    session.shutdown()
    assert session.shutting_down and not session.over
    session.data_to_send()
    session.end_shutdown()
    [(type_, _, _, payload)] = raw.frames(session.data_to_send())
    assert type_ == raw.GOAWAY and int.from_bytes(payload[:4], "big") == 1
    assert not session.shutting_down
    session.receive_data(raw.headers(3, raw.request("Hold")))
    assert list(session.streams) == [1]
    assert not session.faulted


@pytest.mark.parametrize("moves", (False, True))
def test_a_client_that_reads_much_may_open_windows_as_often(moves: bool) -> None:
    """A WINDOW_UPDATE or two for each message that it reads is what real clients send."""
    owner = Owner(replace(CONFIG, flood_burst=2000))
    owner.feed(raw.OPEN + REQUEST)
    for _ in range(2000):
        outbound = owner.session.outbound
        outbound.message(owner.session.streams[1], b"tick")
        owner.flush()
        owner.feed(raw.window_update(1, 9) + raw.window_update(0, 9))
        if moves:
            owner.move()
    assert not owner.session.faulted
    owner.feed(raw.window_update(0, 1) * 14_000)
    assert is_calmed(owner)


def test_a_client_that_has_replies_sent_by_the_byte_pays_for_each() -> None:
    """CVE-2019-9511, "Data Dribble"."""
    owner = Owner(CONFIG)
    owner.feed(raw.PREFACE + raw.settings((raw.INITIAL_WINDOW_SIZE, 0)) + REQUEST)
    owner.session.outbound.message(owner.session.streams[1], bytes(60_000))
    affordable = CONFIG.flood_burst // 2
    for _ in range(affordable - STEP):
        owner.feed(raw.window_update(1, 1))
    assert not owner.session.faulted, "too early"
    for _ in range(2 * STEP):
        owner.feed(raw.window_update(1, 1))
    assert is_calmed(owner)


def test_a_shutdown_that_is_ended_before_the_preface_sends_settings_once() -> None:
    session = ServerSession(KEEPALIVE)
    session.shutdown()
    session.end_shutdown()
    session.receive_data(raw.OPEN)
    sent = [(type_, flags) for type_, flags, _, _ in raw.frames(session.data_to_send())]
    assert [each for each in sent if each[0] == raw.SETTINGS] == [(raw.SETTINGS, 0), (raw.SETTINGS, raw.ACK)]
