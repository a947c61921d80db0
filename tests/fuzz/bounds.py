"""What a session may keep, whatever its client sends: all memory that one connection can cost."""

from __future__ import annotations

from actorrpc.wire.hpack import DEFAULT_TABLE_SIZE
from actorrpc.wire.server import ServerSession

from .model import Wrong

__all__ = ["check_bounds"]

FRAME = 9 + 16_384
BLOCK = 1 << 20
PREFIX = 5
#: A whole message beyond its bytes.
OVERHEAD = 64


def check_bounds(session: ServerSession) -> None:
    """Raise Wrong if the session keeps more than it may, or counts something else than it keeps."""
    config, outbound, decoder = session.config, session.outbound, session.decoder
    _at_most("streams", len(session.streams), config.max_concurrent_streams)
    _at_most("bytes of a frame", len(session.partial_frame), FRAME)
    if session.header_block is not None:
        _at_most("bytes of a header block", len(session.header_block.data), BLOCK)
    _at_most("bytes in the HPACK table", decoder.size, decoder.max_size)
    _at_most("bytes of HPACK table chosen", decoder.max_size, DEFAULT_TABLE_SIZE)
    _equal("HPACK", decoder.size, sum(len(name) + len(value) + 32 for name, value in decoder.entries))
    _at_most("memory for header blocks", decoder._blocks_memory, 8192)
    if session.greeted:
        window = session.inbound.receive_window + session.inbound.unacknowledged
        _equal("of the connection's window", window, session.inbound.window)
        _at_most("bytes of window", window, config.max_connection_window_bytes)
    _at_most("streams that were reset", len(outbound.reset_streams), max(100, config.max_concurrent_streams))
    _equal("pending", outbound.pending, len(outbound.framed()))
    _at_most("streams that wait", len(outbound._blocked), len(session.streams))
    _equal("unsent", outbound.unsent_bytes, sum(each.unsent_bytes for each in session.streams.values()))
    held = 0
    for stream in session.streams.values():
        held += stream.held
        if not stream.remote_closed:  # a window that leaks by a byte closes some day
            window = stream.receive_window + stream.receive_unacknowledged
            _equal("of a stream's window", window, stream.window)
            _at_most("bytes of window", window, config.max_stream_window_bytes)
        _equal("partial", stream.partial_size, sum(map(len, stream.partial)))
        # Small pieces are joined, so that a message sent by the byte does not cost an object for each.
        _at_most("pieces of a message", len(stream.partial), 2 + stream.partial_size // 2048)
        _at_most("bytes of a message", stream.partial_size, PREFIX + config.max_receive_message_bytes)
        _equal("unsent", stream.unsent_bytes, sum(map(len, stream.unsent or ())))
        if stream.held < 0 or stream.closed:
            raise Wrong(f"{stream} is among the open ones, with {stream.held} bytes held")
    _equal("held", session.inbound.held, held)


def _at_most(what: str, count: int, limit: int) -> None:
    if count > limit:
        raise Wrong(f"{count} {what}, over the limit of {limit}")


def _equal(what: str, counted: int, real: int) -> None:
    if counted != real:
        raise Wrong(f"{what}: {counted} bytes are counted, where there are {real}")
