"""``Sender``: a link to another process, as those see it who only send over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from google.protobuf.message import Message

__all__ = ["Sender"]


class Sender(Protocol):
    """What ``actorrpc.ipc.link.Link`` does for them; it says what each method promises."""

    def send(
        self, message: Message, fds: Sequence[int] = (), then: Callable[[], None] | None = None
    ) -> bool: ...
    def reserve(self) -> None: ...
    def unreserve(self) -> None: ...
