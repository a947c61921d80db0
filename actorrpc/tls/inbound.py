"""From a peer's bytes to its data: records are opened, and what is not data is obeyed or refused."""

from __future__ import annotations

from dataclasses import dataclass, field

from actorrpc.errors import TlsFault
from actorrpc.tls.alerts import Alert, alert_name
from actorrpc.tls.limits import MAX_CIPHERTEXT, MAX_CONTENT, MAX_IDLE_UPDATES, Price
from actorrpc.tls.protection import Protection
from actorrpc.tls.records import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    HEADER,
    KEY_UPDATE,
    RECORD_HEADER,
    content_of,
)
from actorrpc.tls.suites import TAG, Octets

__all__ = ["Inbound"]

#: Bytes of a sealed record, without padding, that pays nothing.
_LEAST = Price.SMALL + 1 + TAG

#: Up to so many bytes are copied where a view would do.
_SMALL = 2048


@dataclass(slots=True, eq=False, repr=False)
class Inbound:
    """What the peer sends. ``receive`` raises TlsFault for what it may not, and is then not called again."""

    protection: Protection
    #: The most content of a record.
    max_content: int = MAX_CONTENT
    #: Bytes of a record that has not come to its end.
    partial_record: bytearray = field(default_factory=bytearray)
    #: Bytes of a KeyUpdate that has not come to its end.
    partial_message: bytes = b""
    #: The peer has said that it sends no more.
    ended: bool = False
    #: KeyUpdates since data came last.
    idle_updates: int = 0
    #: The peer has changed its key since it was last asked here; and has asked for ours to be changed.
    updated: bool = False
    update_requested: bool = False
    #: What records have cost that brought nothing, in units of the flood budget.
    work: int = 0

    def receive(self, data: Octets, pieces: list[Octets]) -> None:
        """Add the data of each record that has come to its end to ``pieces``, also if it raises then."""
        if self.ended:
            return  # RFC 9846, 6.1
        # A copy of a small slice takes less than a view of it, and is opened sooner.
        view = data if len(data) <= _SMALL else memoryview(data)
        position = self._complete(view, pieces) if self.partial_record else 0
        position = self._open(view, position, pieces)
        if position < len(view) and not self.ended:
            self.partial_record += view[position:]

    def _complete(self, data: Octets, pieces: list[Octets]) -> int:
        """Add to the partial record what is its own, and open it if it is whole; return where the next one
        begins."""
        partial = self.partial_record
        position = 0
        if len(partial) < HEADER:
            position = HEADER - len(partial)
            partial += data[:position]
            if len(partial) < HEADER:
                return len(data)
        end = position + HEADER + _length(partial) - len(partial)
        if end > position:
            partial += data[position:end]
            position = end
        if position > len(data):
            return len(data)
        self.partial_record = bytearray()  # and not cleared: it is opened where it is
        self._open(memoryview(partial), 0, pieces)
        return len(data) if self.ended else position

    def _open(self, data: Octets, position: int, pieces: list[Octets]) -> int:
        """Open the whole records from a position on; return where the first incomplete one begins.

        Plain and long, as is what it calls: a call on a connection that has rested runs it on cold caches.
        """
        end = len(data)
        unpack = RECORD_HEADER.unpack_from
        protection = self.protection
        most = self.max_content + 1 + TAG
        while end - position >= HEADER:
            type_, _, length = unpack(data, position)
            if type_ != APPLICATION_DATA or length > MAX_CIPHERTEXT:
                raise _header_fault(type_, length)
            begin = position + HEADER
            after = begin + length
            if after > end:
                break
            inner = protection.open(data[position:begin], data[begin:after])
            position = after
            if length >= _LEAST and inner[-1] == APPLICATION_DATA and length <= most:
                if self.partial_message:
                    raise _interleaved()
                pieces.append(inner[:-1] if length <= _SMALL else memoryview(inner)[:-1])
                self.idle_updates = 0
            else:
                self._take(inner, pieces)
                if self.ended:
                    break
        return position

    def _take(self, inner: bytes, pieces: list[Octets]) -> None:
        """A record that is small, padded, or no data."""
        if len(inner) > self.max_content + 1:
            raise TlsFault(Alert.RECORD_OVERFLOW, f"a record of {len(inner) - 1} bytes")
        type_, content = content_of(inner)
        if self.partial_message and type_ != HANDSHAKE:
            raise _interleaved()
        self.work += (len(inner) - len(content)) // Price.PADDING
        if len(content) < Price.SMALL:
            self.work += Price.RECORD
        if type_ == APPLICATION_DATA:
            if content:
                pieces.append(content)
                self.idle_updates = 0
        elif type_ == HANDSHAKE:
            self._on_handshake(content)
        elif type_ == ALERT:
            self._on_alert(content)
        elif not type_:
            raise TlsFault(Alert.UNEXPECTED_MESSAGE, "a record of nothing but padding")
        else:
            raise TlsFault(Alert.UNEXPECTED_MESSAGE, f"a record of type {type_}")

    def _on_handshake(self, content: bytes) -> None:
        if not content:
            raise TlsFault(Alert.UNEXPECTED_MESSAGE, "an empty handshake record")
        message = self.partial_message + content
        if message[0] != KEY_UPDATE:
            raise TlsFault(Alert.UNEXPECTED_MESSAGE, f"a handshake message of type {message[0]}")
        if message[1:4] != b"\0\0\1"[: len(message) - 1]:
            raise TlsFault(Alert.DECODE_ERROR, "a KeyUpdate of another length than 1")
        if len(message) < 5:
            self.partial_message = message
            return
        if len(message) > 5:  # RFC 9846, 5.1: the key changes with it
            raise TlsFault(Alert.UNEXPECTED_MESSAGE, "a KeyUpdate that does not end its record")
        if message[4] > 1:
            raise TlsFault(Alert.ILLEGAL_PARAMETER, f"a KeyUpdate with request {message[4]}")
        self.partial_message = b""
        self.idle_updates += 1
        if self.idle_updates > MAX_IDLE_UPDATES:
            raise TlsFault(Alert.UNEXPECTED_MESSAGE, "too many KeyUpdates without data between them")
        self.work += Price.KEY_UPDATE
        self.protection.renew()
        self.updated = True
        if message[4]:
            self.update_requested = True

    def _on_alert(self, content: bytes) -> None:
        if len(content) != 2:
            alert = Alert.DECODE_ERROR if content else Alert.UNEXPECTED_MESSAGE
            raise TlsFault(alert, f"an alert of {len(content)} bytes")
        description = content[1]  # its level means nothing (RFC 9846, 6)
        if description == Alert.CLOSE_NOTIFY:
            self.ended = True
        elif description != Alert.USER_CANCELED:
            text = f"the client ended the connection with {alert_name(description)}"
            raise TlsFault(description, text, received=True)


def _length(header: bytearray) -> int:
    """The length of the record that begins so, or less if it is one to be refused now."""
    type_, _, length = RECORD_HEADER.unpack_from(header)
    return length if type_ == APPLICATION_DATA and length <= MAX_CIPHERTEXT else 0


def _header_fault(type_: int, length: int) -> TlsFault:
    if type_ == APPLICATION_DATA:
        return TlsFault(Alert.RECORD_OVERFLOW, f"a record of {length} bytes")
    if type_ == CHANGE_CIPHER_SPEC:  # the client's Finished has come: RFC 9846, 5
        return TlsFault(Alert.UNEXPECTED_MESSAGE, "change_cipher_spec after the handshake")
    return TlsFault(Alert.UNEXPECTED_MESSAGE, f"a record of type {type_} that is not protected")


def _interleaved() -> TlsFault:
    return TlsFault(Alert.UNEXPECTED_MESSAGE, "a record between the parts of a KeyUpdate")
