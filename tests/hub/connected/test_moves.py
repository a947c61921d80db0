"""Calls by reference while the connection that is called moves, or their caller does; and when one ends."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

import actorrpc
from actorrpc import StatusCode
from actorrpc.hub.exchange import exchange
from tests.apps.shapes_pb2 import Item
from tests.hub.connected.members import StatefulStub, does, group, note
from tests.hub.invoking.acting import acts


def test_a_reference_follows_its_actor():
    with group(3) as members:
        stub, ref = members.join()
        for hub in (1, 2, 0, 1):
            members.carry(ref, hub)
            for caller in (0, 1, 2):
                assert members.status(caller, ref)[0] is StatusCode.OK
        assert stub.Unary(Item(), timeout=20).number == 13
        members.hubs.wait_for(members.at_rest)


@pytest.mark.parametrize("remembered", [True, False])
def test_calls_are_answered_while_the_one_called_moves(remembered):
    with group(3) as members:
        stub, ref = members.join()
        enough: list[int] = []
        searches = members.hubs.nodes[0].search

        def ask(room):
            number = 0
            while not enough:
                if not remembered:
                    searches._remembered.clear()
                reply = StatefulStub(ref).Unary(Item(text=str(number)))
                assert (reply.text, reply.number) == (str(number), number + 1)
                number += 1
            return number

        asking, results = members.begin_by(0, ask)
        for hub in (1, 2, 1, 0, 2, 1, 0, 1):
            members.carry(ref, hub)
        enough.append(1)
        asking.result()
        assert stub.Notes(Item(), timeout=20).text == " ".join(map(str, range(results[0]))), "each once"
        members.hubs.wait_for(members.at_rest)


def test_a_stream_goes_on_while_its_actor_moves():
    """Its reader is now behind, and now not; the client's own stream goes on beside it."""
    with group(2) as members:
        stub, ref = members.join()
        enough: list[int] = []
        read: list[int] = []

        def recite(member, request, call):
            number = int(call.cursor or b"0")
            while not enough:
                call.cursor = b"%d" % (number + 1)
                yield Item(number=number, body=bytes(20_000))
                number += 1
                gevent.sleep(0)

        def ask(room):
            for reply in StatefulStub(ref).Expand(Item()):
                read.append(reply.number)
                if reply.number % 10 == 0:
                    gevent.sleep(0.001)

        does["Expand"] = recite
        asking, _ = members.begin_by(0, ask)
        own = stub.Expand(Item(), timeout=20)
        assert next(own).number == 0
        for hub in (1, 0, 1, 0, 1):
            members.carry(ref, hub)
        members.hubs.wait_for(lambda: len(read) > 100)
        enough.append(1)
        numbers = [item.number for item in own]
        assert numbers == [*range(1, len(numbers) + 1)]
        asking.result()
        assert read == [*range(len(read))]
        members.hubs.wait_for(members.at_rest)


def test_what_waits_moves_with_the_connection_and_runs_once():
    """Calls of rooms on both hubs, of the client, and their ends."""
    with group(2) as members:
        stub, ref = members.join()
        begun, go, ended = [], [], []

        def block(member, request, call):
            begun.append(request.text)
            while not go:
                gevent.sleep(0.001)
            return note(member, request, call)

        does["Unary"] = block
        does["on_call_end"] = lambda member, item, call: ended.append((call.metadata.get("n"), item.number))

        def ask(name):
            return lambda room: StatefulStub(ref).Unary(Item(text=name), metadata=[("n", name)]).text

        first, _ = members.begin_by(0, ask("first"))
        members.hubs.wait_for(lambda: begun)
        second, _ = members.begin_by(1, ask("second"))
        members.hubs.wait_for(lambda: members.incoming(ref) == 2)
        own = stub.Unary.future(Item(text="own"), metadata=[("n", "own")], timeout=20)
        connection = members.hubs.nodes[0].connections[ref.connection]
        members.hubs.wait_for(lambda: len(connection.calls) == 3)
        results = members.begin_carrying(ref, 1)
        go.append(1)
        members.hubs.wait_for(lambda: results)
        assert results[0].why == ""
        first.result(), second.result()
        assert own.result().number == 3
        assert stub.Notes(Item(), timeout=20).text == "first second own"
        assert begun == ["first", "second", "own"]
        members.hubs.wait_for(lambda: len(ended) == 4)
        assert ended[:3] == [("first", 0), ("second", 0), ("own", 0)]
        members.hubs.wait_for(members.at_rest)


def test_a_call_keeps_its_deadline_and_its_caller_in_a_move():
    with group(2) as members:
        stub, ref = members.join()
        seen, go = [], []

        def look(member, request, call):
            if request.text == "block":
                while not go:
                    gevent.sleep(0.001)
            seen.append((call.caller, 0 < (call.time_remaining() or 0) <= 15))
            return request

        does["Unary"] = look
        blocked = stub.Unary.future(Item(text="block"), timeout=20)
        connection = members.hubs.nodes[0].connections[ref.connection]
        members.hubs.wait_for(lambda: connection.schedule.running)
        asking, results = members.begin_by(
            1, lambda room: (StatefulStub(ref).Unary(Item(), timeout=15), room.ref)[1]
        )
        members.hubs.wait_for(lambda: members.incoming(ref))
        moved = members.begin_carrying(ref, 1)
        go.append(1)
        members.hubs.wait_for(lambda: moved)
        blocked.result(), asking.result()
        assert seen[1] == (results[0], True)


def test_a_client_that_ends_amid_a_call_ends_it_at_once():
    with group(2) as members:
        _, ref = members.join(1)
        begun, errors = [], []

        def block(member, request, call):
            begun.append(1)
            try:
                gevent.sleep(60)
            except actorrpc.CallCancelled:
                errors.append(1)
                raise

        def ask(room):
            futures = [StatefulStub(ref).Unary.future(Item()) for _ in range(2)]
            listening = StatefulStub(ref).Listen(Item())
            return [(each.code(), each.details()) for each in (*futures, listening)]

        does["Unary"] = block
        asking, results = members.begin_by(0, ask)
        members.hubs.wait_for(lambda: begun and members.incoming(ref) == 3)
        members.channels[ref.connection].close()
        asking.result()
        assert [code for code, _ in results[0]] == [
            StatusCode.UNAVAILABLE,
            StatusCode.NOT_FOUND,
            StatusCode.NOT_FOUND,
        ]
        assert results[0][0][1] == "the connection of the actor has ended, in the call"
        members.hubs.wait_for(lambda: errors)
        assert members.status(0, ref)[0] is StatusCode.NOT_FOUND
        members.hubs.wait_for(members.at_rest)


def test_a_hub_that_dies_takes_its_connections_with_it():
    with group(3) as members:
        _, ref = members.join(2)
        begun = []

        def block(member, request, call):
            begun.append(1)
            gevent.sleep(60)

        def ask(room):
            return [StatefulStub(ref).Unary.future(Item()).code(), room.ref.service]

        does["Unary"] = block
        asking, results = members.begin_by(0, ask)
        members.hubs.wait_for(lambda: begun)
        kill(members, 2)
        asking.result()
        assert results[0][0] is StatusCode.UNAVAILABLE
        assert members.status(0, ref)[0] is StatusCode.NOT_FOUND
        assert members.status(1, ref)[0] is StatusCode.NOT_FOUND
        members.hubs.wait_for(lambda: not any(n.exchange.outgoing for n in members.hubs.nodes[:2]))


def kill(members: Any, hub: int) -> None:
    """As SIGKILL does, though turns run there."""

    def end() -> None:
        node = members.hubs.nodes[hub]
        node.links.close()
        for stage in [*node.stages.values()]:
            stage.forked()
        node.directory.close()

    members.hubs.ask(end)
    others = [node for node in members.hubs.nodes if node.hub != hub]
    members.hubs.wait_for(lambda: not any(hub in node.links.by_serial for node in others))


def test_a_caller_that_dies_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(exchange, "ORPHANS", 0.05)
    with group(3) as members:
        _, ref = members.join(1)
        begun, ended = [], []

        def block(member, request, call):
            begun.append(1)
            try:
                gevent.sleep(60)
            finally:
                ended.append(1)

        does["Unary"] = block
        asking, _ = members.begin_by(2, lambda room: StatefulStub(ref).Unary(Item()))
        members.hubs.wait_for(lambda: begun)
        kill(members, 2)
        members.hubs.wait_for(lambda: ended)
        asking.cancel()


def test_who_asks_stays_until_it_is_answered():
    with group(2) as members:
        _, ref = members.join(1)
        go = []

        def block(member, request, call):
            while not go:
                gevent.sleep(0.001)
            return request

        does["Unary"] = block
        asking, _ = members.begin_by(0, lambda room: StatefulStub(ref).Unary(Item()).text)
        members.hubs.wait_for(lambda: members.incoming(ref))
        results: list[Any] = []
        members.hubs.ask(lambda: members.begin_move("rooms.Room/asker 0", 1, results))
        carried = members.begin_carrying(ref, 0)
        go.append(1)
        asking.result()
        members.hubs.wait_for(lambda: results and carried)
        assert (results[0].why, carried[0].why) == ("", "")
        assert members.where("asker 0") == 1
        assert ref.connection in members.hubs.nodes[0].connections


def test_tells_keep_their_order_while_both_ends_move():
    with group(3) as members:
        stub, ref = members.join()
        acts["teller.Post"] = lambda room, request, call: (
            StatefulStub(ref).Unary.tell(Item(text=request.text)) or request
        )
        members.place(teller=2)
        told = []
        for turn in range(12):
            for _ in range(5):
                told.append(str(len(told)))
                members.post("teller", told[-1])
            members.carry(ref, (turn + 1) % 3)
            if turn % 3 == 2:
                members.move("teller", turn % 2)
        nodes = members.hubs.nodes

        def heard() -> bool:
            found = [node.connections.get(ref.connection) for node in nodes]
            cells = [each.cells["shapes.Stateful"] for each in found if each is not None]
            return any(cell.instance is not None and len(cell.instance.state.notes) == 60 for cell in cells)

        members.hubs.wait_for(heard)
        assert stub.Notes(Item(), timeout=20).text.split() == told


def test_a_connection_that_goes_on_and_on_is_found():
    """It never stays, and nobody remembers where it was."""
    with group(4) as members:
        stub, ref = members.join()
        over, moves = [], []

        def storm():
            while not over:
                moves.append(members.hubs._joined.move(ref.connection).outcome)

        def ask(room):
            for number in range(100):
                for node in members.hubs.nodes:
                    node.search._remembered.clear()
                assert StatefulStub(ref).Unary(Item(text="x")).number == number + len(asked)
                gevent.sleep(0)

        members.place(**{"asker 1": 1, "asker 3": 3})
        storming = members.hubs.ask(lambda: gevent.spawn(storm))
        asked = [1]
        for caller in (1, 3):
            members.by(caller, ask)
            asked *= 101
        over.append(1)
        members.hubs.wait_for(lambda: storming.dead)
        assert len(moves) > 20 and set(moves) == {0}
        assert stub.Unary(Item(), timeout=20).number == 201
        members.hubs.wait_for(members.at_rest)


def test_a_version_that_knows_no_such_calls_is_not_given_them():
    with group(2) as members:
        _, ref = members.join()
        members.hubs.ask(lambda: setattr(members.hubs.nodes[0].links.by_serial[1], "snapshots", 4))
        listening, _ = members.begin_by(0, lambda room: [*StatefulStub(ref).Listen(Item())])
        members.hubs.wait_for(lambda: members.incoming(ref))
        result = members.hubs.move(1, ref.connection)
        assert "called by reference, which the code of the target does not know" in result.why
        listening.cancel()
        members.hubs.wait_for(members.at_rest)
        members.carry(ref, 1)
        # Nor asked: whether it has the connection cannot be known then.
        for node in members.hubs.nodes:
            for link in node.links.by_serial.values():
                members.hubs.ask(lambda link=link: setattr(link, "format", 1))
        code, message = members.status(0, ref)
        assert code is StatusCode.UNAVAILABLE and "hub 1 may have it, whose version" in message


def test_a_line_in_the_log_says_whom_something_was_told_to(caplog):
    with group() as members:
        _, ref = members.join()
        members.channels[ref.connection].close()
        members.hubs.wait_for(lambda: not members.hubs.nodes[0].connections.get(ref.connection))
        members.by(0, lambda room: StatefulStub(ref).Unary.tell(Item()))
        said = [record.getMessage() for record in caplog.records if "was told to" in record.getMessage()]
        assert len(said) == 1
        assert (
            f"told to the actor of shapes.Stateful on connection {ref.connection}, ended with NOT_FOUND"
            in said[0]
        )
