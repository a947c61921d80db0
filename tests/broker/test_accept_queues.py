"""Who accepts from which queue: a pure choice, and what processes are told of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorrpc.broker.deploying.scale import MOST_HUBS
from actorrpc.broker.sharing.accept_queues import AcceptQueues, holders
from actorrpc.errors import ConfigError
from actorrpc.ipc.hello import Formats, Hello
from actorrpc.ipc.queues import address_of, hub_of, queue_of, queue_text
from actorrpc.net.addresses import address_text, parse_address
from actorrpc.net.listening import Bound, open_addresses, open_again
from actorrpc.pb.control_pb2 import Load, Queue, ToHub


@pytest.mark.parametrize(
    ("queues", "able", "before", "wanted"),
    [
        (3, {0, 1, 2}, {}, {0: 0, 1: 1, 2: 2}),
        (3, {0, 2}, {}, {0: 0, 1: 0, 2: 2}),
        (4, {1, 2}, {}, {0: 1, 1: 1, 2: 2, 3: 2}),
        (3, {0, 2}, {0: 0, 1: 2, 2: 2}, {0: 0, 1: 2, 2: 2}),  # what was lent stays lent
        (3, {0, 1, 2}, {1: 2}, {0: 0, 1: 1, 2: 2}),  # until it can be given back
        (2, set(), {0: 1, 1: 1}, {0: 1, 1: 1}),  # nobody can be told anything
        (1, {0, 1, 2}, {}, {0: 0}),
        (1, {1, 2}, {0: 0}, {0: 1}),
        (1, {1, 2}, {0: 2}, {0: 2}),
        (1, {0, 1, 2}, {0: 2}, {0: 0}),
    ],
)
def test_holders(queues: int, able: set[int], before: dict[int, int], wanted: dict[int, int]) -> None:
    assert holders(range(queues), able, before) == wanted


SERIALS = count(1001)


class FakeProcess:
    """A hub's process, and what it has been told."""

    def __init__(self, hub: int) -> None:
        self.hub, self.serial = hub, next(SERIALS)
        self.state = "serving"
        self.draining = False
        self.exit_code: int | None = None
        self.told: list[str] = []
        self.out_of_descriptors = False
        self.load = Load()
        #: What follows messages that the kernel has not taken; None: it takes them at once.
        self.unsent: list[Callable[[], None]] | None = None
        #: The queues that it accepts from, by what the kernel has taken.
        self.accepts: set[int] = set()
        #: Those that it keeps for the time when there is no broker.
        self.keeps: list[int] = []

    def send(self, message: ToHub, fds: Sequence[int] = (), then: Callable[[], None] | None = None) -> bool:
        if self.exit_code is not None:
            return False
        if self.out_of_descriptors and fds:
            raise OSError("too many open files")
        kind = message.WhichOneof("kind") or ""
        body = getattr(message, kind)
        assert len(fds) == (kind in ("listen", "keep"))
        for fd in fds:
            os.fstat(fd)
        if kind == "keep":
            self.keeps = [*self.keeps, body.queue] if body.more else [body.queue]
            return True
        spread = " and spread" if kind == "listen" and body.spread else ""
        self.told.append(f"{kind} {body.queue}{spread}")
        change = self.accepts.add if kind == "listen" else self.accepts.discard

        def taken() -> None:
            change(body.queue)
            if then is not None:
                then()

        if self.unsent is None:
            taken()
        else:
            self.unsent.append(taken)
        return True

    def drain(self, *, undo: bool = False) -> None:
        self.draining = not undo
        self.state = "serving" if undo else "draining"

    def read(self) -> None:
        """It reads again: the kernel takes what waits."""
        unsent, self.unsent = self.unsent or [], None
        for then in unsent:
            then()

    def news(self) -> list[str]:
        told, self.told = self.told, []
        return told


@pytest.fixture(params=["reuseport", "acceptor"])
def queues(request: pytest.FixtureRequest) -> Iterator[AcceptQueues]:
    with open_addresses(["127.0.0.1:0"], 3 if request.param == "reuseport" else None) as bounds:
        yield AcceptQueues(bounds, 3, request.param)


def start(queues: AcceptQueues, hub: int) -> FakeProcess:
    """A process that was given its queue at its start, where it has one of its own."""
    process = FakeProcess(hub)
    queues.started(process)  # type: ignore[arg-type]
    if queues.accept == "reuseport":
        process.accepts.add(hub)
    return process


def assign(queues: AcceptQueues, *processes: FakeProcess) -> list[list[str]]:
    """What each of the processes is told."""
    queues.assign(processes)  # type: ignore[arg-type]
    return [process.news() for process in processes]


def test_a_queue_goes_to_another_hub_and_back(queues: AcceptQueues) -> None:
    one = queues.accept == "acceptor"
    zero, first, second = (start(queues, hub) for hub in range(3))
    assert assign(queues, zero, first, second) == [["listen 0 and spread"] if one else [], [], []]
    assert assign(queues, zero, first, second) == [[], [], []]
    zero.exit_code = -9
    assert assign(queues, first, second) == [["listen 0 and spread" if one else "listen 0"], []]
    again = start(queues, 0)
    told = assign(queues, again, first, second)
    assert told == [["listen 0 and spread"] if one else [], ["unlisten 0"], []]
    assert zero.news() == []


@pytest.mark.parametrize("state", ["silent", "stopping"])
def test_a_hub_that_does_not_accept_is_helped(queues: AcceptQueues, state: str) -> None:
    one = queues.accept == "acceptor"
    zero, first, second = (start(queues, hub) for hub in range(3))
    assign(queues, zero, first, second)
    zero.state = state
    helped, helper, _ = assign(queues, zero, first, second)
    assert helper == ["listen 0 and spread" if one else "listen 0"]
    assert helped == (["unlisten 0"] if one else [])
    zero.state = "serving"
    assert assign(queues, zero, first, second)[1] == ["unlisten 0"]


def test_a_drained_hub_gives_its_queue_away_until_that_is_undone(queues: AcceptQueues) -> None:
    one = queues.accept == "acceptor"
    zero, first, second = (start(queues, hub) for hub in range(3))
    assign(queues, zero, first, second)
    zero.drain()
    listen = "listen 0 and spread" if one else "listen 0"
    assert assign(queues, zero, first, second) == [["unlisten 0"], [listen], []], "also one of its own"
    assert assign(queues, zero, first, second) == [[], [], []]
    zero.drain(undo=True)
    assert assign(queues, zero, first, second) == [[listen], ["unlisten 0"], []]


def test_a_drained_hub_gives_away_what_it_was_lent(queues: AcceptQueues) -> None:
    zero, first, second = (start(queues, hub) for hub in range(3))
    assign(queues, zero, first, second)
    zero.exit_code = -9
    assign(queues, first, second)
    assert 0 in first.accepts
    first.drain()
    assign(queues, first, second)
    assert (0 in first.accepts, 0 in second.accepts) == (False, True)


def test_a_successor_has_the_queue_at_once(queues: AcceptQueues) -> None:
    """Both may accept for a moment, but not for a moment nobody."""
    one = queues.accept == "acceptor"
    old, first, second = (start(queues, hub) for hub in range(3))
    assign(queues, old, first, second)
    new = start(queues, 0)
    told = assign(queues, old, first, second, new)
    assert told == [["unlisten 0"] if one else [], [], [], ["listen 0 and spread"] if one else []]
    old.drain()
    assert assign(queues, old, first, second, new) == [[], [], [], []]
    new.exit_code = -9
    told = assign(queues, old, first, second)
    assert told[1] == ["listen 0 and spread" if one else "listen 0"]
    assert told[0] == ([] if one else ["unlisten 0"]), "it is drained"


def test_if_all_are_drained_nobody_accepts(queues: AcceptQueues) -> None:
    processes = [start(queues, hub) for hub in range(3)]
    assign(queues, *processes)
    for process in processes:
        process.drain()
    assert assign(queues, *processes) == [[], [], []]


def test_what_cannot_be_sent_is_tried_again(queues: AcceptQueues) -> None:
    zero, first, second = (start(queues, hub) for hub in range(3))
    assign(queues, zero, first, second)
    zero.exit_code = 1
    first.out_of_descriptors = True
    assert assign(queues, first, second) == [[], []]
    first.out_of_descriptors = False
    assert assign(queues, first, second)[0][0].startswith("listen 0")


def test_a_queue_that_cannot_be_given_stays_where_it_is(queues: AcceptQueues) -> None:
    """The old holder is only silent: it accepts when it is heard again."""
    zero, first, second = (start(queues, hub) for hub in range(3))
    assign(queues, zero, first, second)
    zero.state = "silent"
    first.out_of_descriptors = second.out_of_descriptors = True
    assert assign(queues, zero, first, second) == [[], [], []]
    zero.state = "serving"
    assert assign(queues, zero, first, second) == [[], [], []], "it still has it"


def test_the_old_holder_lets_go_when_the_new_one_has_been_told() -> None:
    with open_addresses(["127.0.0.1:0"], None) as bounds:
        queues = AcceptQueues(bounds, 2, "acceptor")
        zero, first = start(queues, 0), start(queues, 1)
        assign(queues, zero, first)
        zero.state = "silent"
        first.unsent = []
        assert assign(queues, zero, first) == [[], ["listen 0 and spread"]]
        first.read()
        assert zero.news() == ["unlisten 0"]


def test_a_holder_that_has_the_queue_back_keeps_it_when_the_other_one_reads_late() -> None:
    with open_addresses(["127.0.0.1:0"], None) as bounds:
        queues = AcceptQueues(bounds, 2, "acceptor")
        zero, first = start(queues, 0), start(queues, 1)
        assign(queues, zero, first)
        zero.state = "silent"
        first.unsent = []
        assign(queues, zero, first)
        zero.state = "serving"
        assert assign(queues, zero, first) == [["listen 0 and spread"], ["unlisten 0"]]
        first.read()
        assert zero.news() == []


def test_a_hub_without_descriptors_is_helped(queues: AcceptQueues) -> None:
    one = queues.accept == "acceptor"
    zero, first, second = (start(queues, hub) for hub in range(3))
    assign(queues, zero, first, second)
    zero.load.crowded = True
    helped, helper, _ = assign(queues, zero, first, second)
    assert helper == ["listen 0 and spread" if one else "listen 0"]
    assert helped == (["unlisten 0"] if one else [])
    first.load.crowded = second.load.crowded = True
    assert assign(queues, zero, first, second) == [[], [], []], "nobody is better off"


def test_a_holder_that_dies_before_it_has_heard_leaves_one_holder() -> None:
    """The one before it has not been told to let go yet."""
    with open_addresses(["127.0.0.1:0"], None) as bounds:
        queues = AcceptQueues(bounds, 3, "acceptor")
        zero, first, second = (start(queues, hub) for hub in range(3))
        assign(queues, zero, first, second)
        zero.state = "silent"
        first.unsent = []
        assign(queues, zero, first, second)
        first.exit_code = -9
        assert assign(queues, zero, second) == [["unlisten 0"], ["listen 0 and spread"]]


# ---- whatever happens

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["assign"] * 4 + ["state", "stall", "read", "die", "crowd", "short", "calm", "drain", "succeed"]
        ),
        st.integers(0, 2),
        st.sampled_from(["serving", "silent", "stopping"]),
    ),
    max_size=40,
)


class Pool:
    """Three hubs of a broker, each with a process that may die, and is started again."""

    def __init__(self, queues: AcceptQueues) -> None:
        self.queues = queues
        self.processes = [start(queues, hub) for hub in range(3)]
        #: Of an earlier generation of code.
        self.old: list[FakeProcess] = []

    def step(self, kind: str, hub: int, state: str) -> None:
        process = self.processes[hub]
        if kind == "assign":
            self.assign()
        elif kind == "state":
            process.state = state
        elif kind == "stall":
            process.unsent = process.unsent or []
        elif kind == "read":
            process.read()
        elif kind == "calm":
            self.calm()
        elif kind == "die":
            process.exit_code = -9
            self.processes[hub] = start(self.queues, hub)
            self.assign()
        elif kind == "drain":
            process.drain(undo=process.draining)
        elif kind == "succeed":  # as in a reload
            self.old.append(process)
            self.processes[hub] = start(self.queues, hub)
            self.assign()
            process.drain()
            self.assign()
        elif kind == "crowd":
            process.load.crowded = not process.load.crowded
        else:
            process.out_of_descriptors = not process.out_of_descriptors

    def assign(self) -> None:
        self.queues.assign([*self.old, *self.processes])  # type: ignore[arg-type]

    def calm(self) -> None:
        """All that has been said is heard: then no queue is lent to two."""
        for _ in range(2):
            self.assign()
            for process in (*self.old, *self.processes):
                process.read()
        reuseport = self.queues.accept == "reuseport"
        for queue in range(3):
            holders = [process.hub for process in self.processes if queue in process.accepts]
            lent = [hub for hub in holders if not (reuseport and hub == queue)]
            assert len(lent) <= 1

    def settle(self) -> None:
        self.calm()
        for process in self.processes:
            process.drain(undo=True)
            process.out_of_descriptors = False
            process.load.crowded = False
        self.assign()


@pytest.mark.parametrize("accept", ["reuseport", "acceptor"])
@settings(max_examples=500, deadline=None, derandomize=True)
@given(steps=STEPS)
def test_each_queue_has_one_hub_in_the_end(accept: str, steps: list[tuple[str, int, str]]) -> None:
    with open_addresses(["127.0.0.1:0"], 3 if accept == "reuseport" else None) as bounds:
        pool = Pool(AcceptQueues(bounds, 3, accept))
        pool.assign()
        for step in steps:
            pool.step(*step)
        pool.settle()
        for queue in range(len(bounds[0].sockets)):
            assert sum(queue in process.accepts for process in pool.processes) == 1
        for old in pool.old:  # it has what it was started with, and does not look at it
            assert old.accepts <= ({old.hub} if accept == "reuseport" else set())


# ---- more hubs, and fewer


def test_the_queue_of_a_new_hub_is_another_ones_until_it_is_there() -> None:
    with open_addresses(["127.0.0.1:0"], 1) as bounds:
        queues = AcceptQueues(bounds, 1, "reuseport")
        zero, first = FakeProcess(0), FakeProcess(1)
        queues.started(zero)  # type: ignore[arg-type]
        queues.grow(1, 2)
        assert assign(queues, zero) == [["listen 1"]]
        with socket.create_connection(parse_address(queues.address)):
            pass  # there are two now, and both are in use
        queues.started(first)  # type: ignore[arg-type]
        assert queues.start(1) != queues.start(0)
        assert assign(queues, zero, first) == [["unlisten 1"], []]
        assert assign(queues, zero) == [["listen 1"]], "also when it has gone for good"
        before = queues.start(1)
        queues.grow(1, 2)
        assert queues.start(1) == before
        queues.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(parse_address(queues.address))


def test_one_queue_is_enough_for_an_acceptor() -> None:
    with open_addresses(["127.0.0.1:0"], None) as bounds:
        queues = AcceptQueues(bounds, 1, "acceptor")
        queues.grow(1, 9)
        assert queues.start(8) == [bounds[0].sockets[0].fileno()]


def test_each_queue_is_kept_by_another_hub_than_the_one_that_accepts_from_it(queues: AcceptQueues) -> None:
    """With one queue for all each hub has its socket from the start."""
    one = queues.accept == "acceptor"
    processes = [start(queues, hub) for hub in range(3)]
    assign(queues, *processes)
    assert [process.keeps for process in processes] == ([[], [], []] if one else [[2], [0], [1]])
    processes[1].exit_code = -9
    left = [processes[0], processes[2]]
    assign(queues, *left)  # hub 0 has the queue of the one that died
    assert [process.keeps for process in left] == ([[], []] if one else [[2], [0, 1]])
    again = start(queues, 1)
    assign(queues, processes[0], again, processes[2])
    if not one:
        kept = {queue: process.hub for process in (*left, again) for queue in process.keeps}
        assert all(kept[queue] != queue for queue in range(3))


def test_nobody_else_can_keep_the_queue_of_the_only_hub(queues: AcceptQueues) -> None:
    only = start(queues, 0)
    assign(queues, only)
    assert only.keeps == []


def test_sockets_that_hubs_lend_are_the_queues(queues: AcceptQueues) -> None:
    """What another broker's hubs give back to this one."""
    one = queues.accept == "acceptor"
    given = {number: sock.fileno() for number, sock in queues._sockets.items()}
    later = AcceptQueues([replace(bound, sockets=[]) for bound in queues.bounds], 3, queues.accept)
    assert not later.any and later.address == queues.address
    processes = [FakeProcess(hub) for hub in range(2)]
    offers = [[(0, True)], [(0, False)]] if one else [[(0, True), (2, True)], [(1, True), (0, False)]]
    for process, offered in zip(processes, offers, strict=True):
        message = [Queue(number=number, accepting=accepting) for number, accepting in offered]
        later.restore(process, message, [os.dup(given[number]) for number, _ in offered])  # type: ignore[arg-type]
    try:
        assert assign(later, *processes) == [[], []], "as it was"
        again = start(later, 2)
        told = assign(later, *processes, again)
        assert told == ([[], [], []] if one else [["unlisten 2"], [], []])
    finally:
        later.close()


# ---- those that another broker's hubs have


@contextmanager
def opened(hubs: int = 1) -> Iterator[list[socket.socket]]:
    """The listening sockets of so many hubs."""
    with open_addresses(["127.0.0.1:0"], hubs) as (bound,):
        yield bound.sockets


def taken_over(hubs: int, accept: str, address: str) -> AcceptQueues:
    return AcceptQueues([Bound(address, accept == "acceptor")], hubs, accept, open_again)


def offer(*queues: int, accepting: bool = True) -> list[Queue]:
    return [Queue(number=queue, accepting=accepting) for queue in queues]


def test_a_hub_that_says_late_what_it_has_gets_the_socket_that_there_is_now() -> None:
    """Its own would be accepted from by nobody, or that of the broker."""
    with opened(2) as (zeroth, first):
        queues = taken_over(2, "reuseport", address_text(zeroth.getsockname()))
        zero, one = FakeProcess(0), FakeProcess(1)
        queues.assume(one)  # type: ignore[arg-type]
        queues.restore(zero, offer(0), [os.dup(zeroth.fileno())])  # type: ignore[arg-type]
        new = FakeProcess(1)
        queues.start(1)
        queues.started(new)  # type: ignore[arg-type]
        assert assign(queues, zero, new) == [[], []]
        new.exit_code = -9
        queues.restore(one, offer(1), [os.dup(first.fileno())], late=True)  # type: ignore[arg-type]
        assert assign(queues, zero, one) == [[], ["unlisten 1", "listen 1"]]
        queues.close()


@pytest.mark.parametrize("had", [(), (0,)], ids=["it was drained", "or not"])
def test_what_was_assumed_of_a_silent_hub_may_be_wrong(had: tuple[int, ...]) -> None:
    """And what it says may be: the broker before it, or this one, has told it to let go meanwhile."""
    with opened() as (only,):
        queues = taken_over(2, "reuseport", address_text(only.getsockname()))
        silent, other = FakeProcess(0), FakeProcess(1)
        queues.assume(silent)  # type: ignore[arg-type]
        queues.restore(other, offer(0), [os.dup(only.fileno())])  # type: ignore[arg-type]
        lent = [os.dup(only.fileno()) for _ in had]
        queues.restore(silent, offer(*had), lent, late=True)  # type: ignore[arg-type]
        let_go = [f"unlisten {queue}" for queue in had]
        assert assign(queues, silent, other) == [[*let_go, "listen 0"], ["unlisten 0"]]
        queues.close()


def test_what_comes_when_all_is_closed_is_closed_too() -> None:
    with opened() as (only,):
        address = address_text(only.getsockname())
        queues = taken_over(1, "reuseport", address)
        queues.close()
        lent = os.dup(only.fileno())
        queues.restore(FakeProcess(0), offer(0), [lent], late=True)  # type: ignore[arg-type]
        with pytest.raises(OSError):
            os.fstat(lent)


def test_what_several_hubs_have_of_one_queue_is_one() -> None:
    with opened() as (only,):
        queues = taken_over(1, "reuseport", address_text(only.getsockname()))
        process, other = FakeProcess(0), FakeProcess(1)
        queues.assume(process)  # type: ignore[arg-type]
        for each, accepting in ((other, True), (process, False)):
            lent = os.dup(only.fileno())
            queues.restore(each, offer(0, accepting=accepting), [lent])  # type: ignore[arg-type]
        assert assign(queues, process, other) == [[], ["unlisten 0"]]
        queues.close()


@pytest.mark.parametrize("accept", ["reuseport", "acceptor"])
def test_where_no_hub_has_a_socket_there_is_another(accept: str) -> None:
    with opened() as (only,):
        address = address_text(only.getsockname())
        queues = taken_over(2, accept, address)
        with pytest.raises(ConfigError, match=f"cannot listen on {address} again: Address already in use"):
            queues.listen_again()
    queues.listen_again()
    process = FakeProcess(1)
    assert assign(queues, process) == [["listen 0" + " and spread" * (accept == "acceptor")]]
    with socket.create_connection(parse_address(address)):
        assert (queues.start(1) == queues.start(0)) == (accept == "acceptor")
    queues.close()


@pytest.mark.parametrize("accept", ["reuseport", "acceptor"])
def test_who_accepted_from_a_queue_while_there_was_no_broker_lets_go(accept: str) -> None:
    """It would go on when it is drained: the queue stays with its holder then."""
    with opened() as (only,):
        queues = taken_over(1, accept, address_text(only.getsockname()))
        processes = FakeProcess(0), FakeProcess(1)
        for each in processes:
            queues.restore(each, offer(0), [os.dup(only.fileno())])  # type: ignore[arg-type]
        queues.restored()
        assert assign(queues, *processes) == [[], ["unlisten 0"]]
        queues.close()


def test_nobody_lets_go_of_a_queue_whose_holder_cannot_accept() -> None:
    with opened() as (only,):
        queues = taken_over(1, "reuseport", address_text(only.getsockname()))
        holder, other = FakeProcess(0), FakeProcess(1)
        for each in (holder, other):
            queues.restore(each, offer(0), [os.dup(only.fileno())])  # type: ignore[arg-type]
        holder.state = "silent"
        queues.restored()
        assert assign(queues, holder) == [[]] and other.news() == []
        holder.state = "serving"
        assert assign(queues, holder) == [[]] and other.news() == ["unlisten 0"], "now it can"
        queues.close()


# ---- several addresses

#: A TCP address of which each hub has a queue, and a unix socket, whose one queue is for all.
FIRST, SECOND = 0, 65_536


@contextmanager
def two_addresses(hubs: int | None = 2) -> Iterator[AcceptQueues]:
    with (
        TemporaryDirectory(prefix="actorrpc-") as folder,
        open_addresses(["127.0.0.1:0", f"unix:{folder}/a"], hubs) as bounds,
    ):
        yield AcceptQueues(bounds, 2, "acceptor" if hubs is None else "reuseport")


def test_the_numbers_of_queues() -> None:
    assert (queue_of(0, 3), queue_of(1), queue_of(1, 3)) == (3, SECOND, SECOND + 3)
    for address in (0, 1, 9):
        for hub in (0, 1, MOST_HUBS - 1):
            queue = queue_of(address, hub)
            assert (address_of(queue), hub_of(queue)) == (address, hub)
    assert (queue_text(3), queue_text(SECOND)) == ("3", "0 of address 1")


def test_what_is_shared_is_accepted_from_by_one_hub_for_all() -> None:
    with two_addresses() as queues:
        processes = [start(queues, hub) for hub in range(2)]
        assert queues.start(0)[0] != queues.start(1)[0] and queues.start(0)[1] == queues.start(1)[1]
        assert assign(queues, *processes) == [[f"listen {SECOND} and spread"], []]
        assert [process.keeps for process in processes] == [[1], [0]], "all have the shared one"
        processes[0].exit_code = -9
        (told,) = assign(queues, processes[1])
        assert told == ["listen 0", f"listen {SECOND} and spread"]
        again = start(queues, 0)
        assert assign(queues, again, processes[1]) == [
            [f"listen {SECOND} and spread"],
            ["unlisten 0", f"unlisten {SECOND}"],
        ]
        queues.close()


def test_with_one_acceptor_it_is_that_of_all_addresses() -> None:
    with two_addresses(None) as queues:
        processes = [start(queues, hub) for hub in range(2)]
        told = ["listen 0 and spread", f"listen {SECOND} and spread"]
        assert assign(queues, *processes) == [told, []]
        assert [process.keeps for process in processes] == [[], []]
        queues.close()


def test_a_hub_more_has_a_queue_where_each_has_one() -> None:
    with two_addresses() as queues:
        processes = [start(queues, hub) for hub in range(2)]
        assign(queues, *processes)
        queues.grow(2, 3)
        assert sorted(queues._sockets) == [0, 1, 2, SECOND]
        assert assign(queues, *processes) == [[], ["listen 2"]], "hub 0 has two"
        queues.close()


def test_what_hubs_have_and_what_none_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one address a hub gives its socket, and of the other another is made."""
    with two_addresses() as former:
        fds = [os.dup(sock.fileno()) for sock in former.bounds[0].sockets]
        there = [replace(bound, sockets=[]) for bound in former.bounds]
        former.close()
    queues = AcceptQueues(there, 2, "reuseport", open_again)
    process = FakeProcess(0)
    queues.restore(process, offer(0, 1), fds)  # type: ignore[arg-type]
    assert queues.any and not queues.all
    os.mkdir(os.path.dirname(there[1].text.removeprefix("unix:")))
    try:
        queues.listen_again()
        assert queues.all
        assert assign(queues, process) == [[f"listen {SECOND} and spread"]]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(there[1].text.removeprefix("unix:"))
        queues.close()
        assert not os.listdir(os.path.dirname(there[1].text.removeprefix("unix:")))
    finally:
        os.rmdir(os.path.dirname(there[1].text.removeprefix("unix:")))


def test_where_one_cannot_be_listened_on_again_the_others_are(caplog: pytest.LogCaptureFixture) -> None:
    """A hub that is silent may have it, and gives it later."""
    with two_addresses() as former:
        there = [replace(bound, sockets=[]) for bound in former.bounds]
        queues = AcceptQueues(there, 2, "reuseport", open_again)
        process = FakeProcess(0)
        lent = [os.dup(sock.fileno()) for sock in former.bounds[0].sockets]
        queues.restore(process, offer(0, 1), lent)  # type: ignore[arg-type]
        queues.listen_again()
        assert f"cannot listen on {there[1].text} again: somebody listens there" in caplog.text
        assert queues.any and not queues.all
        with pytest.raises(ConfigError, match=f"there is no socket for {there[1].text}"):
            queues.start(0)
        late = FakeProcess(1)
        queues.restore(late, offer(SECOND), [os.dup(former.bounds[1].sockets[0].fileno())], late=True)  # type: ignore[arg-type]
        assert queues.all
        queues.start(0)
        queues.leave()
        assert os.path.exists(there[1].text.removeprefix("unix:")), "it is another broker's now"
        former.close()


def test_a_hub_that_knows_one_address_only_is_none_of_several() -> None:
    old = replace(Hello.own(), version="0.1", control=Formats(1, 1))
    with two_addresses() as queues:
        assert queues.why_not(old) == "actorrpc 0.1 listens on one address, and this server on 2"
        assert queues.why_not(Hello.own()) == ""
        queues.close()
    with open_addresses(["127.0.0.1:0"], 1) as bounds:
        queues = AcceptQueues(bounds, 1, "reuseport")
        assert queues.why_not(old) == ""
        queues.close()
