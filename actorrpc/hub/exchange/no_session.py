"""``NoSession``: what calls by actors have in place of a client's session."""

from __future__ import annotations

from actorrpc.config import Config
from actorrpc.hub.exchange.answers import Answers

__all__ = ["NoSession"]


class NoSession:
    """Messages come one by one, and whole."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.inbound = self

    def consumed(self, stream: Answers, size: int) -> None:
        """A request is taken from the mailbox, or dropped."""
        if stream.owner is not None:
            stream.owner.waiting_bytes -= size

    def unserved(self, stream: Answers) -> None:
        """It has a price where a client is, and not here."""

    unheard = unserved
