"""A server's session as a message, and made of that message again in another process."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from actorrpc.config import Config
from actorrpc.errors import ConnectionFault, SnapshotError, StreamFault
from actorrpc.pb import snapshot_pb2
from actorrpc.wire.fields import pairs
from actorrpc.wire.frames import CONTINUATION, LARGEST_FRAME, MAX_FRAME_SIZE, PREFACE
from actorrpc.wire.head import RequestHead, freeze_head, thaw_head
from actorrpc.wire.header_block import HeaderBlock
from actorrpc.wire.inbound import Inbound
from actorrpc.wire.keepalive import Allowance
from actorrpc.wire.outbound import Outbound
from actorrpc.wire.server import ServerSession
from actorrpc.wire.stream import MESSAGE_PREFIX, Stream

__all__ = ["freeze_session", "thaw_session"]


def freeze_session(
    session: ServerSession, unsent: bytes = b"", now: float = 0.0
) -> snapshot_pb2.SessionSnapshot:
    """All of a session, as a message. ``unsent`` is what ``data_to_send`` gave and the transport did not
    take; ``now`` is the time, as for ``receive_data``.

    Raises SnapshotError if the connection has faulted.
    """
    if session.faulted:
        raise SnapshotError("the connection is being closed")
    block = session.header_block
    inbound, outbound, allowance = session.inbound, session.outbound, session.allowance
    clear = allowance.is_clear(outbound.frames)
    # Calls that sent the same share their head, and so do their snapshots.
    heads: dict[RequestHead, int] = {}
    streams = [
        _freeze_stream(stream, heads.setdefault(stream.head, len(heads)))
        for stream in session.streams.values()
    ]
    return snapshot_pb2.SessionSnapshot(
        partial_input=session.partial_frame,
        unsent_output=unsent + outbound.framed(),
        preface_left=session.preface_left,
        settings_received=session.greeted,
        # Names and values in turn: a message for each field would take four times as long.
        hpack_entries=chain.from_iterable(session.decoder.entries),
        hpack_max_size=session.decoder.max_size,
        continuation_stream=0 if block is None else block.stream,
        continuation_end_stream=block is not None and block.end_stream,
        continuation_block=b"" if block is None else bytes(block.data),
        receive_window=inbound.receive_window,
        receive_unacknowledged=inbound.unacknowledged,
        window=inbound.window,
        held=inbound.held,
        waiting=inbound.waiting,
        send_window=outbound.send_window,
        flood_spent=session.flood.level(now),
        flood_unsettled=session.flood.unsettled,
        ping_strikes=0 if clear else allowance.strikes,
        free_updates=allowance.earned(outbound.frames),
        last_ping=None if clear or allowance.last_ping is None else now - allowance.last_ping,
        peer_initial_window=outbound.peer_initial_window,
        peer_max_frame_size=outbound.peer_max_frame_size,
        table_announced=outbound.table_announced,
        reset_streams=outbound.reset_streams,
        last_stream=session.last_stream,
        goaway_ping_sent=session.shutting_down,
        goaway_sent=session.goaway_sent,
        last_refused=session.last_refused,
        goaway_received=session.goaway_received,
        heads=[freeze_head(head) for head in heads],
        streams=streams,
    )


def thaw_session(snapshot: snapshot_pb2.SessionSnapshot, config: Config, now: float = 0.0) -> ServerSession:
    """The session that ``freeze_session`` saw; ``now`` may be by another clock than there.

    Raises SnapshotError for what no session could have been.
    """
    session = ServerSession(config)
    try:
        _restore(session, snapshot, now)
    except (ConnectionFault, StreamFault, ValueError) as error:
        raise SnapshotError(f"a session that cannot be: {error}") from error
    return session


def _restore(session: ServerSession, snapshot: snapshot_pb2.SessionSnapshot, now: float) -> None:
    if snapshot.preface_left > len(PREFACE):
        raise ValueError(f"{snapshot.preface_left} bytes of the preface are awaited")
    session.partial_frame = snapshot.partial_input
    session.preface_left = snapshot.preface_left
    session.greeted = snapshot.settings_received
    if session.greeted:
        session.next_type = None
    if snapshot.continuation_stream:
        session.next_type = CONTINUATION
        session.header_block = HeaderBlock(
            snapshot.continuation_stream,
            snapshot.continuation_end_stream,
            snapshot.continuation_block,
            session.config.max_header_list_bytes,
        )
    session.last_stream = snapshot.last_stream
    session.shutting_down = snapshot.goaway_ping_sent
    session.goaway_sent = snapshot.goaway_sent
    session.last_refused = snapshot.last_refused
    session.goaway_received = snapshot.goaway_received
    session.decoder.restore(pairs(snapshot.hpack_entries), snapshot.hpack_max_size)
    session.flood.restore(snapshot.flood_spent, snapshot.flood_unsettled, now)
    _restore_allowance(session.allowance, snapshot, now)
    _restore_inbound(session.inbound, snapshot)
    _restore_outbound(session.outbound, snapshot)
    heads = [thaw_head(each) for each in snapshot.heads]
    for each in snapshot.streams:
        if not each.id & 1 or each.id > session.last_stream or each.id in session.streams:
            raise ValueError(f"stream {each.id}, where the last is {session.last_stream}, or twice")
        session.outbound.thawed(_thaw_stream(each, heads))
    session.inbound.unsplit.has_room()  # if there is none, nothing comes of it


def _restore_allowance(allowance: Allowance, snapshot: snapshot_pb2.SessionSnapshot, now: float) -> None:
    allowance.strikes = snapshot.ping_strikes
    allowance.updates = snapshot.free_updates
    if snapshot.HasField("last_ping"):
        allowance.last_ping = now - snapshot.last_ping


def _restore_inbound(inbound: Inbound, snapshot: snapshot_pb2.SessionSnapshot) -> None:
    inbound.receive_window = snapshot.receive_window
    inbound.unacknowledged = snapshot.receive_unacknowledged
    inbound.resize(snapshot.window)
    inbound.held = snapshot.held
    inbound.waiting = snapshot.waiting


def _restore_outbound(outbound: Outbound, snapshot: snapshot_pb2.SessionSnapshot) -> None:
    if not MAX_FRAME_SIZE <= snapshot.peer_max_frame_size <= LARGEST_FRAME:
        raise ValueError(f"the peer's frames hold {snapshot.peer_max_frame_size} bytes")
    outbound.send_window = snapshot.send_window
    outbound.peer_initial_window = snapshot.peer_initial_window
    outbound.peer_max_frame_size = snapshot.peer_max_frame_size
    outbound.table_announced = snapshot.table_announced
    outbound.reset_streams = dict.fromkeys(snapshot.reset_streams[-outbound.most_reset :])
    if snapshot.unsent_output:
        outbound.control(snapshot.unsent_output)


def _freeze_stream(stream: Stream, head: int) -> snapshot_pb2.StreamSnapshot:
    """``head`` is the number of its head among those of the session's snapshot."""
    return snapshot_pb2.StreamSnapshot(
        id=stream.id,
        head=head,
        remote_closed=stream.remote_closed,
        headers_sent=stream.headers_sent,
        send_window=stream.send_window,
        receive_window=stream.receive_window,
        receive_unacknowledged=stream.receive_unacknowledged,
        held=stream.held,
        window=stream.window,
        partial_message=b"".join(stream.partial) if stream.unsplit is None else bytes(stream.unsplit),
        unsent=b"".join(stream.unsent or ()),
        trailers=stream.trailers or b"",
        encoding=stream.encoding,
        body_left=stream.body_left,
        work=stream.work,
    )


def _thaw_stream(snapshot: snapshot_pb2.StreamSnapshot, heads: Sequence[RequestHead]) -> Stream:
    """``heads`` are those of the session's snapshot. Raises ValueError for one that is not there."""
    if snapshot.head >= len(heads):
        raise ValueError(f"stream {snapshot.id} without its head")
    stream = Stream(
        snapshot.id,
        heads[snapshot.head],
        "",
        snapshot.send_window,
        snapshot.receive_window,
        snapshot.window,
        snapshot.body_left if snapshot.HasField("body_left") else None,
        snapshot.receive_unacknowledged,
        work=snapshot.work,
        held=snapshot.held,
        trailers=snapshot.trailers or None,
        headers_sent=snapshot.headers_sent,
        encoding=snapshot.encoding,
        remote_closed=snapshot.remote_closed,
    )
    if snapshot.unsent:
        stream.wait_to_send(snapshot.unsent)
    if snapshot.partial_message:
        _restore_partial(stream, snapshot.partial_message)
    return stream


def _restore_partial(stream: Stream, data: bytes) -> None:
    if len(data) >= MESSAGE_PREFIX:
        stream.wanted = MESSAGE_PREFIX + int.from_bytes(data[1:MESSAGE_PREFIX], "big")
    if len(data) < stream.wanted and not stream.remote_closed:
        stream.partial = [data]
        stream.partial_size = len(data)
    else:
        stream.unsplit = bytearray(data)
