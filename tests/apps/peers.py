"""Keyed actors that call each other: see peers.proto. What they see that must not be, the log says."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent

import actorrpc
from tests.apps import turn_book
from tests.apps.bodies import body
from tests.apps.iterables import Opened
from tests.apps.peers_actorrpc import GuestBase, GuestStub, PeerBase, PeerStub
from tests.apps.peers_pb2 import FUTURE, STREAM, Ask, Known, PeerState, Turn
from tests.apps.turn_book import Event, Record

__all__ = ["GUEST", "KEYS", "Guest", "Peer", "answered", "continued"]

log = logging.getLogger("tests.peers")

KEYS = PeerBase.__rpc__.keyed.always if PeerBase.__rpc__.keyed else ()
#: What the keys of guests begin with.
GUEST = "guest "
#: Seconds between two messages of Recite, so that moves find it in the midst of them.
BREATH = 0.004


def answered(known: Known, number: int, turn: Turn, *, sure: bool) -> str:
    """Note the answer to call ``number``. ``sure``: all before it were answered. Returns what is wrong.

    The same activation has had all that was answered, and nothing else; another one has had nothing.
    """
    least = known.answered if turn.activation == known.activation else 0
    most = least if sure else number - 1
    known.activation, known.answered, known.unsure = turn.activation, number, False
    if turn.number != number or turn.body != body(number, len(turn.body)):
        return f"the answer to {turn.number} came where that to {number} was due"
    if not least <= turn.previous <= most:
        return f"before call {number} came {turn.previous}, where {least} to {most} was due"
    return ""


def continued(turn: Turn, before: int, activation: int) -> str:
    """Whether a message of a stream is the one after ``before``, and of the same activation as that, if there
    was one. Returns what is wrong."""
    if turn.number != before + 1 or turn.body != body(turn.number, len(turn.body)):
        return f"{turn.number} came where {before + 1} was due"
    return f"it goes on in {turn.activation:x}" if activation not in (0, turn.activation) else ""


class Peer(PeerBase):
    state: PeerState

    def on_activate(self) -> None:
        self.state.activation = int.from_bytes(os.urandom(8), "little")
        self._write(Event.ACTIVATE, Ask())

    def on_thaw(self) -> None:
        """A hook tells, too."""
        self.state.thaws += 1
        self._tell(KEYS[KEYS.index(self.key) - 1])

    # ---- its methods

    def Call(self, request: Ask, call: actorrpc.Call[Turn]) -> Turn:
        with self._turn(Event.CALL, request, call):
            turn = self._said(request.number, request.body)
            turn.previous = self.state.called[request.caller]
            if turn.previous >= request.number:
                self._fault(f"call {request.number} of {request.caller:x} comes after {turn.previous}")
            self.state.called[request.caller] = request.number
            if call.caller is not None:
                self._tell(call.caller.key, call.caller)
            for key in request.tells:
                self._tell(key)
            if request.path:
                self._go_on(request, *request.path)
            return turn

    def Hold(self, request: Ask, call: actorrpc.Call[Turn]) -> None:
        with self._turn(Event.CALL, request, call):
            call.send(self._said(request.number, request.body))
            self._go_on(request, *request.path)
            call.finish()

    def Note(self, request: Ask, call: actorrpc.Call[Turn]) -> Turn:
        with self._turn(Event.TELL, request, call):
            if request.number <= self.state.told[request.caller]:
                self._fault(
                    f"{request.number} of {request.whose} comes after {self.state.told[request.caller]}"
                )
            self.state.told[request.caller] = request.number
            return Turn()

    @actorrpc.concurrent
    def Recite(self, request: Ask, call: actorrpc.Call[Turn]) -> Iterator[Turn]:
        if not call.cursor:  # else it goes on, after a move
            self._count(Event.BESIDE, request, call)
            call.cursor = b"%d" % request.after
        return self._recite(request, call)

    def _recite(self, request: Ask, call: actorrpc.Call[Turn]) -> Iterator[Turn]:
        with Opened(call):
            for number in self._numbers(request, int(call.cursor)):
                call.cursor = b"%d" % number
                yield self._said(number, body(number, len(request.body)))

    def Listen(self, request: Ask, call: actorrpc.Call[Turn]) -> None:
        self._count(Event.BESIDE, request, call)
        call.send(self._said(self.state.serial))
        call.cursor = b"listens"  # until now it was open, and waited

    def Close(self, request: Ask, call: actorrpc.Call[PeerState]) -> PeerState:
        for key in sorted(self.state.known):
            if self.state.known[key].told:
                self._tell(key)
        return self.state

    @actorrpc.concurrent
    def Report(self, request: Ask, call: actorrpc.Call[PeerState]) -> PeerState:
        report = PeerState()
        report.CopyFrom(self.state)
        report.open.extend(f"{each.method} {each.id}" for each in self.calls if each is not call)
        return report

    # ---- its turns

    @contextmanager
    def _turn(self, event: Event, request: Ask, call: actorrpc.Call[Turn]) -> Iterator[None]:
        """A turn beside which no other serial one may run."""
        self.state.serial += 1
        serial = self.state.serial
        self._count(event, request, call)
        for other in self.calls:
            if other.method.endswith("/Listen") and other.cursor:
                other.send(self._said(serial))
        try:
            yield
        finally:
            if self.state.serial != serial:
                self._fault(f"{self.state.serial - serial} turns ran within turn {serial}")
            self._write(Event.END, request)

    def _count(self, event: Event, request: Ask, call: actorrpc.Call[Turn]) -> None:
        self.state.turns += 1
        self._write(event, request)
        if not self.state.activation:
            self._fault("a turn comes before on_activate")
        if request.body != body(request.number, len(request.body)):
            self._fault(f"the body of {request.number} is not its own")
        caller = "" if call.caller is None else call.caller.key
        if caller != request.whose:
            self._fault(f"the caller is {caller!r} where {request.whose!r} was due")

    def _said(self, number: int, content: bytes = b"") -> Turn:
        state = self.state
        return Turn(
            activation=state.activation, turn=state.turns, number=number, body=content, pid=os.getpid()
        )

    def _write(self, event: Event, request: Ask) -> None:
        state = self.state
        call = request.caller, state.activation, request.call, request.number
        turn_book.write(Record(time.monotonic(), *call, state.turns, os.getpid(), self.key, event))

    def _fault(self, text: str) -> None:
        log.error("%s, activation %x: %s", self.key, self.state.activation, text)

    # ---- its calls

    def _go_on(self, request: Ask, key: str, *path: str) -> None:
        """Call the next one, and wait."""
        if key.startswith(GUEST):
            self._visit(key)
        elif request.way == STREAM:
            for _ in self._numbers(request, request.after):
                pass
        else:
            known = self.state.known[key]
            known.called += 1
            sure, known.unsure = not known.unsure, True
            content = body(known.called, len(request.body))
            asked = self._ask(key, known.called, body=content, path=path, way=request.way)
            method = self._stub(key).Call
            turn = method.future(asked).result() if request.way == FUTURE else method(asked)
            if wrong := answered(known, asked.number, turn, sure=sure):
                self._fault(f"of {key}: {wrong}")

    def _visit(self, key: str) -> None:
        turn = GuestStub(self.actor(key)).Call(self._ask(key, 1))
        if turn.turn != 1:
            self._fault(f"{key} has its turn {turn.turn}")

    def _tell(self, key: str, ref: actorrpc.ActorRef | None = None) -> None:
        known = self.state.known[key]
        if ref is not None:
            known.ref.CopyFrom(ref)
        known.told += 1
        self._stub(key).Note.tell(self._ask(key, known.told))

    def _numbers(self, request: Ask, number: int) -> Iterator[int]:
        """Its own, or those of the next one on the path."""
        if not request.path:
            for each in range(number + 1, request.last + 1):
                gevent.sleep(BREATH)
                yield each
            return
        key, *path = request.path
        content = body(0, len(request.body))
        asked = self._ask(key, 0, body=content, path=path, after=number, last=request.last)
        activation = 0
        for turn in self._stub(key).Recite(asked):
            if wrong := continued(turn, number, activation):
                self._fault(f"Recite of {key}: {wrong}")
            number, activation = turn.number, turn.activation
            yield number
        if number != request.last:
            self._fault(f"Recite of {key}: it has ended with {number} where {request.last} was due")

    def _stub(self, key: str) -> PeerStub:
        """By the reference that is kept."""
        known = self.state.known[key]
        if not known.ref.key:
            known.ref.CopyFrom(PeerStub(self.actor(key)).ref)
        return PeerStub(known.ref)

    def _ask(self, key: str, number: int, *, path: Iterable[str] = (), **fields: Any) -> Ask:
        self.state.calls += 1
        me: dict[str, Any] = {"caller": self.state.activation, "call": self.state.calls, "whose": self.key}
        return Ask(key=key, number=number, path=path, **me, **fields)


class Guest(GuestBase):
    state: PeerState

    def Call(self, request: Ask, call: actorrpc.Call[Turn]) -> Turn:
        self.state.turns += 1
        return Turn(turn=self.state.turns, number=request.number, body=request.body, pid=os.getpid())
