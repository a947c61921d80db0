"""A connection's record layer as a message, and made of that message again in another process."""

from __future__ import annotations

from actorrpc.errors import ConfigError, SnapshotError
from actorrpc.pb import tls_pb2
from actorrpc.tls.inbound import Inbound
from actorrpc.tls.limits import MAX_CIPHERTEXT, MAX_CONTENT, MAX_IDLE_UPDATES
from actorrpc.tls.outbound import Outbound
from actorrpc.tls.ownership import Ownership
from actorrpc.tls.protection import Protection
from actorrpc.tls.record_layer import RecordLayer
from actorrpc.tls.records import HEADER
from actorrpc.tls.suites import SUITES

__all__ = ["freeze_records", "thaw_records"]


def freeze_records(layer: RecordLayer, unsent: bytes = b"") -> tls_pb2.TlsSnapshot:
    """All of a record layer, which seals nothing from now on, until it is told to ``resume``.

    ``unsent`` is what it has sealed and the transport has not written. Raises SnapshotError, and changes
    nothing, if the connection is being closed.
    """
    if layer.fault is not None or layer.truncated:
        raise SnapshotError("the connection is being closed")
    layer.begin_freeze()
    inbound, outbound = layer.inbound, layer.outbound
    return tls_pb2.TlsSnapshot(
        suite=outbound.protection.suite.number,
        sending_secret=bytes(outbound.protection.secret),
        sealed=outbound.protection.sequence,
        sending_epoch=outbound.protection.epoch,
        receiving_secret=bytes(inbound.protection.secret),
        opened=inbound.protection.sequence,
        receiving_epoch=inbound.protection.epoch,
        partial_record=bytes(inbound.partial_record),
        partial_message=inbound.partial_message,
        unsent=unsent,
        idle_updates=inbound.idle_updates,
        answer_due=outbound.answer_due,
        ask=outbound.ask,
        asked=outbound.asked,
        ended=inbound.ended,
        closed=outbound.closed,
        freezes=layer.freezes,
        work=inbound.work,
        max_content=outbound.max_content,
    )


def thaw_records(snapshot: tls_pb2.TlsSnapshot) -> RecordLayer:
    """The record layer that ``freeze_records`` saw. It seals and opens nothing until it is told to ``own``.

    Raises SnapshotError for what no record layer could have been, and where TLS is not served.
    """
    suite = SUITES.get(snapshot.suite)
    if suite is None:
        raise SnapshotError(f"cipher suite {snapshot.suite:#06x} is not known here")
    for secret in (snapshot.sending_secret, snapshot.receiving_secret):
        if len(secret) != suite.hash_length:
            raise SnapshotError(f"a secret of {len(secret)} bytes for {suite.name}")
    if (
        len(snapshot.partial_record) >= HEADER + MAX_CIPHERTEXT
        or len(snapshot.partial_message) > 4
        or snapshot.idle_updates > MAX_IDLE_UPDATES
        or not snapshot.freezes
        or not 0 < snapshot.max_content <= MAX_CONTENT
    ):
        raise SnapshotError("a record layer that cannot be")
    sending = Protection(suite, bytearray(snapshot.sending_secret), snapshot.sealed, snapshot.sending_epoch)
    receiving = Protection(
        suite, bytearray(snapshot.receiving_secret), snapshot.opened, snapshot.receiving_epoch
    )
    try:
        sending.prepare()  # now, while the source waits for nothing but READY
        receiving.prepare()
    except ConfigError as error:
        raise SnapshotError(str(error)) from error
    return RecordLayer(
        Inbound(
            receiving,
            snapshot.max_content,
            bytearray(snapshot.partial_record),
            snapshot.partial_message,
            ended=snapshot.ended,
            idle_updates=snapshot.idle_updates,
            work=snapshot.work,
        ),
        Outbound(
            sending,
            snapshot.max_content,
            answer_due=snapshot.answer_due,
            ask=snapshot.ask,
            asked=snapshot.asked,
            closed=snapshot.closed,
        ),
        Ownership.THAWED,
        snapshot.freezes,
        snapshot.unsent,
    )
