"""Attacks that a move of the connection to another hub must not help."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.apps.shapes_pb2 import Item
from tests.hostile.attacker import ENHANCE_YOUR_CALM, Attacker, Requests
from tests.support import raw
from tests.support.server_process import ServerProcess, served

PRIORITY = raw.frame(raw.PRIORITY, 0, 1, bytes(5))
STEP = 1000


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A budget that does not fill up again while a test looks the other way."""
    with served("--flood-burst", "100000", "--flood-rate", "1") as server:
        yield server


def hub_of(server: ServerProcess, attacker: Attacker) -> tuple[str, int]:
    """The id of the attacker's connection, and the hub that serves it."""
    found = server.wait_for(
        lambda: next((each for each in server.connections() if each["peer"] == attacker.name), None)
    )
    return found["id"], found["hub"]


def move(server: ServerProcess, attacker: Attacker) -> None:
    """Move it to the other hub."""
    id, hub = hub_of(server, attacker)
    assert "moved" in server.run("move", id, str(1 - hub)).stdout
    assert hub_of(server, attacker) == (id, 1 - hub)


def steps_to_the_end(attacker: Attacker, requests: Requests, most: int) -> int:
    """Send floods of PRIORITY, each followed by a call, until the server has had enough."""
    for step in range(most):
        attacker.send(PRIORITY * STEP + requests.call())
        attacker.wait(lambda: attacker.goaway or requests.last in attacker.fields)
        if attacker.goaway:
            assert attacker.goaway[0] == ENHANCE_YOUR_CALM
            return step
    return most


def test_a_move_does_not_refill_the_flood_budget(server: ServerProcess):
    """Half of a flood before the move and half after it end the connection as the whole one does."""
    with Attacker(server.address) as attacker:
        whole = steps_to_the_end(attacker, Requests(), 1000)
    assert 0 < whole < 1000, "the flood has no end"
    with Attacker(server.address) as attacker:
        requests = Requests()
        half = whole * 6 // 10
        assert steps_to_the_end(attacker, requests, half) == half
        move(server, attacker)
        assert half + steps_to_the_end(attacker, requests, whole) <= whole + 2


def test_a_header_block_that_travels_half_stays_bounded(server: ServerProcess):
    """HEADERS without END_HEADERS, a move, then a CONTINUATION flood at the other hub (RFC 9113, 6.10)."""
    requests = Requests()
    with Attacker(server.address) as attacker:
        attacker.send(requests.call())
        assert attacker.status(1) == 0
        attacker.send(raw.frame(raw.HEADERS, 0, 3, b"\x83\x86"))
        move(server, attacker)
        attacker.flood(raw.frame(raw.CONTINUATION, 0, 3, bytes(16_384)) for _ in range(100))
        attacker.wait(lambda: attacker.goaway)
        assert attacker.goaway and attacker.goaway[0] == ENHANCE_YOUR_CALM


def test_a_flood_through_moves_harms_nobody(server: ServerProcess):
    """A connection that floods is moved again and again: it is ended, or served, and its hubs live on."""
    pids = [hub["pid"] for hub in server.status()["hubs"]]
    with Attacker(server.address) as attacker, Attacker(server.address) as other:
        requests, others = Requests(), Requests()
        for _ in range(4):
            call = requests.call(Item(number=1).SerializeToString(), "Stateful/Unary")
            attacker.send(call + PRIORITY * STEP + requests.open("Stateful/Talk") + requests.reset())
            move(server, attacker)
        other.send(others.call())
        assert other.status(1) == 0
    assert [hub["pid"] for hub in server.status()["hubs"]] == pids
