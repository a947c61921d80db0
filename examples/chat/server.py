"""The chat server: ``actorrpc serve examples.chat.server:app``.

Each connection is an actor, a member of one room at most. No list of members is kept anywhere, so none
can be wrong when a hub dies: whoever wants to know who is here calls the roll, and the living answer.

    room/R      what the members of room R hear: their Join calls are subscribed to it
    roll/R      claims to nicks, and roll calls: the members' actors are subscribed to it, and answer
    inbox/R/C   the answers for connection C, which its Join call hears too
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import actorrpc
from actorrpc import RpcError, StatusCode
from examples.chat.chat_actorrpc import ChatBase
from examples.chat.chat_pb2 import (
    Claim,
    Event,
    JoinRequest,
    LeaveReply,
    LeaveRequest,
    Line,
    Member,
    NickTaken,
    RollCall,
    SayReply,
    SayRequest,
    WhoReply,
    WhoRequest,
)

__all__ = ["Chat", "app"]

NAME = re.compile(r"[\w.-]{1,24}")
MAX_TEXT = 1000


class Chat(ChatBase):
    def Join(self, request: JoinRequest, call: actorrpc.Call[Event]) -> None:
        _check_name("nick", request.nick)
        _check_name("room", request.room)
        self._leave()
        self.state.nick, self.state.room, self.state.call = request.nick, request.room, call.id
        self.subscribe(self._room, call)
        self.subscribe(self._roll)
        self.subscribe(self._inbox, call)
        # A subscription begins when the topic's hub has heard of it. What the actor publishes to the same
        # topic comes after that: once it has come back (on_topic), no answer can be missed.
        self.subscribe(self._inbox)
        self.publish(self._inbox, Event(welcome=self._me))

    def Say(self, request: SayRequest, call: actorrpc.Call[SayReply]) -> SayReply:
        self._check_member()
        if not request.text.strip():
            raise RpcError(StatusCode.INVALID_ARGUMENT, "there is nothing in the line")
        if len(request.text) > MAX_TEXT:
            raise RpcError(StatusCode.INVALID_ARGUMENT, f"a line has {MAX_TEXT:,} characters at most")
        self.publish(self._room, Event(said=Line(by=self._me, text=request.text)))
        return SayReply()

    def Who(self, request: WhoRequest, call: actorrpc.Call[WhoReply]) -> WhoReply:
        self._check_member()
        self.publish(self._roll, RollCall(by=self._me))
        return WhoReply()

    def Leave(self, request: LeaveRequest, call: actorrpc.Call[LeaveReply]) -> LeaveReply:
        self._leave()
        return LeaveReply()

    def on_call_end(self, call: actorrpc.Call[Any], status: StatusCode, message: str) -> None:
        """The call is the membership: whoever cancels it, or goes, has left."""
        if call.id == self.state.call:
            self._leave()

    def on_topic(self, topic: str, message: Any) -> None:
        if topic == self._inbox:
            self.unsubscribe(self._inbox)
            self.publish(self._roll, Claim(by=self._me))
        elif topic == self._roll:
            _ON_ROLL[type(message)](self, message.by)

    def _on_claim(self, newcomer: Member) -> None:
        """All see the claims in one order, so the first to claim a nick has it."""
        if newcomer == self._me:
            self.state.named = True
            self.publish(self._roll, RollCall(by=self._me))
        elif newcomer.nick == self.state.nick and self.state.named:
            self.publish(self._roll, NickTaken(by=newcomer))

    def _on_nick_taken(self, newcomer: Member) -> None:
        if newcomer == self._me:
            self._leave(StatusCode.ALREADY_EXISTS, f"the nick {newcomer.nick} is taken in {self.state.room}")

    def _on_roll_call(self, caller: Member) -> None:
        if caller == self._me and not self.state.announced:
            self._announce()
        if self.state.announced:
            self.publish(_inbox(self.state.room, caller.id), Event(here=self._me))

    def _announce(self) -> None:
        """Be a member. Whoever is announced hears every roll call from now on, and is missed in none."""
        self.state.announced = True
        self.publish(self._room, Event(joined=self._me))

    def _leave(self, status: StatusCode = StatusCode.OK, why: str = "") -> None:
        """Leave the room, if in one, and tell those who stay. The Join call ends with ``status``."""
        if not self.state.room:
            return
        self.unsubscribe(self._roll)
        self.unsubscribe(self._inbox)
        if (call := self._join_call) is not None:
            call.finish(status, why)
        if self.state.announced:
            self.publish(self._room, Event(left=self._me))
        self.state.Clear()

    def _check_member(self) -> None:
        if not self.state.announced or self._join_call is None:
            raise RpcError(
                StatusCode.FAILED_PRECONDITION, "join a room first, and wait to hear that you joined"
            )

    @property
    def _join_call(self) -> actorrpc.Call[Any] | None:
        return next((call for call in self.calls if call.id == self.state.call), None)

    @property
    def _me(self) -> Member:
        return Member(id=self.connection_id, nick=self.state.nick)

    @property
    def _room(self) -> str:
        return f"room/{self.state.room}"

    @property
    def _roll(self) -> str:
        return f"roll/{self.state.room}"

    @property
    def _inbox(self) -> str:
        return _inbox(self.state.room, self.connection_id)


def _inbox(room: str, connection: str) -> str:
    return f"inbox/{room}/{connection}"


def _check_name(what: str, name: str) -> None:
    if not NAME.fullmatch(name):
        raise RpcError(StatusCode.INVALID_ARGUMENT, f"a {what} has 1 to 24 letters, digits, '_', '.' and '-'")


_ON_ROLL: dict[type, Callable[[Chat, Member], None]] = {
    Claim: Chat._on_claim,
    NickTaken: Chat._on_nick_taken,
    RollCall: Chat._on_roll_call,
}

app = actorrpc.App([Chat])
