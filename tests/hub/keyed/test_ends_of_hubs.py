"""Calls to a hub that ends as it should, and does not read them any more."""

from __future__ import annotations

from itertools import count

from actorrpc.errors import StatusCode
from actorrpc.hub.exchange.outgoing import Fields, Request
from tests.apps.rooms import app
from tests.apps.rooms_pb2 import Line
from tests.support.hubs import Hubs
from tests.support.keyed import PATIENCE, move, rooms, where


class Caller:
    """Hears how a call ends."""

    frozen = congested = False

    def __init__(self) -> None:
        self.ends: list[tuple[StatusCode, str]] = []

    def on_begun(self) -> None: ...
    def on_headers(self, fields: Fields) -> None: ...
    def on_message(self, payload: bytes) -> None: ...
    def on_end(self, status: StatusCode, message: str, fields: Fields, reply: bytes | None) -> None:
        self.ends.append((status, message))


def known_at(hubs: Hubs, hub: int) -> str:
    """A key of which this hub knows where it is."""
    home = hubs.nodes[hub].directory
    return next(key for key in map(str, count()) if home.is_home(("rooms.Room", key)))


def test_a_call_to_a_hub_that_an_actor_has_left_and_that_ends_is_not_lost() -> None:
    with rooms(app, 3) as (hubs, stub):
        key = known_at(hubs, 0)
        actor = f"rooms.Room/{key}"
        for hub in (1, 2):
            stub.Post(Line(room=key), timeout=PATIENCE)  # the first hub remembers where it was
            move(hubs, actor, hub)
            assert where(hubs, actor) == [hub]
        remembered = hubs.nodes[0].directory._remembered["rooms.Room", key]
        assert remembered.hub == hubs.nodes[1].serial
        caller = Caller()
        ended: list[None] = []

        def call_and_end() -> None:
            request = Request("/rooms.Room/Post", Line(room=key).SerializeToString())
            hubs.nodes[0].exchange.begin(("rooms.Room", key), request, caller)
            hubs.nodes[1].stop(0, lambda: ended.append(None))

        hubs.ask(call_and_end)
        assert ended, "it has not read what came"
        assert hubs.wait_for(lambda: caller.ends) == [(StatusCode.OK, "")]
        assert stub.Post(Line(room=key), timeout=PATIENCE).number == 4, "it has run once"
