"""Asking a process one question over its unix socket, and waiting for the answer. Imports no gevent."""

from __future__ import annotations

import errno
import socket
import time
from typing import TypeVar

from google.protobuf.message import Message

from actorrpc.ipc.framing import BrokenFrame, FrameReader, encode

__all__ = ["request"]

Reply = TypeVar("Reply", bound=Message)


def request(path: str, message: Message, reply_type: type[Reply], timeout: float | None) -> Reply:
    """Send one message to the unix socket at ``path`` and return the reply, blocking.

    Raises TimeoutError after ``timeout`` seconds, other OSErrors if nobody listens, or what comes is not a
    whole answer.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout)
        sock.connect(path)
        sock.sendall(encode(message))
        return reply_type.FromString(_receive(sock, deadline))


def _receive(sock: socket.socket, deadline: float | None) -> bytes:
    """The payload of the first frame."""
    reader = FrameReader()
    try:
        while (frame := reader.next_frame()) is None:
            if deadline is not None:
                sock.settimeout(max(deadline - time.monotonic(), 0.001))
            if not (chunk := sock.recv(65_536)):
                raise ConnectionResetError(
                    errno.ECONNRESET, "the connection was closed before the answer came"
                )
            reader.receive(chunk)
    except BrokenFrame as error:
        raise OSError(errno.EPROTO, str(error)) from error
    return frame[0]
