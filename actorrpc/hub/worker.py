"""A hub process between its broker and its node: it obeys the one and runs the other.

The broker may fall silent or die at any moment; the hub serves on, and never waits for it.
"""

from __future__ import annotations

import gc
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gevent import get_hub
from gevent.event import AsyncResult, Event

from actorrpc.app import App, load
from actorrpc.config import Config
from actorrpc.core_dumps import no_core_dumps
from actorrpc.errors import ConfigError
from actorrpc.forks import guard, serves, users_code
from actorrpc.hub.accepting.own_queue import OwnQueue
from actorrpc.hub.adoption import Calls, adopted
from actorrpc.hub.metering.loop_lag import LoopLag
from actorrpc.hub.moving.fit import known_states
from actorrpc.hub.retirement import Retirement
from actorrpc.hub.runtime.guard import outlive_errors
from actorrpc.hub.runtime.hanging import shown_if_it_hangs
from actorrpc.hub.runtime.living import LIVING
from actorrpc.hub.watching.slow_turns import SlowTurns
from actorrpc.hub.watching.stacks import list_stacks
from actorrpc.hub_values import CLOSING, enter, leave
from actorrpc.ipc.framing import close_all
from actorrpc.ipc.hello import Hello
from actorrpc.ipc.link import Link
from actorrpc.ipc.queues import queue_of
from actorrpc.log import log_as_told, of_hub, outlive_configuration
from actorrpc.loop.duties import brief
from actorrpc.loop.timers import every
from actorrpc.net.sockets import socket_of
from actorrpc.pb import control_pb2
from actorrpc.titles import Title

if TYPE_CHECKING:
    from actorrpc.hub.node import Node

__all__ = ["Worker"]

log = logging.getLogger("actorrpc.hub")

TICK = 0.05
TICKS_PER_REPORT = 5
# Of what is said of an app that cannot be loaded, which a person reads at once.
LONGEST_ERROR = 10_000
# A broker that does not read (it is stopped, or stuck) is told no more than this.
MAX_UNREAD_REPORTS = 64 * 1024
# What a socket comes with.
_WITH_SOCKET = ("start", "peer", "listen", "keep")


class Worker:
    """One hub process. ``control`` is its end of the link to the broker, ``calls`` where another one may call
    it later. It has a short method for each kind of message.

    ``dump_on_signal`` has the process write its stack on a signal (``hub.watching.dumps``).
    """

    _node: Node
    _own_queue: OwnQueue
    _states: dict[str, int]
    _meter: LoopLag
    _title: Title

    def __init__(
        self,
        control: socket.socket,
        calls: socket.socket,
        make_node: Callable[..., Node],
        dump_on_signal: Callable[[], tuple[int, int] | None] = lambda: None,
    ) -> None:
        self._make_node = make_node
        self._dump_on_signal = dump_on_signal
        #: The first message and the sockets with it; None if the broker has gone before.
        self._start: AsyncResult[tuple[control_pb2.Start, list[socket.socket]] | None] = AsyncResult()
        self._broker_gone = False
        #: It has loaded the app, and has a node.
        self._ready = False
        self._stopping = False
        self._stopped = Event()
        self._ticks = 0
        self._watchers: list[Any] = []
        self._retirement: Retirement | None = None
        #: The signal on which this process writes its stack, and where that is read.
        self._dumps: tuple[int, int] | None = None
        self._handlers: dict[str, Callable[..., None]] = {
            "peer": self._on_peer,
            "homes": self._on_homes,
            "directory": lambda told: self._node.set_directory(told.version, told.homes, told.silent),
            "move": self._on_move,
            "list_connections": self._on_list_connections,
            "drain": lambda drain: self._node.draining.drain(drain.targets, drain.within, hold=drain.hold),
            "list_stacks": self._on_list_stacks,
            "list_actors": self._on_list_actors,
            "describe": self._on_describe,
            "list_heaviest": self._on_list_heaviest,
            "renew_tls": self._on_renew_tls,
            "adopt": self._on_adopt,
            "keep": self._on_keep,
            "stop": lambda stop: self._stop(stop.drain_timeout),
            "listen": self._on_listen,
            "unlisten": lambda unlisten: self._node.reception.unlisten(unlisten.queue),
        }
        self._link = self._link_over(control)
        self._calls = Calls(calls, self._on_call)
        guard(self, get_hub())

    def _link_over(self, sock: socket.socket) -> Link[control_pb2.ToHub]:
        return Link(sock, control_pb2.ToHub, self._on_message, self._on_broker_gone)

    def run(self) -> int:
        """Serve until told to stop. Returns the process's exit status."""
        try:
            started = self._start.get()
            return 1 if started is None else self._serve(*started)
        finally:
            self._calls.close()

    def _serve(self, start: control_pb2.Start, listeners: list[socket.socket]) -> int:
        config = Config.from_message(start.config)
        if not config.core_dumps:  # before the app, or who serves TLS, reads what is secret
            no_core_dumps()
        of_hub(start.hub)
        log_as_told(f"hub {start.hub}", config.log_level, config.log_format)
        self._title = Title(f"hub {start.hub}")
        outlive_errors()
        LIVING.watch_gevent()
        try:
            Hello.own().agree_with_broker(Hello.from_message(start.hello))
            with users_code(), shown_if_it_hangs(f"the import of {start.app}", _patience(start)):
                app = load(start.app)
        except ConfigError as error:
            _close(listeners)
            return self._refuse(str(error), error.trace)
        outlive_configuration()
        try:
            self._node = self._make_node(
                app,
                config,
                hub=start.hub,
                serial=start.serial,
                on_moved=lambda moved: self._report(control_pb2.ToBroker(moved=moved)),
                on_settled=self._tell_settled,
                on_unlinked=self._tell_unlinked,
                move_every=start.move_every,
                directory=start.directory if _has_keyed(app) else "",
                server=start.server,
                secret=start.secret,
            )
        except ConfigError as error:  # the file of a certificate is wrong
            _close(listeners)
            return self._refuse(str(error), "")
        enter()
        try:
            with shown_if_it_hangs(f"on_start of {start.app}", _patience(start)):
                self._node.host.start()
        except ConfigError as error:
            _close(listeners)
            leave(CLOSING)
            return self._refuse(f"app {start.app!r}: {error}", error.trace)
        self._take_queues(start, listeners)
        # What is there now stays. Looking through it takes 10 ms, for which all connections would wait.
        gc.collect()
        gc.freeze()
        self._watch(config.drain_timeout)
        self._dumps = self._dump_on_signal()
        self._greet()
        if config.slow_turn:
            self._watchers.append(SlowTurns(config.slow_turn))
        self._states = known_states(app.services)
        ready = control_pb2.Ready(
            hello=Hello.own().to_message(),
            states=self._states,
            keyed=not self._node.directory.unusable,
        )
        self._ready = True
        if not self._link.send(control_pb2.ToBroker(ready=ready)):
            self._without_broker()
        self._stopped.wait()
        leave(CLOSING)
        return 0

    def _take_queues(self, start: control_pb2.Start, listeners: list[socket.socket]) -> None:
        own, shared = {}, {}
        for number, (address, sock) in enumerate(zip(_addresses(start), listeners, strict=True)):
            if address.shared:
                shared[queue_of(number)] = sock
            else:
                own[queue_of(number, start.hub)] = sock
        reception = self._node.reception
        reception.tls = frozenset(number for number, each in enumerate(_addresses(start)) if each.tls)
        self._own_queue = OwnQueue(own, shared, start.hub, start.serial, reception)

    def _greet(self) -> None:
        """Make ready for what the broker may send, and tell it how to have this process's stack."""
        with suppress(OSError):
            self._link.reserve()  # for a queue: who has no descriptor left to accept with must still get it
        if self._dumps is not None:
            signum, reader = self._dumps
            with suppress(OSError):  # out of descriptors, to keep one for later
                self._link.send(control_pb2.ToBroker(dumps=control_pb2.Dumps(signal=signum)), [reader])

    def forked(self) -> None:
        """Nothing to do: a child never comes back to ``run``."""

    def _refuse(self, error: str, trace: str) -> int:
        told = Event()
        # The end of a traceback says most.
        ready = control_pb2.Ready(
            error=brief(error, LONGEST_ERROR),
            trace=brief(trace[-LONGEST_ERROR:], LONGEST_ERROR),
            hello=Hello.own().to_message(),
        )
        if self._link.send(control_pb2.ToBroker(ready=ready), then=told.set):
            told.wait(1)
        return 1

    def _watch(self, drain_timeout: float) -> None:
        """From here on SIGTERM is a wish; before, it ends the process, which has nothing to finish."""
        loop = get_hub().loop
        self._meter = LoopLag(TICK, time.monotonic(), time.process_time())
        self._retirement = Retirement(
            ask=self._ask_to_retire,
            drain=self._node.draining.drain_to_all,
            empty=lambda: not (self._node.expected or self._node.reception.headers),
            stop=lambda: self._stop(drain_timeout),
            drain_timeout=drain_timeout,
        )
        terminate = loop.signal(signal.SIGTERM)
        terminate.start(self._retirement.told)
        self._watchers = [every(TICK, self._tick), terminate]

    def _ask_to_retire(self) -> bool:
        retiring = control_pb2.ToBroker(retiring=control_pb2.Retiring())
        return not self._broker_gone and self._link.send(retiring)

    def _stop(self, drain_timeout: float) -> None:
        if self._stopping:
            return
        self._stopping = True
        if self._retirement is not None:
            self._retirement.close()
        self._own_queue.close()
        stopping = control_pb2.Stopping(left_behind=self._node.draining.left_behind())
        self._link.send(control_pb2.ToBroker(stopping=stopping))
        self._node.stop(drain_timeout, self._stopped.set)

    def _on_message(self, message: control_pb2.ToHub, fds: tuple[int, ...]) -> None:
        kind = message.WhichOneof("kind")
        if kind not in self._handlers and kind != "start":
            log.warning("the broker said something that this version does not know")
            close_all(fds)
        elif kind not in _WITH_SOCKET:
            close_all(fds)
            self._handlers[kind](getattr(message, kind))
        elif not fds:
            log.error("out of file descriptors: no room for the socket that came with %s", kind)
            if kind == "peer":
                self._tell_unlinked(message.peer.serial, message.peer.number)
        elif kind == "start":
            self._on_start(message.start, [socket_of(fd) for fd in fds])
        else:
            close_all(fds[1:])
            self._handlers[kind](getattr(message, kind), socket_of(fds[0]))

    def _on_start(self, start: control_pb2.Start, listeners: list[socket.socket]) -> None:
        if len(listeners) < len(_addresses(start)):
            log.error("out of file descriptors: no room for the sockets to listen with")
            _close(listeners)
            return
        for listener in listeners:
            serves(listener)
        self._start.set((start, listeners))

    def _on_peer(self, peer: control_pb2.Peer, sock: socket.socket) -> None:
        try:
            hello = Hello.from_message(peer.hello)
            format, snapshots = Hello.own().agree_on_links(hello), Hello.own().agree_on_snapshots(hello)
        except ConfigError as error:
            log.error("no link to hub %d: %s", peer.hub, error)
            sock.close()
        else:
            states = dict(peer.states)
            self._node.add_peer(peer.serial, sock, peer.hub, snapshots, states, peer.number, format)

    def _on_homes(self, homes: control_pb2.Homes) -> None:
        origins = {slot: origin.hub for origin in homes.origins for slot in origin.slots}
        self._node.set_homes(homes.homes, homes.version, homes.terms, origins, homes.living or None)
        self._own_queue.joined()

    def _on_listen(self, listen: control_pb2.Listen, sock: socket.socket) -> None:
        self._node.reception.listen(sock, listen.queue, spread=listen.spread)

    def _on_keep(self, keep: control_pb2.Keep, sock: socket.socket) -> None:
        self._own_queue.keep(keep.queue, sock, more=keep.more)

    def _on_move(self, move: control_pb2.Move) -> None:
        def answer(result: control_pb2.MoveResult) -> None:
            result.request = move.request
            self._link.send(control_pb2.ToBroker(move_result=result))

        if time.monotonic() > move.until:
            aborted = control_pb2.MoveResult.ABORTED
            answer(control_pb2.MoveResult(outcome=aborted, why="the hub was too busy to begin with it"))
        else:
            by_policy = move.by == control_pb2.Move.POLICY
            self._node.mover.move(move.connection, move.target, answer, by_policy=by_policy)

    def _on_list_connections(self, question: control_pb2.ListConnections) -> None:
        answer = self._node.list_some(question.after)
        answer.request = question.request
        self._link.send(control_pb2.ToBroker(connections=answer))

    def _on_list_actors(self, question: control_pb2.ListActors) -> None:
        answer = self._node.list_actors(question.after)
        answer.request = question.request
        self._link.send(control_pb2.ToBroker(actors=answer))

    def _on_describe(self, question: control_pb2.Describe) -> None:
        answer = self._node.describe(question.id)
        answer.request = question.request
        self._link.send(control_pb2.ToBroker(described=answer))

    def _on_list_heaviest(self, question: control_pb2.ListHeaviest) -> None:
        answer = self._node.list_heaviest(question.limit, question.match)
        answer.request = question.request
        self._link.send(control_pb2.ToBroker(heaviest=answer))

    def _on_list_stacks(self, question: control_pb2.ListStacks) -> None:
        answer = list_stacks(question.after)
        answer.request = question.request
        self._link.send(control_pb2.ToBroker(stacks=answer))

    def _on_renew_tls(self, question: control_pb2.RenewTls) -> None:
        answer = control_pb2.TlsRenewed(request=question.request)
        told = question.config if question.HasField("config") else None
        try:
            self._node.renew_tls(None if told is None else Config.from_message(told).tls)
        except ConfigError as error:
            answer.error = str(error)
        self._link.send(control_pb2.ToBroker(tls_renewed=answer))

    def _on_broker_gone(self, link: Link[control_pb2.ToHub]) -> None:
        if not self._start.ready():
            self._start.set(None)
        elif self._ready:
            self._without_broker()

    def _without_broker(self) -> None:
        """Serve on, until another broker calls. Who has never served has nothing to do then."""
        again, self._broker_gone = self._broker_gone, True
        serves = bool(self._node.topics.homes.version)
        self._calls.wait(None if serves or self._stopping else lambda: self._stop(0.0))
        if serves and not (again or self._stopping):
            log.warning("the broker has gone; this hub serves on")
        elif not (again or self._stopping):
            log.warning("the broker has gone before this hub served")
        self._node.topics.broker_gone()
        self._node.directory.broker_gone()
        if serves and not self._stopping:
            self._own_queue.alone()
        if self._retirement is not None and not self._stopping:
            self._retirement.broker_gone()

    def _on_call(self, sock: socket.socket) -> None:
        self._link = self._link_over(sock)

    def _on_adopt(self, adopt: control_pb2.Adopt) -> None:
        """Another broker has called, and takes this hub over."""
        retiring = self._retirement is not None and self._retirement.begun
        try:
            message, fds = adopted(
                Hello.from_message(adopt.hello),
                self._node,
                self._own_queue,
                self._states,
                stopping=self._stopping,
                retiring=retiring,
            )
        except ConfigError as error:
            refusal = control_pb2.Adopted(error=str(error), hello=Hello.own().to_message())
            self._link.send(control_pb2.ToBroker(adopted=refusal))
            return
        self._link.send(control_pb2.ToBroker(adopted=message), fds)
        log.info("another broker has taken this hub over")
        self._broker_gone = False
        self._calls.adopted()
        self._own_queue.broker_found()
        self._greet()
        self._node.topics.tell_settled_again()

    def _tell_settled(self, version: int) -> None:
        self._link.send(control_pb2.ToBroker(settled=control_pb2.Settled(version=version)))

    def _tell_unlinked(self, serial: int, number: int) -> None:
        unlinked = control_pb2.Unlinked(serial=serial, number=number)
        self._link.send(control_pb2.ToBroker(unlinked=unlinked))

    def _tick(self) -> None:
        self._meter.tick(time.monotonic())
        self._ticks += 1
        if self._ticks % TICKS_PER_REPORT == 0:
            self._report_load()

    def _report_load(self) -> None:
        load = self._node.report()
        load.cpu, load.lag_ms = self._meter.take(time.monotonic(), time.process_time())
        load.lag_p99_ms = self._meter.lag_p99_ms
        if self._broker_gone and not self._stopping and self._node.topics.homes.version:
            self._own_queue.alone()  # the hub that accepted for all may have died since
        self._show(load)
        self._report(control_pb2.ToBroker(load=load))

    def _show(self, load: control_pb2.Load) -> None:
        state = ", stopping" if self._stopping else ""
        count = load.connections
        self._title.show(
            f"{state}, {count} connection{'s' * (count != 1)}, {load.cpu:.0%}".replace("%", " %")
        )

    def _report(self, message: control_pb2.ToBroker) -> None:
        if not self._broker_gone and self._link.unsent < MAX_UNREAD_REPORTS:
            self._link.send(message)

    def __repr__(self) -> str:
        state = "stopping" if self._stopping else "serving" if self._watchers else "starting"
        return f"<Worker {state}, {self._ticks} ticks, {self._link!r}>"


def _addresses(start: control_pb2.Start) -> Sequence[control_pb2.Address]:
    """What the server listens on."""
    return start.addresses or [control_pb2.Address(shared=start.acceptor)]  # of an earlier broker


def _close(sockets: Iterable[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def _patience(start: control_pb2.Start) -> float:
    """For how many seconds the broker still waits until the hub serves; 0: for ever."""
    return max(start.until - time.monotonic(), 0.1) if start.until else 0.0


def _has_keyed(app: App) -> bool:
    """Whether an app has services whose actors have keys."""
    return any(service.__rpc__.keyed is not None for service in app.services.values())
