"""From our data to records; keys are renewed between them."""

from __future__ import annotations

from dataclasses import dataclass

from actorrpc.tls.alerts import Alert, alert_message
from actorrpc.tls.limits import MAX_CONTENT, MAX_EPOCH, RECORDS_PER_KEY
from actorrpc.tls.protection import Protection
from actorrpc.tls.records import ALERT, APPLICATION_DATA, HANDSHAKE, key_update_message

__all__ = ["Outbound"]


@dataclass(slots=True, eq=False, repr=False)
class Outbound:
    """What we send in one direction of a connection."""

    protection: Protection
    #: The most content of a record.
    max_content: int = MAX_CONTENT
    #: A KeyUpdate goes before the next data: the peer has asked for it.
    answer_due: bool = False
    #: The next KeyUpdate is to ask for the peer's; and one has, and the peer's has not come.
    ask: bool = False
    asked: bool = False
    #: Our last record has been sealed.
    closed: bool = False
    #: A record that is to go, and that no data has to wait for.
    waiting: bytes = b""
    #: There is no further key, and the last one may seal no more.
    exhausted: bool = False
    records_per_key: int = RECORDS_PER_KEY

    def seal(self, data: bytes) -> bytes:
        """What waits, and the data in as few records as hold it. Nothing goes after our last record."""
        if self.closed:
            last, self.waiting = self.waiting, b""
            return last
        protection = self.protection
        size = len(data)
        due = self.answer_due or protection.sequence >= self.records_per_key - 1
        if size <= self.max_content and not due:
            if not size:
                return b""
            header, sealed = protection.seal_parts(APPLICATION_DATA, data)
            return header + sealed
        records: list[bytes] = []
        view = memoryview(data)
        for start in range(0, size, self.max_content):
            if self.answer_due or protection.sequence >= self.records_per_key - 1:
                records.append(self._renew())
                if self.exhausted:
                    break
            records += protection.seal_parts(APPLICATION_DATA, view[start : start + self.max_content])
        return b"".join(records)

    def end(self, description: int) -> None:
        """An alert is the last that goes."""
        if not self.closed:
            self.waiting = self._last(description)

    def _last(self, description: int) -> bytes:
        record = self.protection.seal(ALERT, alert_message(description))
        self.closed = True
        return record

    def _renew(self) -> bytes:
        """KeyUpdate under the old key; the new one is used from then on.

        After the last key there is none (RFC 9846, 4.7.3): a request is then ignored, and a key that may seal
        no more ends the connection.
        """
        protection = self.protection
        ask = self.ask and not self.asked
        self.answer_due = self.ask = False
        if protection.epoch == MAX_EPOCH:
            if protection.sequence < self.records_per_key - 1:
                return b""
            self.exhausted = True
            return self._last(Alert.INTERNAL_ERROR)
        record = protection.seal(HANDSHAKE, key_update_message(ask))
        protection.renew()
        self.asked = self.asked or ask
        return record
