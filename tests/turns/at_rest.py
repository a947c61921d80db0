"""What is looked at when the loop is at rest, and when a program has ended: see docs/evidence/turns.md."""

from __future__ import annotations

import contextlib
import gc
import os
from typing import Any

from tests.apps.shapes_pb2 import Item

from . import probes
from .client import Client
from .program import Op
from .reference import TOPIC_BASE, Call, Fault, Subscription
from .scripted import Doings

__all__ = ["Looks"]


class Looks(Doings):
    """The part of a world that compares."""

    nodes: list[Any]
    #: The client of each move that was asked for, and its result when it has come.
    moves: list[tuple[int, list[Any]]]
    #: Whether an interceptor admits calls.
    admits: bool
    _log: Any
    _fds: int

    # ---- what the rest of the world does

    def settle(self) -> None:
        raise NotImplementedError

    def _rounds(self, most: int, enough: bool = False) -> None:
        raise NotImplementedError

    def _call(self, client: int, method: str, timeout: int, on_call: Op, messages: Any, end: Any) -> None:
        raise NotImplementedError

    def _end(self, call: Call, script: Any) -> None:
        raise NotImplementedError

    def _grant_all(self, client: int) -> None:
        raise NotImplementedError

    def _release_all(self) -> None:
        raise NotImplementedError

    def _move(self, client: int, hub: int) -> None:
        raise NotImplementedError

    # ---- what has to be true at rest

    def check(self) -> None:
        now = self.clock.now
        serving = probes.connections(self.nodes)
        self.costs.progress()
        for node in self.nodes:
            for what in probes.miscounted(node):
                raise Fault("held", what)
        for number, client in enumerate(self.clients):
            self._check_client(number, client, self.ids[number] in serving)
        for call in self.calls:
            if call.client.gone or call.client.ended:
                call.dead = call.dead or self.ids[call.cell.client] not in serving
                continue
            reads = not call.client.unread and not call.client.unsent
            if call.cancelled and reads:
                call.dead = True
            if call.timeout and reads and call.latest == float("inf"):
                call.latest = now + call.timeout
            if not call.cancelled:
                self._check_call(call, reads, now)
            if call.dead or call.stream.status is not None:
                self._check_end_heard(call)
        for number, results in self.moves:
            if not results and not any(gate.client == number for gate in self.gates):
                raise Fault("move", f"the move of client {number} waits for nothing")

    def _check_client(self, number: int, client: Client, served: bool) -> None:
        if client.gone:
            if served:
                raise Fault("unread", f"client {number} has gone, and keeps its place")
            if not served:
                self.costs.note_gone(number)
            return
        if client.ended or client.goaway:
            raise Fault("closed", f"client {number} was sent away")
        if client.deaf:
            return
        if client.unread or client.unsent:
            raise Fault("unread", f"nothing is read from client {number}: neither PING nor RST_STREAM")
        if client.answered != client.pings:
            raise Fault("ping", f"client {number} got {client.answered} of {client.pings} answers")

    def _check_call(self, call: Call, reads: bool, now: float) -> None:
        client, stream = call.client, call.stream
        self._check_replies(call)
        if client.deaf:
            return
        if call.due is None and reads and now >= call.latest:
            call.due = {4}
        if stream.status is not None:
            if not call.acceptable(stream.status, now):
                raise Fault("status", f"{call} has ended with {stream.status}, not {call.due}: {stream.text}")
            if stream.status == 0 and call.got != len(call.sent):
                raise Fault("replies", f"{call} has got {call.got} of {len(call.sent)} replies")
            return
        if stream.reset:
            return
        late = now >= call.earliest or not reads
        if call.behind > 0 and stream.granted > 0 and client.granted > 0 and not late:
            raise Fault("window", f"{call} has {call.behind} bytes to send, and windows that are open")
        if call.due is not None and call.behind <= 0:
            if call.subscriptions and (stream.granted <= 0 or client.granted <= 0):
                return
            raise Fault("status", f"{call} has not ended, and should with {call.due}")
        turn = call.next_turn()
        if self.admits and not call.admission and not call.over:
            turn = turn or "on_call"
        if not turn or not reads or self._moving(call.cell.client):
            return
        if not call.why_not(self.gates, self.admits):
            raise Fault("due", f"{turn} of {call} has not run, and nothing keeps it from running")

    def _check_end_heard(self, call: Call) -> None:
        if "on_call_end" in self.hooks and not self._moving(call.cell.client) and call.owes_end(self.gates):
            raise Fault("on_call_end", f"it has not run for {call}, and nothing keeps it from running")

    def _moving(self, client: int) -> bool:
        """A turn is waited for, so that no other may begin."""
        return any(number == client and not results for number, results in self.moves) or (
            bool(self.program.move_every) and any(gate.client == client for gate in self.gates)
        )

    def _check_replies(self, call: Call) -> None:
        messages = call.stream.messages
        for payload in messages:
            number = Item.FromString(payload).number
            if number > TOPIC_BASE:
                call.topic_bytes += 5 + len(payload)
                self._check_topic(call, number)
                continue
            if call.got == len(call.sent) or call.sent[call.got][0] != number:
                expected = call.sent[call.got : call.got + 1]
                raise Fault("replies", f"{call} got reply {number}, and {expected} is next")
            call.got += 1
        messages.clear()

    def _check_topic(self, call: Call, number: int) -> None:
        topic = next(each.topic for each in self.publications if each.number == number)
        subscription = call.subscriptions.get(topic)
        if subscription is None:
            raise Fault("topic", f"{call} got a message of {topic}, which it has not subscribed to")
        subscription.got.append(number)

    # ---- the end

    def finish(self) -> None:
        """Everything is released, and read: then all must come to its end."""
        self.batch += 1
        self.open = True
        self._release_all()
        for number, client in enumerate(self.clients):
            if not client.gone:
                client.deaf = False
                self._grant_all(number)
        self.settle()
        for call in self.calls:
            if call.shape[0] and not call.half_closed and not call.over:
                self._end(call, (("finish", 0),))
        self.settle()
        self.check_topics()
        for call in self.calls:
            if not call.over:
                call.cancelled = True
                call.client.cancel(call.stream)
        self.settle()
        self.clock.advance(10)
        self.settle()
        for node in self.nodes:
            for what in probes.leftovers(node):
                raise Fault("rest", what)
        self.costs.check()
        self._check_told()
        self._still_serves()

    def check_topics(self) -> None:
        alive = {number for number, client in enumerate(self.clients) if not client.gone}
        for subscription in self.subscriptions:
            got = subscription.got
            if len(set(got)) != len(got):
                raise Fault("topic", f"{subscription} got a message twice")
            for publisher in range(len(self.clients)):
                own = [e.number for e in self.publications if e.client == publisher and e.number in set(got)]
                if own != [number for number in got if number in set(own)]:
                    raise Fault("topic", f"{subscription} got messages out of order")
            if not subscription.active or subscription.client not in alive:
                continue
            for each in self.publications:
                if (
                    each.topic == subscription.topic
                    and each.batch > subscription.batch
                    and each.client in alive
                    and each.number not in got
                    and self._subscribed(subscription)
                ):
                    raise Fault("topic", f"{subscription} has not got {each}")

    def _subscribed(self, subscription: Subscription) -> bool:
        """Whether who subscribed is there still."""
        for call in self.calls:
            if subscription in call.subscriptions.values():
                return not call.over
        return any(subscription in cell.subscriptions.values() for cell in self.cells.values())

    def _check_told(self) -> None:
        if "on_end" not in self.program.interceptors:
            return
        for call in self.calls:
            if len(call.told) > 1:
                raise Fault("on_end", f"on_end of {call} has run {len(call.told)} times: {call.told}")
            if call.client.gone:
                continue
            if not call.told:
                raise Fault("on_end", f"on_end of {call} has not run")
            if (
                call.stream.status is not None
                and call.told[0][0] != call.stream.status
                and not call.cancelled
            ):
                raise Fault("on_end", f"on_end of {call} was told {call.told}, not {call.stream.status}")

    def _still_serves(self) -> None:
        """Each connection answers, moves, and answers again."""
        for number, client in enumerate(self.clients):
            if client.gone:
                continue
            self._call(number, "S.One", 0, (), ((1, (), ()),), ())
            client.ping()
            self.settle()
            if len(self.nodes) == 1:
                continue
            here = probes.connections(self.nodes)[self.ids[number]][0].hub
            self._move(number, (here + 1) % len(self.nodes))
            self.settle()
            (result,) = self.moves[-1][1]
            hooks = {"on_freeze", "init", "on_thaw"} & set(self.hooks)
            if result.outcome != result.MOVED and not hooks and not self.program.move_every:
                raise Fault("move", f"client {number} cannot be moved: {result.why}")
            self._call(number, "S.One", 0, (), ((1, (), ()),), ())
            self.settle()

    def end(self) -> None:
        """The clients leave: nothing of them stays."""
        for client in self.clients:
            if not client.gone:
                client.leave()
        self.settle()
        self.clock.advance(10)
        self.settle()
        for number, id in enumerate(self.ids):
            if id in probes.connections(self.nodes):
                raise Fault("rest", f"the connection of client {number} is still there")
        if "on_disconnect" in self.hooks:
            for cell in self.cells.values():
                made = cell.instance is not None and (cell.connected or "on_connect" not in self.hooks)
                if cell.service != "S" and made and cell.disconnects != 1:
                    raise Fault("order", f"on_disconnect of {cell} has run {cell.disconnects} times")
        self._check_ends_heard()
        self.close_nodes()

    def _check_ends_heard(self) -> None:
        """Each actor was told of each call that it knows, once, and how it ended for the client."""
        if "on_call_end" not in self.hooks:
            return
        for call in self.calls:
            told, status = call.actor_told, call.stream.status
            if call.seen and call.cell.service != "S" and len(told) != 1:
                raise Fault("on_call_end", f"it has run for {call} {len(told)} times: {told}")
            if told and status is not None and told[0] != status and not call.cancelled:
                raise Fault("on_call_end", f"{call} ended with {status}, and it was told {told[0]}")

    def close_nodes(self) -> None:
        for node in self.nodes:
            if node._finishing or node.resources.parsed.held:
                raise Fault("rest", f"{node._finishing} still finish, {node.resources.parsed!r}")
            node.close()
        self._rounds(200)
        del node
        self.nodes.clear()
        self._log.records.clear()  # what was raised keeps frames, and these what they saw
        gc.collect(0)
        fds = len(os.listdir("/proc/self/fd"))
        if fds > self._fds:
            raise Fault("rest", f"{fds - self._fds} descriptors are left: {_descriptors()}")
        for each in self.instances:
            if each() is not None:
                raise Fault("rest", f"{each()!r} is left")


def _descriptors() -> list[str]:
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return found
