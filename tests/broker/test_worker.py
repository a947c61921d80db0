"""A hub's process between its broker and its node, with a fake node and the test for a broker."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import Event
from gevent.queue import Queue

from actorrpc.app import App
from actorrpc.config import Config
from actorrpc.hub.worker import MAX_UNREAD_REPORTS, Worker
from actorrpc.ipc import hello as hello_module
from actorrpc.ipc.framing import close_all
from actorrpc.ipc.hello import CONTROL, LINKS, SNAPSHOTS, Formats, Hello, own_version
from actorrpc.ipc.link import Link
from actorrpc.net.sockets import PlainSocket
from actorrpc.pb.control_pb2 import (
    Adopt,
    Adopted,
    Connection,
    Connections,
    Directory,
    Homes,
    LeftBehind,
    ListConnections,
    Listen,
    Load,
    Move,
    Moved,
    MoveResult,
    Origin,
    Peer,
    Start,
    Stay,
    Stop,
    ToBroker,
    ToHub,
    Unlinked,
    Unlisten,
)
from tests.support.server_process import APP
from tests.support.waiting import PATIENCE, until


class FakeOccupancy:
    """The other hubs that could accept."""

    def __init__(self, heard: list[Any]) -> None:
        self.able: Sequence[int] = ()
        self._heard = heard

        self.resting = False

    def broker_lost(self) -> None:
        self._heard.append("left alone")

    def broker_found(self) -> None:
        self._heard.append("found")


#: What the broker, and a hub, say of themselves.
HELLO = Hello.own().to_message()


#: What a broker, or another hub, says of itself.
HELLO = Hello.own().to_message()


class FakeReception:
    """Keeps what it is to listen on."""

    def __init__(self, heard: list[Any]) -> None:
        self.occupancy = FakeOccupancy(heard)
        self.waiting = SimpleNamespace(listeners={})
        self._heard = heard

    def listen(self, sock: socket.socket, queue: int, *, spread: bool = False) -> None:
        self._heard.append(("listen", queue, spread) if spread or queue != 2 else "listen")
        self.waiting.listeners[queue] = sock

    def unlisten(self, queue: int) -> None:
        self._heard.append(("unlisten", queue))
        self.waiting.listeners.pop(queue).close()

    def close(self) -> None:
        for sock in self.waiting.listeners.values():
            sock.close()


class FakeMover:
    """Aborts each move at once."""

    def move(
        self, connection_id: str, target: int, done: Callable[[MoveResult], None], *, by_policy: bool
    ) -> None:
        who = "a policy" if by_policy else "a person"
        done(MoveResult(outcome=MoveResult.ABORTED, why=f"{connection_id} not to {target} for {who}"))


class FakeNode:
    """Does what a node is asked, at once, and remembers it."""

    def __init__(
        self,
        app: App,
        config: Config,
        *,
        hub: int,
        serial: int,
        on_moved: Callable[[Moved], None],
        on_settled: Callable[[int], object],
        on_unlinked: Callable[[int, int], object],
        move_every: int,
        directory: str,
        server: bytes,
        secret: bytes,
    ) -> None:
        self.made_with = (app, config, hub, serial, move_every, server, secret)
        self.serial = serial
        self.on_moved = on_moved
        self.on_settled = on_settled
        self.on_unlinked = on_unlinked
        self.heard: list[Any] = []
        #: Whether there are other hubs, and how many connections there are here.
        self.others, self.expected = False, 0
        self.stopped: Callable[[], None] | None = None
        self.reception = FakeReception(self.heard)
        self.mover = FakeMover()
        self.connections = {"0-1-1": None}
        self.links = SimpleNamespace(numbers={1001: 7})
        #: That nobody says any more who lives.
        self.topics_alone, self.directory_alone = Event(), Event()
        self.topics = SimpleNamespace(
            homes=SimpleNamespace(version=0),
            broker_gone=self.topics_alone.set,
            tell_settled_again=self._settle_again,
        )
        self.host = SimpleNamespace(start=lambda: None)
        self.draining = SimpleNamespace(drain_to_all=self._drain_to_all, left_behind=self._left_behind)
        self.directory = SimpleNamespace(
            unusable="" if directory else "not here",
            broker_gone=self.directory_alone.set,
        )
        self.set_directory = lambda version, homes, silent: self.heard.append(
            ("directory", version, [*homes], [*silent])
        )

    def _settle_again(self) -> None:
        self.on_settled(1)

    def add_peer(
        self,
        serial: int,
        sock: socket.socket,
        hub: int,
        snapshots: int,
        states: Mapping[str, int],
        number: int,
        format: int,
    ) -> None:
        self.heard.append(("peer", serial, hub, snapshots))
        if format != LINKS.newest:
            self.heard.append(("format", format))
        if states:
            self.heard.append(("states", dict(states)))
        if number:
            self.heard.append(("number", number))
        sock.sendall(b"hello")
        sock.close()

    def set_homes(
        self,
        homes: Sequence[int],
        version: int,
        terms: Sequence[int],
        origins: Mapping[int, int],
        living: Collection[int] | None,
    ) -> None:
        self.heard.append(("homes", list(homes), version))
        self.topics.homes.version = version
        if living is not None:
            self.heard.append(("living", list(living)))
        if origins:
            self.heard.append(("origins", dict(origins)))

    def _left_behind(self) -> LeftBehind:
        return LeftBehind(count=1, first=[Stay(connection="0-1-1", why="a handler runs")])

    def _drain_to_all(self) -> bool:
        self.heard.append("drain to all")
        return self.others

    def report(self) -> Load:
        return Load(connections=3, turns=42)

    def list_some(self, after: int) -> Connections:
        return Connections(connections=[Connection(id="0-1-1")])

    def stop(self, drain_timeout: float, done: Callable[[], None]) -> None:
        self.heard.append(("stop", drain_timeout))
        self.stopped = done


class Broker:
    """The other end of the link, and the worker in a greenlet."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.heard: Queue[ToBroker] = Queue()
        #: The descriptors that came with the last message that had any.
        self.fds: tuple[int, ...] = ()
        self.hub_gone = Event()
        self._link_over(ours)
        self.nodes: list[FakeNode] = []
        calls = PlainSocket(socket.AF_UNIX)
        calls.bind("")  # a name of the kernel's choice
        calls.listen()
        self._calls = calls.getsockname()
        self.worker = Worker(theirs, calls, self._make_node)
        self.status = gevent.spawn(self.worker.run)

    def _link_over(self, sock: socket.socket) -> None:
        self.link = Link(sock, ToBroker, self._on_message, lambda _: self.hub_gone.set())

    def _on_message(self, message: ToBroker, fds: tuple[int, ...]) -> None:
        close_all(self.fds if fds else ())
        self.fds = fds or self.fds
        self.heard.put(message)

    def call(self, hello: Any = HELLO) -> Adopted:
        """As another broker, which takes the hub over."""
        while not self.heard.empty():
            self.heard.get()
        sock = PlainSocket(socket.AF_UNIX)
        sock.connect(self._calls)
        self._link_over(sock)
        self.link.send(ToHub(adopt=Adopt(hello=hello)))
        return self.hear("adopted").adopted

    def serve(self) -> None:
        """Start it, and let it serve."""
        self.start()
        self.link.send(ToHub(homes=Homes(version=1, homes=[2])))
        self.until_heard(("homes", [2], 1), "listen")
        self.node.heard.clear()

    def close(self) -> None:
        self.status.kill()
        worker = self.worker
        for watcher in worker._watchers:
            watcher.close()
        worker._link.close()
        if self.nodes:
            worker._own_queue.close()
            self.node.reception.close()
        self.link.close()
        close_all(self.fds)

    def _make_node(self, *args: Any, **named: Any) -> Any:
        self.nodes.append(FakeNode(*args, **named))
        return self.nodes[-1]

    @property
    def node(self) -> FakeNode:
        return self.nodes[0]

    def start(
        self, app: str = APP, *, acceptor: bool = False, hello: Any = HELLO, directory: str = ""
    ) -> ToBroker:
        config = Config(max_connections=9).to_message()
        with socket.socket() as listener:
            start = Start(
                hub=2,
                serial=1005,
                app=app,
                config=config,
                acceptor=acceptor,
                move_every=3,
                hello=hello,
                directory=directory,
                server=b"the server",
                secret=b"its secret",
            )
            self.link.send(ToHub(start=start), [listener.fileno()])
        return self.hear("ready")

    def hear(self, kind: str) -> ToBroker:
        while True:
            message = self.heard.get(timeout=PATIENCE)
            if message.WhichOneof("kind") == kind:
                return message

    def until_heard(self, *wanted: Any) -> None:
        """Wait until the node has heard exactly this."""
        until(lambda: self.node.heard == list(wanted), sleep=gevent.sleep)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    # A hub has log and title of its process for itself; here the process is that of other tests as well.
    monkeypatch.setattr("actorrpc.hub.worker.log_as_told", lambda *given: None)
    monkeypatch.setattr("actorrpc.hub.worker.of_hub", lambda hub: None)
    monkeypatch.setattr("actorrpc.titles._found", lambda: None)
    broker = Broker()
    yield broker
    broker.close()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_a_hub_hears_of_the_homes_of_keyed_actors(broker: Broker) -> None:
    broker.start()
    directory = Directory(version=7, homes=[1005, 1006], silent=[1006])
    broker.link.send(ToHub(directory=directory))
    broker.until_heard(("directory", 7, [1005, 1006], [1006]))


def test_a_hub_without_keyed_services_has_no_part_in_their_directory(broker: Broker) -> None:
    ready = broker.start(directory="/somewhere").ready
    assert broker.node.directory.unusable and not ready.keyed


def test_a_hub_with_keyed_services_has(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorrpc.hub.worker._has_keyed", lambda app: True)
    assert broker.start(directory="/somewhere").ready.keyed


def test_start_makes_a_node_that_listens_once_its_homes_are_known(broker: Broker) -> None:
    ready = broker.start().ready
    assert (ready.error, dict(ready.states)) == ("", {"shapes.Stateful": 1, "shapes.Stateless": 0})
    app, config, hub, serial, move_every, *known_by = broker.node.made_with
    assert (config.max_connections, hub, serial, move_every) == (9, 2, 1005, 3)
    assert known_by == [b"the server", b"its secret"]
    assert "shapes.Stateful" in app.services
    assert broker.node.heard == []
    left, right = socket.socketpair()
    with left, right:
        states = {"shapes.Stateful": 7}
        peer = Peer(hub=1, serial=1001, hello=HELLO, states=states, number=8)
        broker.link.send(ToHub(peer=peer), [right.fileno()])
        for version in (1, 2):
            broker.link.send(ToHub(homes=Homes(version=version, homes=[1, 2])))
        heard = ("peer", 1001, 1, SNAPSHOTS.newest), ("states", states), ("number", 8)
        broker.until_heard(*heard, ("homes", [1, 2], 1), "listen", ("homes", [1, 2], 2))
        assert left.recv(9) == b"hello"


def test_a_hub_hears_who_hands_topics_over_and_tells_when_it_has_them(broker: Broker) -> None:
    broker.start()
    homes = Homes(version=1, homes=[2, 1, 2], origins=[Origin(hub=0, slots=[0, 2])])
    broker.link.send(ToHub(homes=homes))
    broker.until_heard(("homes", [2, 1, 2], 1), ("origins", {0: 0, 2: 0}), "listen")
    broker.node.on_settled(1)
    assert broker.hear("settled").settled.version == 1


def test_one_of_many_listens_when_it_is_told_to(broker: Broker) -> None:
    broker.start(acceptor=True)
    broker.link.send(ToHub(homes=Homes(version=1, homes=[2])))
    with socket.socket() as listener:
        broker.link.send(ToHub(listen=Listen(queue=0, spread=True)), [listener.fileno()])
    broker.link.send(ToHub(unlisten=Unlisten(queue=0)))
    broker.until_heard(("homes", [2], 1), ("listen", 0, True), ("unlisten", 0))


@pytest.mark.parametrize("peers", [(), (1006, 1007)])
def test_without_a_broker_the_lowest_of_many_listens(broker: Broker, peers: Sequence[int]) -> None:
    broker.start(acceptor=True)
    broker.node.topics.homes.version = 1
    broker.node.reception.occupancy.able = peers
    broker.link.close()
    broker.until_heard("left alone", ("listen", 0, True))


def test_without_a_broker_another_listens_once_those_below_have_gone(broker: Broker) -> None:
    broker.start(acceptor=True)
    broker.node.topics.homes.version = 1
    broker.node.reception.occupancy.able = [1001, 1006]
    broker.link.close()
    until(lambda: broker.worker._broker_gone, sleep=gevent.sleep)
    assert broker.node.heard == ["left alone"]
    broker.node.reception.occupancy.able = [1006]
    broker.until_heard("left alone", ("listen", 0, True))


@pytest.mark.parametrize(
    ("app", "complaint"),
    [
        ("nonsense", "give it as package.module:attribute"),
        ("no.such.module:app", "ModuleNotFoundError"),
        ("tests.apps.shapes:nothing", "AttributeError"),
        ("os:path", "not an actorrpc.App"),
    ],
)
def test_an_app_that_cannot_be_served_is_told_and_ends_the_process(
    broker: Broker, app: str, complaint: str
) -> None:
    error = broker.start(app).ready.error
    assert app in error
    assert complaint in error
    assert "\n" not in error
    assert broker.status.get(timeout=PATIENCE) == 1
    assert broker.nodes == []


def test_questions_are_answered_with_their_numbers(broker: Broker) -> None:
    broker.start()
    broker.link.send(ToHub(move=Move(request=7, connection="0-1-1", target=1, until=time.monotonic() + 60)))
    broker.link.send(ToHub(list_connections=ListConnections(request=8)))
    result = broker.hear("move_result").move_result
    assert result == MoveResult(request=7, outcome=MoveResult.ABORTED, why="0-1-1 not to 1 for a person")
    answer = broker.hear("connections").connections
    assert (answer.request, [connection.id for connection in answer.connections]) == (8, ["0-1-1"])


def test_a_hub_hears_who_asks_for_a_move(broker: Broker) -> None:
    """What is not said was not asked for by a policy."""
    broker.start()
    for by, who in ((None, "a person"), (Move.PERSON, "a person"), (Move.POLICY, "a policy")):
        asked = Move(request=7, connection="0-1-1", target=1, until=time.monotonic() + 60, by=by)
        broker.link.send(ToHub(move=asked))
        assert broker.hear("move_result").move_result.why == f"0-1-1 not to 1 for {who}"


def test_load_and_moves_are_reported(broker: Broker) -> None:
    broker.start()
    broker.node.on_moved(Moved(connection="0-1-1", pause_ms=1.5))
    assert broker.hear("moved").moved.pause_ms == 1.5
    load = broker.hear("load").load
    assert (load.connections, load.turns) == (3, 42)
    assert 0 <= load.cpu < 2
    assert 0 <= load.lag_ms < 10_000


def test_a_move_that_was_asked_for_too_long_ago_is_refused(broker: Broker) -> None:
    broker.start()
    broker.link.send(ToHub(move=Move(request=7, connection="0-1-1", target=1, until=time.monotonic() - 0.1)))
    result = broker.hear("move_result").move_result
    assert (result.request, result.outcome) == (7, MoveResult.ABORTED)
    assert "too busy" in result.why


def test_the_lag_tells_of_a_turn_that_held_the_loop(broker: Broker) -> None:
    broker.start()
    broker.hear("load")
    gevent.get_hub().loop.run_callback(time.sleep, 0.3)
    assert max(broker.hear("load").load.lag_ms for _ in range(3)) > 100


def test_stop_and_the_end(broker: Broker) -> None:
    broker.start()
    broker.link.send(ToHub(stop=Stop(drain_timeout=1.5)))
    broker.link.send(ToHub(stop=Stop(drain_timeout=9)))
    left = broker.hear("stopping").stopping.left_behind
    assert (left.count, left.first[0].connection, left.first[0].why) == (1, "0-1-1", "a handler runs")
    broker.until_heard(("stop", 1.5))
    assert not broker.status.ready()
    assert broker.node.stopped is not None
    broker.node.stopped()
    assert broker.status.get(timeout=PATIENCE) == 0


def test_sigterm_is_told_to_the_broker_and_a_second_one_a_stop(broker: Broker) -> None:
    broker.start()
    os.kill(os.getpid(), signal.SIGTERM)
    broker.hear("retiring")
    assert broker.node.heard == []
    os.kill(os.getpid(), signal.SIGTERM)
    broker.until_heard(("stop", Config().drain_timeout))


@pytest.mark.parametrize("first", ["signal", "death"])
@pytest.mark.parametrize("others", [True, False])
def test_without_a_broker_sigterm_gives_all_to_the_others(broker: Broker, first: str, others: bool) -> None:
    broker.serve()
    broker.node.others, broker.node.expected = others, 1
    if first == "death":
        broker.link.close()
        until(lambda: broker.worker._broker_gone, sleep=gevent.sleep)
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        os.kill(os.getpid(), signal.SIGTERM)
        broker.hear("retiring")
        broker.link.close()
    if others:
        broker.until_heard("drain to all")
        broker.node.expected = 0
    broker.until_heard("drain to all", ("stop", Config().drain_timeout))


def test_who_is_told_to_stop_waits_for_nothing_more(broker: Broker) -> None:
    broker.start()
    os.kill(os.getpid(), signal.SIGTERM)
    broker.hear("retiring")
    broker.link.send(ToHub(stop=Stop(drain_timeout=1.5)))
    broker.hear("stopping")
    broker.until_heard(("stop", 1.5))
    os.kill(os.getpid(), signal.SIGTERM)
    broker.hear("load")
    broker.until_heard(("stop", 1.5))


def test_a_broker_that_dies_before_start_ends_the_hub(broker: Broker) -> None:
    broker.link.close()
    assert broker.status.get(timeout=PATIENCE) == 1


def test_a_broker_that_dies_later_is_not_missed(broker: Broker) -> None:
    broker.serve()
    broker.link.close()
    until(lambda: broker.worker._broker_gone, sleep=gevent.sleep)
    broker.node.on_moved(Moved())
    assert broker.node.heard == [] and not broker.status.ready()


def test_who_has_never_served_ends_if_no_other_broker_calls(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actorrpc.hub.adoption.PATIENCE", 0.1)
    broker.start()
    broker.link.close()
    broker.until_heard(("stop", 0.0))


@pytest.mark.parametrize("times", [1, 3])
def test_another_broker_takes_the_hub_over(broker: Broker, times: int) -> None:
    broker.serve()
    broker.node.on_settled(1)
    for _ in range(times):
        broker.link.close()
        until(lambda: broker.worker._broker_gone, sleep=gevent.sleep)
        adopted = broker.call()
        assert (adopted.error, adopted.homes, adopted.load.connections) == ("", 1, 1)
        assert [(queue.number, queue.accepting) for queue in adopted.queues] == [(2, True)]
        (fd,) = broker.fds
        assert os.fstat(fd).st_ino == os.fstat(broker.node.reception.waiting.listeners[2].fileno()).st_ino
        assert dict(adopted.links) == {1001: 7} and adopted.states["shapes.Stateful"]
        assert not (adopted.stopping or adopted.draining or adopted.retiring)
        assert broker.hear("settled").settled.version == 1
        assert broker.hear("load").load.connections == 3
        broker.node.on_moved(Moved(connection="0-1-1"))
        assert broker.hear("moved").moved.connection == "0-1-1"


def test_a_call_waits_until_the_broker_has_gone(broker: Broker) -> None:
    broker.serve()
    first = broker.link
    called = gevent.spawn(broker.call)
    broker.hear("load")  # of the first: the second is not heard
    assert not called.ready()
    first.close()
    assert called.get(timeout=PATIENCE).homes == 1


def test_the_socket_of_all_hubs_is_there_for_each_time_that_no_broker_is(broker: Broker) -> None:
    broker.start(acceptor=True)
    broker.link.send(ToHub(homes=Homes(version=1, homes=[2])))
    broker.until_heard(("homes", [2], 1))
    broker.node.heard.clear()
    for _ in range(3):
        broker.link.close()
        broker.until_heard("left alone", ("listen", 0, True))
        adopted = broker.call()
        assert [(queue.number, queue.accepting) for queue in adopted.queues] == [(0, True)]
        broker.link.send(ToHub(unlisten=Unlisten(queue=0)))
        broker.until_heard("left alone", ("listen", 0, True), "found", ("unlisten", 0))
        broker.node.heard.clear()


def test_a_broker_that_does_not_understand_the_hub_does_not_get_it(broker: Broker) -> None:
    broker.serve()
    broker.link.close()
    other = replace(Hello.own(), control=Formats(CONTROL.newest + 1, CONTROL.newest + 1)).to_message()
    assert "control messages" in broker.call(other).error
    assert broker.worker._broker_gone
    broker.link.close()
    assert broker.call().error == ""


def test_who_is_told_to_end_says_so_to_the_next_broker(broker: Broker) -> None:
    broker.serve()
    broker.node.others, broker.node.expected = True, 1
    os.kill(os.getpid(), signal.SIGTERM)
    broker.hear("retiring")
    broker.link.close()
    broker.until_heard("drain to all")
    assert broker.call().retiring


def test_a_broker_that_does_not_read_is_told_no_more(broker: Broker) -> None:
    broker.start()
    broker.link._reader.stop()
    for _ in range(3000):
        broker.node.on_moved(Moved(connection="0-1-1", aborted="x" * 500))
    assert MAX_UNREAD_REPORTS < broker.worker._link.unsent < MAX_UNREAD_REPORTS + 1000


def test_what_this_version_does_not_know_is_passed_over(broker: Broker) -> None:
    broker.start()
    with open("/dev/null") as null:
        broker.link.send(ToHub(), [null.fileno()])
    broker.link.send(ToHub(homes=Homes(version=1, homes=[0])))
    broker.until_heard(("homes", [0], 1), "listen")


def test_a_link_that_has_ended_or_has_not_come_is_told(broker: Broker) -> None:
    broker.start()
    broker.link.send(ToHub(peer=Peer(hub=1, serial=1001, number=7)))  # its descriptor was lost
    assert broker.hear("unlinked").unlinked == Unlinked(serial=1001, number=7)
    broker.node.on_unlinked(1002, 8)
    assert broker.hear("unlinked").unlinked == Unlinked(serial=1002, number=8)


def test_a_hub_hears_who_lives_until_the_broker_has_gone(broker: Broker) -> None:
    broker.start()
    broker.link.send(ToHub(homes=Homes(version=1, homes=[2], living=[2, 1])))
    broker.until_heard(("homes", [2], 1), ("living", [2, 1]), "listen")
    assert not broker.node.topics_alone.is_set()
    broker.link.close()
    assert broker.node.topics_alone.wait(PATIENCE)
    assert broker.node.directory_alone.wait(PATIENCE)


def test_repr_tells_the_state(broker: Broker) -> None:
    assert repr(broker.worker).startswith("<Worker starting, 0 ticks")
    broker.start()
    assert repr(broker.worker).startswith("<Worker serving")


def test_a_broker_that_speaks_otherwise_is_told_so(broker: Broker) -> None:
    """A broker of before the hello has none; one of a later version may have given up this one's formats."""
    for formats in (Formats(0, 0), Formats(CONTROL.newest + 1, CONTROL.newest + 1)):
        other = Broker()
        try:
            hello = replace(Hello.own(), version="9", control=formats).to_message()
            answer = other.start(hello=hello)
            assert answer.ready.error == (
                f"actorrpc {own_version()} knows the formats {CONTROL} of control messages, and actorrpc 9, "
                f"which the broker is, {formats}"
            )
            assert other.status.get(timeout=PATIENCE) == 1
            assert not other.nodes
        finally:
            other.close()


def test_a_peer_that_reads_no_snapshot_of_ours_is_given_none(broker: Broker) -> None:
    broker.start()
    left, right = socket.socketpair()
    other = replace(Hello.own(), snapshots=Formats(SNAPSHOTS.newest + 1, SNAPSHOTS.newest + 2)).to_message()
    with left, right:
        broker.link.send(ToHub(peer=Peer(hub=1, serial=1001, hello=other)), [right.fileno()])
        right.close()
        broker.link.send(ToHub(homes=Homes(version=1, homes=[1005])))
        broker.until_heard(("homes", [1005], 1), "listen")
        assert left.recv(9) == b""


def test_an_older_peer_is_not_asked_what_it_does_not_know(broker: Broker) -> None:
    older = replace(Hello.own(), links=Formats(1, 1)).to_message()
    broker.start()
    left, right = socket.socketpair()
    with left, right:
        broker.link.send(ToHub(peer=Peer(hub=1, serial=1001, hello=older)), [right.fileno()])
        broker.until_heard(("peer", 1001, 1, SNAPSHOTS.newest), ("format", 1))


def test_snapshots_for_an_older_peer_are_in_the_format_that_it_knows(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a version would see it whose formats are one higher."""
    older = Hello.own().to_message()
    monkeypatch.setattr(hello_module, "SNAPSHOTS", Formats(SNAPSHOTS.newest, SNAPSHOTS.newest + 1))
    broker.start()
    left, right = socket.socketpair()
    with left, right:
        broker.link.send(ToHub(peer=Peer(hub=1, serial=1001, hello=older)), [right.fileno()])
        broker.link.send(
            ToHub(peer=Peer(hub=1, serial=1002, hello=Hello.own().to_message())), [left.fileno()]
        )
        broker.until_heard(("peer", 1001, 1, SNAPSHOTS.newest), ("peer", 1002, 1, SNAPSHOTS.newest + 1))
