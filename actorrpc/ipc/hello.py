"""What a process says of itself first, and whether it and another understand each other.

After a reload the processes of one server may be of different versions of actorrpc. Each says which formats
it understands: of the messages between the broker and its hubs, of those between hubs, and of snapshots. Two
speak the newest that both know. A change that an older reader would misread, or drop in silence though it
matters, is a new format; a version reads the one before it, too, and writes it to whoever knows no newer one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from actorrpc.errors import ConfigError
from actorrpc.pb import control_pb2

__all__ = ["CONTROL", "LINKS", "SNAPSHOTS", "WITH_TLS", "Formats", "Hello", "own_version"]


@dataclass(frozen=True)
class Formats:
    """All from the oldest to the newest."""

    oldest: int
    newest: int

    def __contains__(self, format: int) -> bool:
        return self.oldest <= format <= self.newest

    def __str__(self) -> str:
        return f"{self.oldest}" if self.oldest == self.newest else f"{self.oldest} to {self.newest}"


#: What this version understands: what the broker and hubs say to each other, what hubs do, and snapshots.
#: Control messages of format 2 may be of several addresses to listen on, and of such with TLS.
CONTROL = Formats(1, 2)
LINKS = Formats(1, 2)
SNAPSHOTS = Formats(4, 5)

#: The first format of snapshots that may be of connections with TLS.
WITH_TLS = 5


@cache
def own_version() -> str:
    """The version of actorrpc, as it was installed when this process first asked; "unknown" if it was not.

    Another may be installed since. And the file is not to be opened again: there may be no descriptor left.
    """
    try:
        return version("actorrpc")
    except PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True)
class Hello:
    """What one process says of itself."""

    version: str
    control: Formats
    links: Formats
    snapshots: Formats

    @classmethod
    def own(cls) -> Hello:
        return cls(own_version(), CONTROL, LINKS, SNAPSHOTS)

    @classmethod
    def from_message(cls, message: control_pb2.Hello) -> Hello:
        """What another process has said; formats 0 where it has said nothing, which no version has."""
        kinds = (message.control, message.links, message.snapshots)
        return cls(message.version, *(Formats(each.oldest, each.newest) for each in kinds))

    def to_message(self) -> control_pb2.Hello:
        return control_pb2.Hello(
            version=self.version,
            **{
                kind: control_pb2.Formats(oldest=each.oldest, newest=each.newest)
                for kind, each in (
                    ("control", self.control),
                    ("links", self.links),
                    ("snapshots", self.snapshots),
                )
            },
        )

    def agree_with_broker(self, broker: Hello) -> int:
        """The format in which the two speak. Raises ConfigError if there is none."""
        return self._agree(broker, "the broker", "control messages", self.control, broker.control)

    def agree_with_hub(self, other: Hello) -> int:
        """The format of snapshots that go to another hub. Raises ConfigError if there is none, or no format
        in which the two speak."""
        self.agree_on_links(other)
        return self.agree_on_snapshots(other)

    def agree_on_links(self, other: Hello) -> int:
        """The format in which two hubs speak. Raises ConfigError if there is none."""
        return self._agree(other, "another hub", "messages between hubs", self.links, other.links)

    def agree_on_snapshots(self, other: Hello) -> int:
        """The format of what moves between two hubs. Raises ConfigError if there is none."""
        return self._agree(other, "another hub", "snapshots", self.snapshots, other.snapshots)

    def _agree(self, other: Hello, who: str, what: str, ours: Formats, theirs: Formats) -> int:
        newest = min(ours.newest, theirs.newest)
        if newest in ours and newest in theirs:
            return newest
        raise ConfigError(
            f"actorrpc {self.version} knows the formats {ours} of {what}, and actorrpc "
            f"{other.version or 'before 0.2.0'}, which {who} is, {theirs}"
        )
