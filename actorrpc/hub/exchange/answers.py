"""``Answers``: what an actor says on one call, numbered, and kept until its caller is known to have it.

So either end may move to another hub: whoever serves the caller next says which answer it had last, and gets
those after it, from whoever serves the actor by then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from actorrpc.errors import StatusCode
from actorrpc.hub.exchange.outgoing import END, HEADERS, MESSAGE, Fields
from actorrpc.wire.head import RequestHead

__all__ = ["Answer", "Answers"]

#: Number, kind and what belongs to it.
Answer = tuple[int, int, tuple[Any, ...]]

#: What an answer takes beside its bytes.
_OVERHEAD = 64

_NONE: tuple[Answer, ...] = ()


class Answers:
    """To its call it stands for the stream that would carry it (``wire.stream``).

    ``say(answers, answer)`` brings one on its way, and returns whether it has been heard; else it is kept.
    """

    __slots__ = (
        "attempt",
        "call",
        "caller",
        "caller_moves",
        "encoding",
        "head",
        "headers_sent",
        "id",
        "kept",
        "number",
        "one_way",
        "over",
        "owner",
        "partial_size",
        "say",
        "unsent_bytes",
    )

    def __init__(
        self, id: int, caller: int, head: RequestHead, say: Callable[[Answers, Answer], bool]
    ) -> None:
        self.id = id
        #: The hub where the caller was last heard of.
        self.caller = caller
        #: How often the caller had moved by then, and the number of the INVOKE that was heard last.
        self.caller_moves = 0
        self.attempt = 0
        self.head = head
        self.say = say
        #: Of the last one.
        self.number = 0
        self.kept: deque[Answer] | tuple[Answer, ...] = _NONE
        #: Bytes of those that are kept.
        self.unsent_bytes = 0
        #: The last has been said.
        self.over = False
        #: Nobody waits for them: the call goes on when its caller's hub has died.
        self.one_way = False
        self.headers_sent = False
        self.encoding = ""
        self.partial_size = 0
        #: The call, once there is one, and who serves it.
        self.call: Any = None
        self.owner: Any = None

    def headers(self, fields: Fields) -> None:
        if not self.headers_sent:
            self.headers_sent = True
            self._say(HEADERS, ([*fields],), 0)

    def message(self, payload: bytes) -> None:
        self.headers_sent = True
        self._say(MESSAGE, (payload,), len(payload))

    def finish(
        self, status: StatusCode, message: str, fields: Fields = (), reply: bytes | None = None
    ) -> None:
        """Say the last. A second one is ignored."""
        if not self.over:
            self.over = True
            self._say(END, (status, message, [*fields], reply), len(reply or b""))

    def _say(self, kind: int, data: tuple[Any, ...], size: int) -> None:
        self.number += 1
        answer = (self.number, kind, data)
        if not self.kept and self.say(self, answer):
            return
        if not isinstance(self.kept, deque):
            self.kept = deque()
        else:
            self.say(self, answer)
        self.kept.append(answer)
        self.unsent_bytes += size + _OVERHEAD

    def attach(self, caller: int, moves: int, received: int) -> bool:
        """The caller is in that hub, and has heard so much. Whether it is, by all that is known."""
        if moves < self.caller_moves:
            return False
        self.caller, self.caller_moves = caller, moves
        self.heard(received)
        return True

    def heard(self, number: int) -> None:
        """The caller has all up to this number."""
        kept = self.kept
        while kept and kept[0][0] <= number:
            _, kind, data = kept.popleft()  # type: ignore[union-attr]  # an empty tuple has none
            self.unsent_bytes -= _size(kind, data) + _OVERHEAD
        if not kept:
            self.kept = _NONE

    def go_on(self) -> None:
        """Say again what is kept, as far as it is heard now."""
        while self.kept:
            answer = self.kept[0]
            if not self.say(self, answer):
                return
            self.heard(answer[0])  # unless that has ended the call

    def repeat(self) -> None:
        """Say all again that is kept, to a caller in another hub."""
        for answer in [*self.kept]:
            self.say(self, answer)

    @property
    def settled(self) -> bool:
        """The last has been said, and heard."""
        return self.over and not self.kept

    def restore(self, number: int, kept: list[Answer], *, over: bool, headers_sent: bool) -> None:
        """Go on with what another hub has said."""
        self.number, self.over, self.headers_sent = number, over, headers_sent
        if kept:
            self.kept = deque(kept)
            self.unsent_bytes = sum(_size(kind, data) + _OVERHEAD for _, kind, data in kept)

    def __repr__(self) -> str:
        return f"<Answers {self.number} to {self.id:#x}, {len(self.kept)} kept{', over' * self.over}>"


def _size(kind: int, data: tuple[Any, ...]) -> int:
    if kind == MESSAGE:
        return len(data[0])
    return len(data[3] or b"") if kind == END else 0
