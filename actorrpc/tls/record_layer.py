"""The record layer of a connection after its handshake, sans-IO: a peer's bytes to data, data to records.

It knows no socket and no clock. It begins where OpenSSL's handshake ends (``take_over``), or where another
process has stopped (``actorrpc.tls.snapshot``). Its owner

- gives what it has received to ``receive``, and what that returns to the session; then it looks whether the
  client has ended or there is a fault (``ended``, ``fault``), and charges the flood budget (``take_work``),
  also where no data has come;
- gives what the session sends to ``send``, and writes what that returns: each of these bytes once, in
  order, and before anything that is sealed later. It seals when the transport can write, so that little is
  sealed and not written. After a fault ``send()`` returns the alert that is to be written last;
- says ``receive_eof`` when the transport has ended, and writes what ``close`` returns before it ends it
  itself;
- calls ``rest`` when the connection is idle, which frees 5 kB, and ``release`` when it has been closed.

In a handoff (docs/design/handoff.md) it calls

- ``freeze_records`` where the source freezes, after ``Transport.freeze``, with the bytes that the transport
  has not written. From then on nothing is sealed or opened;
- ``resume`` where the source serves again, for whatever reason. The transport still has its unwritten bytes;
- ``release`` where the source lets go, once the kernel has taken COMMIT, and where a target discards;
- ``thaw_records`` where the target thaws, and ``own`` where it has the socket, which COMMIT brings. COMMIT
  says ``freezes`` of the source. What ``own`` returns is written first.

``actorrpc.tls.ownership`` says why.
"""

from __future__ import annotations

from dataclasses import dataclass

from actorrpc.errors import TlsFault
from actorrpc.tls.alerts import Alert
from actorrpc.tls.inbound import Inbound
from actorrpc.tls.limits import MAX_CONTENT
from actorrpc.tls.outbound import Outbound
from actorrpc.tls.ownership import OWNERSHIP, Ownership, OwnershipEvent
from actorrpc.tls.protection import Protection
from actorrpc.tls.suites import Octets, Suite

__all__ = ["RecordLayer", "take_over"]

_OWNED = Ownership.OWNED


@dataclass(slots=True, eq=False, repr=False)
class RecordLayer:
    """Both directions of a connection. See the module's docstring for what its owner does.

    What is called while it is not owned raises RuntimeError, and changes nothing.
    """

    inbound: Inbound
    outbound: Outbound
    ownership: Ownership = Ownership.OWNED
    #: How often it has been frozen, in all processes.
    freezes: int = 0
    #: Sealed by the process that it comes from, and not written: only until ``own``.
    unsent: bytes = b""
    #: What has ended it: the peer broke TLS, or said that something is wrong (``fault.received``).
    fault: TlsFault | None = None
    #: The transport has ended before the peer said that it sends no more: what it sent may have been cut off.
    truncated: bool = False
    #: Nothing has come but data since ``take_work`` was last called: no work, no fault, no end.
    quiet: bool = True

    def receive(self, data: Octets) -> bytes:
        """Take bytes from the peer and return the data in them; b"" if there is none.

        Never raises for what a peer may send: see ``fault``, after which input is ignored.
        """
        if self.ownership is not _OWNED:
            self._demand_ownership()
        if self.fault is not None:
            return b""
        inbound = self.inbound
        pieces: list[Octets] = []
        try:
            inbound.receive(data, pieces)
        except TlsFault as fault:
            # Its traceback refers to this data: only the garbage collector would free it.
            self._fail(fault.with_traceback(None))
        if inbound.work or inbound.ended:
            self.quiet = False
        if inbound.updated:
            self._on_update()
        if inbound.protection.sequence >= self.outbound.records_per_key:
            self._ask_for_update()
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def receive_eof(self) -> None:
        """The transport has ended: nothing more comes."""
        self.truncated = not self.inbound.ended and self.fault is None

    @property
    def ended(self) -> bool:
        """Whether the peer has said that it sends no more (close_notify)."""
        return self.inbound.ended

    def send(self, data: bytes = b"") -> bytes:
        """The records that are to be written now: of this data, and what else waits.

        After ``close``, or with a fault, data is dropped.
        """
        if self.ownership is not _OWNED:
            self._demand_ownership()
        outbound = self.outbound
        records = outbound.seal(data)
        if outbound.exhausted and self.fault is None:
            self._fail(TlsFault(Alert.INTERNAL_ERROR, "no more keys may be derived for this connection"))
        return records

    def close(self) -> bytes:
        """Say that we send no more (close_notify); returns what is to be written, last of all."""
        self._demand_ownership()
        self.outbound.end(Alert.CLOSE_NOTIFY)
        return self.outbound.seal(b"")

    def fail(self, fault: TlsFault) -> None:
        """End it for a reason of ours; ``send`` returns the alert."""
        self._demand_ownership()
        if self.fault is None:
            self._fail(fault)

    def take_work(self) -> int:
        """What the peer has caused for nothing since this was last asked, in units of the flood budget."""
        work, self.inbound.work = self.inbound.work, 0
        self.quiet = self.fault is None and not self.inbound.ended
        return work

    def rest(self) -> None:
        """Let go of what is made again for the next record, within a microsecond."""
        self.inbound.protection.rest()
        self.outbound.protection.rest()

    def resume(self) -> None:
        """Go on after a freeze that led to nothing."""
        self._step(OwnershipEvent.RESUME)

    def own(self, freezes: int) -> bytes:
        """Go on where the other process stopped: the socket is here. Returns what is to be written first.

        Raises RuntimeError if COMMIT is of another freeze than the snapshot.
        """
        if freezes != self.freezes:
            raise RuntimeError(f"COMMIT is of freeze {freezes}, and the snapshot of freeze {self.freezes}")
        self._step(OwnershipEvent.OWN)
        unsent, self.unsent = self.unsent, b""
        return unsent

    def release(self) -> None:
        """Overwrite the secrets: it has moved, or has ended."""
        self._step(OwnershipEvent.RELEASE)
        self.inbound.protection.wipe()
        self.outbound.protection.wipe()
        self.unsent = b""

    def begin_freeze(self) -> None:
        """Stop, and number the stop: for ``freeze_records``."""
        self._step(OwnershipEvent.FREEZE)
        self.freezes += 1

    def _step(self, event: OwnershipEvent) -> None:
        step = OWNERSHIP.get((self.ownership, event))
        if step is None:
            raise RuntimeError(f"{event.name} of a record layer that is {self.ownership.name}")
        self.ownership = step

    def _demand_ownership(self) -> None:
        if self.ownership is not _OWNED:
            raise RuntimeError(f"a record layer that is {self.ownership.name} seals and opens nothing")

    def _fail(self, fault: TlsFault) -> None:
        self.fault = fault
        self.quiet = False
        self.inbound.partial_record.clear()
        if fault.received:
            self.outbound.closed = True  # nothing more may be sent (RFC 9846, 6)
            self.outbound.waiting = b""
        else:
            self.outbound.end(fault.alert)
        self.inbound.protection.wipe()  # RFC 9846, 6: the keys of a failed connection are forgotten
        self.outbound.protection.wipe()

    def _on_update(self) -> None:
        inbound, outbound = self.inbound, self.outbound
        inbound.updated = False
        outbound.ask = outbound.asked = False
        if inbound.update_requested:
            inbound.update_requested = False
            outbound.answer_due = True

    def _ask_for_update(self) -> None:
        """The peer's key has sealed as much as ours would. It may not watch that itself: OpenSSL does not."""
        outbound = self.outbound
        if not (outbound.ask or outbound.asked):
            outbound.ask = outbound.answer_due = True

    def __repr__(self) -> str:
        state = self.ownership.name.lower()
        sealed, opened = self.outbound.protection, self.inbound.protection
        return (
            f"<RecordLayer {state}, sealed {sealed.sequence}, opened {opened.sequence}, {opened.suite.name}>"
        )


def take_over(
    suite: Suite,
    sending_secret: bytes,
    receiving_secret: bytes,
    *,
    sealed: int = 0,
    opened: int = 0,
    max_content: int = 0,
) -> RecordLayer:
    """Go on after a handshake, with the application traffic secrets of both sides, the server's first on a
    server.

    ``sealed`` and ``opened``: how many records OpenSSL has sealed and opened with them. It seals two
    NewSessionTickets, unless it was told not to. Bytes that it has not been given go to ``receive``.
    ``max_content``: what both sides have agreed on as the most content of a record (RFC 6066, 4); 0: nothing.
    """
    return RecordLayer(
        Inbound(Protection(suite, bytearray(receiving_secret), opened), max_content or MAX_CONTENT),
        Outbound(Protection(suite, bytearray(sending_secret), sealed), max_content or MAX_CONTENT),
    )
