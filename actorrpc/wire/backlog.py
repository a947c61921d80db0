"""DATA that has come and is not split into messages yet, since enough of them wait for their handlers.

Reading has to go on meanwhile: the frame behind it may be the WINDOW_UPDATE, the RST_STREAM or the PING that
everything waits for. Bytes in one piece take what they take; as messages, with an object for each, ten times
that. How many they are is bounded by the windows, which are not opened for them.
"""

from __future__ import annotations

from actorrpc.wire.stream import Stream

__all__ = ["Backlog"]


class Backlog:
    """The streams of one session that have such DATA, ``stream.backlog``, in the order in which it came."""

    __slots__ = ("_due", "_room", "bytes", "streams")

    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}
        #: On all streams.
        self.bytes = 0
        self._due: dict[int, Stream] = {}
        #: There is room for bytes on the connection: its window may be opened.
        self._room = False

    def add(self, stream: Stream, data: bytes) -> None:
        """Put DATA behind what the stream has already, an incomplete message included."""
        if stream.backlog is None:
            self.put(stream, bytearray().join(stream.partial))
            stream.partial = []
            stream.partial_size = 0
        assert stream.backlog is not None
        stream.backlog += data
        self.bytes += len(data)

    def put(self, stream: Stream, data: bytearray) -> None:
        """Begin the backlog of a stream that has none; the bytearray is the backlog's from now on."""
        stream.backlog = data
        self.streams[stream.id] = stream
        self.bytes += len(data)

    def take(self, stream: Stream) -> bytearray:
        """End a stream's backlog, and return it; empty if there is none."""
        data, stream.backlog = stream.backlog, None
        if data is None:
            return bytearray()
        self.bytes -= len(data)
        del self.streams[stream.id]
        self._due.pop(stream.id, None)
        return data

    def drop(self, stream: Stream) -> None:
        """The stream has ended early: forget what it has."""
        self.take(stream)
        self._room = True

    @property
    def due(self) -> bool:
        """Whether there is room for messages of some stream, or more room for bytes."""
        return self._room or bool(self._due)

    def has_room(self, stream: Stream | None = None) -> None:
        """There is room for messages of one stream, or of all, and then for bytes."""
        if stream is None:
            self._due.update(self.streams)
            self._room = True
        else:
            self._due[stream.id] = stream

    def take_due(self) -> list[Stream]:
        """The streams that there is room for; they are not due any more."""
        due = list(self._due.values())
        self._due.clear()
        self._room = False
        return due

    def __repr__(self) -> str:
        return f"<Backlog of {len(self.streams)} streams, {self.bytes} bytes>"
