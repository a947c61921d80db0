"""DATA that has come and is not split into messages yet, since enough messages wait for their handlers.

Reading goes on meanwhile: the next frame may be the WINDOW_UPDATE, the RST_STREAM or the PING that everything
waits for. In one piece, DATA takes as much memory as it has bytes; as messages, with an object for each, ten
times as much. The windows bound how much there is, since they are not opened for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from actorrpc.wire.stream import Stream

__all__ = ["Unsplit"]


@dataclass(slots=True, eq=False, repr=False)
class Unsplit:
    """The streams of one session that have such DATA (``stream.unsplit``), in the order in which it came."""

    streams: dict[int, Stream] = field(default_factory=dict)
    #: On all streams.
    size: int = 0
    #: The streams that there is room for now; None: nothing is due. It may be empty: then only the
    #: connection's window is to be looked at.
    due: dict[int, Stream] | None = None

    def add(self, stream: Stream, data: bytes) -> None:
        """Put DATA behind what the stream has already, an incomplete message included."""
        if stream.unsplit is None:
            self.put(stream, bytearray().join(stream.partial))
            stream.partial = ()
            stream.partial_size = 0
        assert stream.unsplit is not None
        stream.unsplit += data
        self.size += len(data)

    def put(self, stream: Stream, data: bytearray) -> None:
        """Give a stream its DATA, where it has none; the bytearray is the stream's from now on."""
        stream.unsplit = data
        self.streams[stream.id] = stream
        self.size += len(data)

    def take(self, stream: Stream) -> bytearray:
        """Return a stream's DATA and forget it; empty if there is none."""
        data, stream.unsplit = stream.unsplit, None
        if data is None:
            return bytearray()
        self.size -= len(data)
        del self.streams[stream.id]
        if self.due is not None:
            self.due.pop(stream.id, None)
        return data

    def drop(self, stream: Stream) -> None:
        """The stream has ended early: forget its DATA."""
        self.take(stream)
        if self.due is None:
            self.due = {}

    def has_room(self, stream: Stream | None = None) -> None:
        """There is room for messages of one stream, or of all."""
        if self.due is None:
            self.due = {}
        if stream is None:
            self.due.update(self.streams)
        else:
            self.due[stream.id] = stream

    def take_due(self) -> list[Stream]:
        """The streams that there is room for; they are not due any more."""
        due, self.due = self.due, None
        return list(due.values()) if due else []

    def __repr__(self) -> str:
        return f"<Unsplit DATA of {len(self.streams)} streams, {self.size} bytes>"
