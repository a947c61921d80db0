"""Keyed actors that number their turns: see tally.proto."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import gevent

import actorrpc
from tests.apps.tally_actorrpc import BriefBase, TallyBase, TallyStub
from tests.apps.tally_pb2 import Ask, TallyState, Turn

#: Between two messages of Recite, in seconds.
BREATH = 0.01
#: From the number of a call to that of the call that is made in its turn: clients' own are smaller.
NEXT = 1 << 36
#: Where each turn writes down which call it is, if anywhere: states are lost with their hubs.
BOOK = os.environ.get("TALLY_BOOK")
_book = os.open(BOOK, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC) if BOOK else None


def begin(state: TallyState, request: Ask) -> Turn:
    """Give a turn its number."""
    state.turns += 1
    if _book is not None:
        os.write(_book, request.call.to_bytes(8, "little"))
    fault = "" if state.activation else "a turn comes before on_activate"
    return Turn(activation=state.activation, number=state.turns, pid=os.getpid(), fault=fault)


def work(request: Ask) -> None:
    if request.sleep:
        gevent.sleep(request.sleep)
    if request.hold:
        time.sleep(request.hold)


def take(
    state: TallyState,
    request: Ask,
    tell: Callable[[Turn], object] = bool,
    go_on: Callable[[Ask, Turn], object] = lambda request, turn: None,
) -> Turn:
    """A turn beside which no other serial one may run."""
    state.serial += 1
    turn = begin(state, request)
    turn.at = state.serial
    tell(turn)
    work(request)
    go_on(request, turn)
    if state.serial != turn.at:
        turn.fault = f"{state.serial - turn.at} turns ran within turn {turn.at}"
    return turn


class Tally(TallyBase):
    state: TallyState

    def on_activate(self) -> None:
        self.state.activation = os.urandom(8)

    def Take(self, request: Ask, call: actorrpc.Call[Turn]) -> Turn:
        return take(self.state, request, self._tell, self._go_on)

    def _tell(self, turn: Turn) -> None:
        for other in self.calls:
            if other.method.endswith("/Listen") and other.cursor:
                other.send(turn)

    def _go_on(self, request: Ask, turn: Turn) -> None:
        """Have the next one on the path take its turn: it is called by a reference, which the state keeps."""
        if request.path:
            key, *path = request.path
            ref = self.state.refs[key]
            if not ref.key:
                ref.CopyFrom(TallyStub(self.actor(key)).ref)
            reply = TallyStub(ref).Take(Ask(key=key, call=request.call + NEXT, path=path))
            turn.next.CopyFrom(reply)

    @actorrpc.concurrent
    def Beside(self, request: Ask, call: actorrpc.Call[Turn]) -> Turn:
        turn = begin(self.state, request)
        work(request)
        return turn

    @actorrpc.concurrent
    def Recite(self, request: Ask, call: actorrpc.Call[Turn]) -> Iterator[Turn]:
        if not call.cursor:
            turn = begin(self.state, request)
            call.cursor = b"%d 0" % turn.number
            if turn.fault:
                raise AssertionError(turn.fault)
        return self._recite(request, call)

    def _recite(self, request: Ask, call: actorrpc.Call[Turn]) -> Iterator[Turn]:
        number, said = map(int, call.cursor.split())
        while said < request.replies:
            gevent.sleep(BREATH)
            said += 1
            call.cursor = b"%d %d" % (number, said)
            yield Turn(activation=self.state.activation, number=number, pid=os.getpid(), at=said)

    def Listen(self, request: Ask, call: actorrpc.Call[Turn]) -> None:
        turn = begin(self.state, request)
        turn.at = self.state.serial
        call.send(turn)
        call.cursor = b"listens"  # until now it was open, and waited


class Brief(BriefBase):
    state: TallyState

    def on_activate(self) -> None:
        self.state.activation = os.urandom(8)

    def Take(self, request: Ask, call: actorrpc.Call[Turn]) -> Turn:
        return take(self.state, request)


app = actorrpc.App([Tally, Brief])
