"""The PROXY protocol, versions 1 and 2: what a proxy says of its client before the client's first byte.

https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt. Does no I/O. A header says how long it is, so
that not one byte is taken that comes after it.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from actorrpc.net.addresses import address_text, without_mapping

__all__ = ["LONGEST", "ProxyFacts", "ProxyHeader", "ProxyHeaderError"]

#: The longest header that is taken: what HAProxy's buffer has room for.
LONGEST = 16 * 1024

_LINE, _BINARY = b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"
#: The longest line of version 1, with its end; and what tells the two versions apart.
_LONGEST_LINE = 107
_SIGNATURE = len(_BINARY)
_FIXED = 16

_LOCAL, _PROXIED = 0x20, 0x21
#: By family and transport, how long the addresses are.
_UNKNOWN, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_ADDRESSES = {_TCP4: 12, _TCP6: 36, _UNIX: 216}
_DATAGRAMS = (0x12, 0x22, 0x32)

_ALPN, _AUTHORITY, _CHECKSUM, _UNIQUE_ID, _TLS = 0x01, 0x02, 0x03, 0x05, 0x20
_VERSION, _COMMON_NAME, _CIPHER = 0x21, 0x22, 0x23
#: In the first byte of what is said of TLS: it was spoken, and a certificate was shown now, or in the session
#: that was resumed.
_SPOKEN, _CERTIFICATE = 0x01, 0x02 | 0x04

_PORT = re.compile(r"0|[1-9][0-9]{0,4}")


class ProxyHeaderError(Exception):
    """What came is no header, or one that contradicts itself. The text is for people."""


@dataclass(frozen=True)
class ProxyFacts:
    """What a proxy has said of its client beside the address (version 2)."""

    #: The host name that the client wanted: of TLS (SNI), or of HTTP.
    authority: str = ""
    #: What the two have agreed on to speak (ALPN).
    alpn: bytes = b""
    unique_id: bytes = b""
    #: The client spoke TLS with the proxy: in this version, with this cipher.
    tls: bool = False
    tls_version: str = ""
    cipher: str = ""
    #: It has shown a certificate, and the proxy has found that in order.
    certificate: bool = False
    verified: bool = False
    #: The subject's, in the certificate. Without ``verified`` anybody may have written it.
    common_name: str = ""


class ProxyHeader:
    """One header, as it comes. ``feed`` takes bytes until it is ``done``."""

    def __init__(self) -> None:
        self.done = False
        #: The client's address; "": the proxy itself speaks, or does not know its client.
        self.peer = ""
        self.facts: ProxyFacts | None = None
        self._received = bytearray()
        self._wanted = _SIGNATURE

    def feed(self, data: bytes) -> int:
        """Take what came. Returns how many of its bytes belong to the header: all, until it is ``done``.

        Raises ProxyHeaderError as soon as it is known not to be one.
        """
        taken = 0
        while not self.done and taken < len(data):
            piece = data[taken : taken + self._wanted - len(self._received)]
            self._received += piece
            taken += len(piece)
            self._look()
        return taken

    def _look(self) -> None:
        received = self._received
        if received[:6] == _LINE[: len(received)]:
            self._look_at_line()
        elif received[:_SIGNATURE] == _BINARY[: len(received)]:
            self._look_at_binary()
        else:
            raise ProxyHeaderError(f"it begins with {bytes(received)!r}")

    def _look_at_line(self) -> None:
        received = self._received
        end = received.find(b"\r")
        if 0 <= end < len(received) - 1:
            if received[end:] != b"\r\n":
                raise ProxyHeaderError(f"its line has no end: {bytes(received)!r}")
            self._read_line(bytes(received[:end]))
        elif len(received) >= _LONGEST_LINE:
            raise ProxyHeaderError(f"its line is longer than {_LONGEST_LINE} bytes")
        elif len(received) >= _SIGNATURE:
            self._wanted = min(len(received) + (1 if end >= 0 else 2), _LONGEST_LINE)

    def _read_line(self, line: bytes) -> None:
        self.done = True
        words = line.decode("latin-1").split(" ")
        if words[1] == "UNKNOWN":
            return
        try:
            kind, source, destination, *ports = words[1:]
            family = {"TCP4": IPv4Address, "TCP6": IPv6Address}[kind]
            host, _ = family(source), family(destination)
            if len(ports) != 2 or not all(map(_is_port, ports)) or "%" in source + destination:
                raise ValueError
        except (KeyError, ValueError):
            raise ProxyHeaderError(f"its line cannot be read: {line!r}") from None
        mapped = host.ipv4_mapped if isinstance(host, IPv6Address) else None
        self.peer = address_text((str(mapped or host), int(ports[0])))

    def _look_at_binary(self) -> None:
        received = self._received
        if len(received) < _FIXED:
            self._wanted = _FIXED
            return
        command, family, length = struct.unpack_from(">BBH", received, _SIGNATURE)
        if len(received) == _FIXED:
            self._check_fixed(command, family, length)
        self._wanted = _FIXED + length
        if len(received) == self._wanted:
            self._read_binary(command, family, bytes(received))

    def _check_fixed(self, command: int, family: int, length: int) -> None:
        if command not in (_LOCAL, _PROXIED):
            raise ProxyHeaderError(f"its version and command, {command:#04x}, are not known")
        if length > LONGEST - _FIXED:
            raise ProxyHeaderError(f"it is of {_FIXED + length} bytes, and {LONGEST} are taken")
        if command == _LOCAL or family == _UNKNOWN:
            return
        if family in _DATAGRAMS:
            raise ProxyHeaderError("it is of datagrams")
        if family not in _ADDRESSES:
            raise ProxyHeaderError(f"its family and transport, {family:#04x}, are not known")
        if length < _ADDRESSES[family]:
            raise ProxyHeaderError("it is too short for its addresses")

    def _read_binary(self, command: int, family: int, header: bytes) -> None:
        self.done = True
        if command == _LOCAL or family == _UNKNOWN:  # then nothing that it says counts
            return
        end = _FIXED + _ADDRESSES[family]
        self.facts = _facts(header, end)
        self.peer = _source(family, header[_FIXED:end])

    def __repr__(self) -> str:
        return f"<ProxyHeader {len(self._received)} bytes{', done' * self.done}>"


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text) <= 65_535


def _source(family: int, addresses: bytes) -> str:
    if family == _TCP4:
        (port,) = struct.unpack_from(">H", addresses, 8)
        return address_text((socket.inet_ntop(socket.AF_INET, addresses[:4]), port))
    if family == _TCP6:
        (port,) = struct.unpack_from(">H", addresses, 32)
        return address_text((without_mapping(socket.inet_ntop(socket.AF_INET6, addresses[:16])), port))
    path = addresses[:108]
    return address_text(path[:1] + path[1:].partition(b"\0")[0] if path.strip(b"\0") else b"")


def _facts(header: bytes, start: int) -> ProxyFacts | None:
    """What stands in a header from there on; None if that is nothing that is known."""
    found = _known(header, start, len(header))
    if _CHECKSUM in found:
        at, value = found[_CHECKSUM]
        blank = header[:at] + bytes(len(value)) + header[at + len(value) :]
        if value != struct.pack(">I", _crc32c(blank)):
            raise ProxyHeaderError("its checksum is wrong")
    told: dict[str, object] = {}
    if _TLS in found:
        told = _tls_facts(header, *found[_TLS])
    for kind, name in ((_ALPN, "alpn"), (_UNIQUE_ID, "unique_id")):
        if kind in found:
            told[name] = found[kind][1]
    if _AUTHORITY in found:
        told["authority"] = _text(found[_AUTHORITY][1])
    return ProxyFacts(**told) if told else None  # type: ignore[arg-type]


def _tls_facts(header: bytes, at: int, value: bytes) -> dict[str, object]:
    if len(value) < 5:
        raise ProxyHeaderError("what it says of TLS is too short")
    flags, verify = struct.unpack_from(">BI", value)
    found = _known(header, at + 5, at + len(value))
    told: dict[str, object] = {
        name: _text(found[kind][1])
        for kind, name in ((_VERSION, "tls_version"), (_COMMON_NAME, "common_name"), (_CIPHER, "cipher"))
        if kind in found
    }
    certificate = bool(flags & _CERTIFICATE)
    return {
        **told,
        "tls": bool(flags & _SPOKEN),
        "certificate": certificate,
        "verified": certificate and verify == 0,
    }


def _known(header: bytes, start: int, end: int) -> dict[int, tuple[int, bytes]]:
    """The values in a part of a header by kind, each with its place."""
    found: dict[int, tuple[int, bytes]] = {}
    for kind, at, value in _values(header, start, end):
        if kind in found and kind in (_ALPN, _AUTHORITY, _CHECKSUM, _UNIQUE_ID, _TLS, _VERSION, _COMMON_NAME):
            raise ProxyHeaderError(f"it says {kind:#04x} twice")
        found[kind] = at, value
    return found


def _values(header: bytes, start: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    while start < end:
        if end - start < 3:
            raise ProxyHeaderError("its last value is cut off")
        kind, length = struct.unpack_from(">BH", header, start)
        start += 3
        if length > end - start:
            raise ProxyHeaderError(f"its value {kind:#04x} is longer than what is left of it")
        yield kind, start, header[start : start + length]
        start += length


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _crc32c(data: bytes) -> int:
    """CRC-32C (RFC 9260, appendix A). Headers are short, and few have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
