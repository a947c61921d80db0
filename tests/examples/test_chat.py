"""The chat server: two hubs, real processes, plain grpcio clients."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import repeat
from queue import Queue
from threading import Event, Thread

import grpc
import pytest

from examples.chat.chat_pb2 import JoinRequest, LeaveRequest, SayRequest, WhoRequest
from examples.chat.chat_pb2 import Member as Somebody
from examples.chat.demo_proof import check
from examples.demo_server import Server

from .conftest import APP
from .member import Ended, Enter, Member

Status = grpc.StatusCode


def spread(server: Server, members: Sequence[Member]) -> None:
    """Move the members to hubs 0 and 1, in turn."""
    for number, member in enumerate(members):
        server.move(member.id, number % 2)


def status_of(call: Callable[..., object], request: object) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=10)
    return caught.value.code()


def talk(member: Member, count: int) -> Thread:
    """Say ``count`` numbered lines, in a thread."""

    def run() -> None:
        for number in range(1, count + 1):
            member.say(f"{number}")

    thread = Thread(target=run)
    thread.start()
    return thread


def test_members_on_different_hubs_hear_all_lines_in_one_order(server: Server, enter: Enter) -> None:
    members = [enter(nick) for nick in ("ada", "bob", "cy", "dot")]
    spread(server, members)
    hubs = {row["id"]: row["hub"] for row in server.connections()}
    assert [hubs[member.id] for member in members] == [0, 1, 0, 1]
    for thread in [talk(member, 50) for member in members]:
        thread.join()
    first, *others = [member.lines(200) for member in members]
    assert others == [first, first, first]
    for nick in ("ada", "bob", "cy", "dot"):
        assert [text for by, text in first if by == nick] == [f"{number}" for number in range(1, 51)]


def test_no_line_is_lost_or_doubled_by_moves(server: Server, enter: Enter) -> None:
    members = {nick: enter(nick) for nick in ("ada", "bob", "cy", "dot")}
    said = dict.fromkeys(members, 0)
    hush = Event()

    def chatter(nick: str) -> None:
        while not hush.is_set():
            members[nick].say(f"{said[nick] + 1}")
            said[nick] += 1

    threads = [Thread(target=chatter, args=(nick,)) for nick in members]
    for thread in threads:
        thread.start()
    try:
        with ThreadPoolExecutor(len(members)) as pool:
            for target in (0, 1, 0, 1):
                list(pool.map(server.move, [member.id for member in members.values()], repeat(target)))
    finally:
        hush.set()
        for thread in threads:
            thread.join()
    heard = [
        [(nick, int(text)) for nick, text in member.lines(sum(said.values()))] for member in members.values()
    ]
    for each in heard:
        tally = check(each, said, heard[0])
        assert tally.flawless and tally.seen > 100, tally


def test_all_members_answer_each_roll_call_once(server: Server, enter: Enter) -> None:
    members = [enter(nick, "roll-calls") for nick in ("ada", "bob", "cy", "dot")]
    ada = members[0]
    assert ada.next("here").id == ada.id  # she was the first
    for hub in (0, 1):
        spread(server, members)
        server.move(ada.id, hub)
        for _ in range(20):
            ada.who()
        answers = Counter(ada.next("here").id for _ in range(20 * len(members)))
        assert answers == {member.id: 20 for member in members}


def test_a_newcomer_hears_who_is_here(server: Server, enter: Enter) -> None:
    members = [enter(nick, "newcomers") for nick in ("ada", "bob", "cy", "dot")]
    spread(server, members)
    with Member(server.address) as eve:
        eve.join("eve", "newcomers")
        here = eve.here(5)
    assert sorted(here.values()) == ["ada", "bob", "cy", "dot", "eve"]
    assert {member.id for member in members} < here.keys()


def test_joining_and_leaving_is_told(server: Server, enter: Enter) -> None:
    ada, bob = enter("ada"), enter("bob")
    spread(server, [ada, bob])
    assert (joined := ada.next("joined")).nick == "bob" and joined.id == bob.id
    bob.leave()
    assert bob.end().code is Status.OK
    assert ada.next("left").id == bob.id
    cy = enter("cy")
    assert ada.next("joined").id == cy.id
    server.move(cy.id, 1)
    cy.channel.close()
    assert ada.next("left") == Somebody(id=cy.id, nick="cy")


def test_a_nick_belongs_to_who_claimed_it_first(server: Server, enter: Enter) -> None:
    ada = enter("ada", "lobby")
    for hub in (0, 1):
        server.move(ada.id, hub)
        with Member(server.address) as other:
            other.join("ada", "lobby")
            end = other.end()
            assert (end.code, end.details) == (Status.ALREADY_EXISTS, "the nick ada is taken in lobby")
            other.enter("ada2", "lobby")
    enter("ada", "elsewhere")
    ada.say("still here")
    assert ada.lines(1) == [("ada", "still here")]


def test_one_of_those_who_claim_a_nick_at_once_gets_it(server: Server) -> None:
    ended: Queue[Member] = Queue()
    with ExitStack() as stack:
        rivals = {stack.enter_context(Member(server.address)) for _ in range(6)}
        for rival in rivals:
            grpc.channel_ready_future(rival.channel).result(15)
        for rival in rivals:
            rival.join("ada", "arena")
            rival.call.add_done_callback(lambda _, rival=rival: ended.put(rival))
        losers = {ended.get(timeout=15) for _ in range(5)}
        assert {loser.end().code for loser in losers} == {Status.ALREADY_EXISTS}
        (winner,) = rivals - losers
        winner.wait_until_joined()
        winner.say("mine")
        assert winner.lines(1) == [("ada", "mine")]


def test_joining_again_changes_rooms(server: Server, enter: Enter) -> None:
    ada, bob = enter("ada", "hall"), enter("bob", "yard")
    stays = enter("cy", "hall")
    first = ada.call
    ada.enter("ada", "yard")
    assert first.code() is Status.OK
    assert stays.next("left").id == ada.id
    assert bob.next("joined").id == ada.id
    stays.say("in the hall")
    ada.say("in the yard")
    assert ada.lines(1) == bob.lines(1) == [("ada", "in the yard")]
    ada.enter("ada", "yard")  # once more, into the same room
    assert bob.next("left").id == bob.next("joined").id == ada.id
    ada.join("ada", "no such/room")
    assert ada.end().code is Status.INVALID_ARGUMENT
    ada.say("refused, so still in the yard")
    assert bob.lines(1) == [("ada", "refused, so still in the yard")]


def test_what_is_refused(server: Server, enter: Enter) -> None:
    with Member(server.address) as outsider:
        assert status_of(outsider.chat.Say, SayRequest(text="hello?")) is Status.FAILED_PRECONDITION
        assert status_of(outsider.chat.Who, WhoRequest()) is Status.FAILED_PRECONDITION
        outsider.chat.Leave(LeaveRequest(), timeout=10)
        for nick, room in (
            ("", "lobby"),
            ("a b", "lobby"),
            ("x" * 25, "lobby"),
            ("ada", "a/b"),
            ("a\n", "lobby"),
        ):
            outsider.join(nick, room)
            assert outsider.end().code is Status.INVALID_ARGUMENT
    ada = enter("ada")
    for text in ("", "  \n", "x" * 1001):
        assert status_of(ada.chat.Say, SayRequest(text=text)) is Status.INVALID_ARGUMENT
    ada.say("é" * 1000)
    assert ada.lines(1) == [("ada", "é" * 1000)]


def test_who_cancels_has_left(server: Server, enter: Enter) -> None:
    ada, bob = enter("ada"), enter("bob")
    spread(server, [ada, bob])
    bob.call.cancel()
    assert bob.end().code is Status.CANCELLED
    assert ada.next("left").id == bob.id
    assert status_of(bob.chat.Say, SayRequest(text="hello?")) is Status.FAILED_PRECONDITION


def test_a_slow_reader_loses_its_call_and_disturbs_nobody() -> None:
    # The window of a client that does not read stays as it is, where grpcio would widen it.
    narrow = [("grpc.http2.bdp_probe", 0)]
    with (
        Server(APP, options=["--max-unsent-bytes", "20000"]) as server,
        Member(server.address) as ada,
        Member(server.address, narrow) as bob,
    ):
        ada.enter("ada", "lobby")
        unread = bob.chat.Join(JoinRequest(nick="bob", room="lobby"), timeout=30)
        assert ada.next("joined").nick == "bob"
        line = "x" * 1000
        for _ in range(400):
            ada.say(line)
        assert ada.lines(400) == [("ada", line)] * 400
        with pytest.raises(grpc.RpcError) as caught:
            for _ in unread:
                pass
        assert caught.value.code() is Status.RESOURCE_EXHAUSTED
        assert ada.next("left").nick == "bob"


def test_after_a_crash_only_the_living_answer() -> None:
    with Server(APP) as server, Member(server.address) as ada, Member(server.address) as bob:
        with Member(server.address) as dead:
            for member, nick, hub in ((ada, "ada", 0), (dead, "bob", 1)):
                member.enter(nick, "lobby")
                server.move(member.id, hub)
            os.kill(server.status()["hubs"][1]["pid"], signal.SIGKILL)
            assert dead.end().code is Status.UNAVAILABLE
        for _ in range(20):
            try:
                bob.enter("bob", "lobby")  # nobody objects: the other bob is dead
                break
            except Ended as end:  # grpcio may still try the old connection
                assert end.code is Status.UNAVAILABLE
        assert bob.here(2) == {ada.id: "ada", bob.id: "bob"}
        assert bob.id != dead.id
        ada.say("hello again")
        assert bob.lines(1) == ada.lines(1) == [("ada", "hello again")]
