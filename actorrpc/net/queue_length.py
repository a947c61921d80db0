"""How many clients wait to be accepted from a listening socket."""

from __future__ import annotations

import os
import socket
import struct

from actorrpc.net.sockets import PlainSocket

__all__ = ["queue_length"]

#: ``tcpi_unacked`` in struct tcp_info (linux/tcp.h): for a listening socket, the length of its queue.
_TCP_INFO = struct.Struct("=24xI")

#: Of a unix socket only sock_diag(7) tells: a request for the one with this inode, and the attribute with its
#: queue's length.
_NETLINK_SOCK_DIAG = 4
_BY_FAMILY = 20
_REQUEST = 1
_SHOW_LENGTH = 0x10
_LENGTH = 4
_HEAD = struct.Struct("=IHHII")
_ASK = struct.Struct("=BBHIIIII")
_TOLD = struct.Struct("=BBBBIII")
_ATTRIBUTE = struct.Struct("=HH")
_ANY_COOKIE = 0xFFFFFFFF


def queue_length(sock: socket.socket) -> int:
    """How many there are; 0 where the kernel does not tell, which may lack sock_diag(7) or forbid it."""
    if sock.family != socket.AF_UNIX:
        return int(_TCP_INFO.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))[0])
    try:
        return _of_unix(os.fstat(sock.fileno()).st_ino)
    except OSError:
        return 0


def _of_unix(inode: int) -> int:
    with PlainSocket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as asker:
        asker.settimeout(0)  # it answers before ``send`` returns
        size = _HEAD.size + _ASK.size
        head = _HEAD.pack(size, _BY_FAMILY, _REQUEST, 0, 0)
        ask = _ASK.pack(socket.AF_UNIX, 0, 0, 0, inode, _SHOW_LENGTH, _ANY_COOKIE, _ANY_COOKIE)
        asker.send(head + ask)
        return _read(asker.recv(4096))


def _read(answer: bytes) -> int:
    size, kind, *_ = _HEAD.unpack_from(answer)
    at = _HEAD.size + _TOLD.size
    while kind == _BY_FAMILY and at + _ATTRIBUTE.size <= size:
        length, attribute = _ATTRIBUTE.unpack_from(answer, at)
        if attribute == _LENGTH:
            return int(struct.unpack_from("=I", answer, at + _ATTRIBUTE.size)[0])
        at += -(-max(length, _ATTRIBUTE.size) // 4) * 4
    return 0
