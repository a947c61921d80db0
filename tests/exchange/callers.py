"""Who makes a call: it hears the answers, may be behind, and may move to another hub, as a client's
connection does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actorrpc.errors import StatusCode
from actorrpc.hub.directory.names import Location
from actorrpc.hub.exchange.outgoing import BEGUN, WITHDRAWN, Fields, OutgoingCall, Request
from tests.apps.rooms_pb2 import Line
from tests.exchange.history import Fault

if TYPE_CHECKING:
    from tests.exchange.hubs import Hub

__all__ = ["SERVICE", "Caller"]

SERVICE = "rooms.Room"


class Caller:
    """One call."""

    def __init__(self, hub: Hub, name: str, method: str, key: str, number: int, blocks: bool) -> None:
        self.hub = hub
        self.name, self.method, self.key = name, method, key
        self.number = number
        self.frozen = False
        self.congested = False
        self.withdrawn = False
        #: It has been let go by its hub, and is on its way to another.
        self.to: Hub | None = None
        self.let_go = False
        self.snapshot = (0, 0, 0, -1)
        self.moves = 0
        self.headers = 0
        self.lines: list[Line] = []
        self.status: StatusCode | None = None
        self.faults = hub.faults
        #: A hub has died where the call may have been.
        self.excused = False
        #: The hubs that it has been sent to.
        self.sent_to: set[int] = set()
        line = Line(room=key, text=name, number=number, sleep=float(blocks))
        request = Request(method=f"/{SERVICE}/{method}", message=line.SerializeToString())
        self.outgoing: OutgoingCall | None = None
        hub.world.callers.append(self)
        outgoing = hub.exchange.begin((SERVICE, key), request, self)
        if self.status is None:
            self.outgoing = outgoing

    @property
    def over(self) -> bool:
        return self.status is not None or self.withdrawn

    # ---- what it hears

    def on_begun(self) -> None: ...

    def on_headers(self, fields: Fields) -> None:
        self._check_hears("headers")
        self.headers += 1

    def on_message(self, payload: bytes) -> None:
        self._check_hears("a message")
        line = Line.FromString(payload)
        if self.method == "Recite" and line.number != len(self.lines):
            self._wrong(f"hears line {line.number} after {len(self.lines)}")
        if self.method == "Listen" and self.lines and line.number != self.lines[-1].number + 1:
            self._wrong(f"hears post {line.number} after {self.lines[-1].number}")
        self.lines.append(line)

    def on_end(self, status: StatusCode, message: str, fields: Fields, reply: bytes | None) -> None:
        self._check_hears("its end")
        self.status = status
        self.outgoing = None
        if status is StatusCode.OK:
            if self.method == "Post" and (reply is None or Line.FromString(reply).text != self.name):
                self._wrong("has another reply")
            if self.method == "Recite" and len(self.lines) != self.number:
                self._wrong(f"has {len(self.lines)} lines of {self.number}")
        elif status is StatusCode.UNAVAILABLE:
            if not (self.excused or self.sent_to & self.hub.world.dead):
                self._wrong(f"is told without a death: {message}")
        elif status is not StatusCode.FAILED_PRECONDITION or self.hub.history.has_run(self.name):
            self._wrong(f"ends with {status.name} {message}")

    def _check_hears(self, what: str) -> None:
        if self.frozen or self.over:
            self._wrong(f"hears {what} when frozen or over")

    def _wrong(self, what: str) -> None:
        self.faults.append(Fault(f"{self.name} {what}"))

    # ---- what it does

    def withdraw(self) -> None:
        assert self.outgoing is not None
        self.withdrawn = True
        outgoing, self.outgoing = self.outgoing, None
        self.hub.exchange.withdraw(outgoing)

    def fall_behind(self) -> None:
        self.congested = True

    def catch_up(self) -> None:
        self.congested = False
        if not self.frozen and self.outgoing is not None:
            self.hub.exchange.go_on(self.outgoing)

    # ---- its moves

    @property
    def may_move(self) -> bool:
        return self.outgoing is not None and not self.frozen and self.outgoing.state == BEGUN

    def freeze(self, to: Hub) -> None:
        assert self.outgoing is not None and self.outgoing.state != WITHDRAWN
        self.frozen, self.to = True, to
        outgoing = self.outgoing
        hub = -1 if outgoing.where is None else outgoing.where.hub
        self.snapshot = (outgoing.id, outgoing.received, outgoing.moves, hub)

    def stay(self) -> None:
        self.frozen, self.to = False, None
        assert self.outgoing is not None
        self.hub.exchange.attach(self.outgoing)

    def leave(self) -> None:
        assert self.outgoing is not None
        self.let_go = True
        outgoing, self.outgoing = self.outgoing, None
        self.hub.exchange.leave(outgoing)

    def arrive(self) -> None:
        assert self.to is not None
        self.hub, self.to = self.to, None
        self.frozen = self.let_go = False
        self.moves += 1
        id, received, moves, hub = self.snapshot
        where = None if hub < 0 else Location(hub, 0)
        name = (SERVICE, self.key)
        self.outgoing = OutgoingCall(id, name, self, None, BEGUN, where, received, moves=moves + 1)
        self.hub.exchange.attach(self.outgoing)

    def __repr__(self) -> str:
        return f"<{self.name} on {self.hub.serial} {self.status} {self.outgoing!r}>"
