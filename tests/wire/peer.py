"""A gRPC client without a socket, built on `h2`: what it sends is what real clients send.

`h2` also checks what it is given: a server that oversteps a window, a frame size or the life of a stream
makes `receive` raise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
from h2.settings import SettingCodes

from tests.support import raw

SETTINGS = {
    SettingCodes.HEADER_TABLE_SIZE: 4096,
    SettingCodes.ENABLE_PUSH: 0,
    SettingCodes.INITIAL_WINDOW_SIZE: 65_535,
    SettingCodes.MAX_FRAME_SIZE: 16_384,
}


@dataclass
class Reply:
    """What has come on one stream."""

    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    data: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None

    @property
    def messages(self) -> list[bytes]:
        """The messages of ``data``, which must be whole."""
        found, rest = [], self.data
        while rest:
            length = int.from_bytes(rest[1:5], "big")
            assert rest[0] == 0 and len(rest) >= 5 + length, f"{len(rest)} bytes that are no message"
            found.append(rest[5 : 5 + length])
            rest = rest[5 + length :]
        return found

    @property
    def status(self) -> int | None:
        """``grpc-status``, from trailers or a Trailers-Only response; None if there was none."""
        found = dict(self.trailers or self.headers).get(b"grpc-status")
        return None if found is None else int(found)


class Peer:
    """The client's side of one connection. What it wants to send collects until ``take``."""

    def __init__(self, **settings: int) -> None:
        """``settings`` by the names of `h2.settings.SettingCodes`, in lower case."""
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding=None)
        )
        values = SETTINGS | {SettingCodes[name.upper()]: value for name, value in settings.items()}
        self.h2.local_settings = h2.settings.Settings(client=True, initial_values=values)
        self.h2.initiate_connection()
        self.replies: dict[int, Reply] = {}

    def take(self) -> bytes:
        """The bytes to send now."""
        return self.h2.data_to_send()

    # ---- calls

    def begin(
        self, method: str, *extra: tuple[str, str], end: bool = False, priority: int | None = None
    ) -> int:
        """Start a call of ``/test.Test/{method}``; returns its stream."""
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, raw.request(method, *extra), end_stream=end, priority_weight=priority)
        self.replies[stream] = Reply()
        return stream

    def call(
        self, method: str, *messages: bytes, extra: Iterable[tuple[str, str]] = (), pad: int | None = None
    ) -> int:
        """A whole call: its head, one DATA frame for each message, END_STREAM on the last."""
        stream = self.begin(method, *extra, end=not messages)
        for left, message in zip(reversed(range(len(messages))), messages, strict=True):
            self.h2.send_data(stream, raw.message(message), end_stream=not left, pad_length=pad)
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False, pad: int | None = None) -> None:
        """One DATA frame with exactly ``data``."""
        self.h2.send_data(stream, data, end_stream=end, pad_length=pad)

    def room(self, stream: int) -> int:
        """How much DATA the windows and the frame size let it send now."""
        return min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)

    # ---- replies

    def receive(self, data: bytes) -> None:
        """Take whole frames of the server's. Raises what `h2` raises where they break the protocol."""
        while data:  # by the frame: within one call, `h2` goes on with the frame size from before an ACK
            end = 9 + int.from_bytes(data[:3], "big")
            for event in self.h2.receive_data(data[:end]):
                self._handle(event)
            data = data[end:]

    def _handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived():
                self.replies[event.stream_id].headers = list(event.headers)
            case h2.events.DataReceived():
                self.replies[event.stream_id].data += event.data
            case h2.events.TrailersReceived():
                self.replies[event.stream_id].trailers = list(event.headers)
            case h2.events.StreamEnded():
                self.replies[event.stream_id].ended = True
            case h2.events.StreamReset():
                self.replies[event.stream_id].reset = int(event.error_code)
