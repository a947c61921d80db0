"""A snapshot on its way from hub to hub: inside PREPARE if it is small, else in a memfd beside it.

A memfd is written once and read in place; over the link the same bytes would be copied several times, in
portions, and hold up what comes behind them.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from actorrpc.loop.descriptors import close_now
from actorrpc.pb import control_pb2

__all__ = ["INLINE_BYTES", "packed", "unpacked"]

#: A snapshot up to this size travels inside its message.
INLINE_BYTES = 128 * 1024

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@contextmanager
def packed(prepare: control_pb2.Prepare, snapshot: bytes) -> Iterator[tuple[int, ...]]:
    """Put the snapshot into the message, or into a descriptor to send with it before the end of the block.

    Raises OSError if there is no memory or descriptor for it.
    """
    if len(snapshot) <= INLINE_BYTES:
        prepare.snapshot = snapshot
        yield ()
        return
    fd = os.memfd_create("actorrpc-snapshot", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        rest = memoryview(snapshot)
        while rest:
            rest = rest[os.write(fd, rest) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)  # nobody can take away what the target reads
        prepare.snapshot_bytes = len(snapshot)
        yield (fd,)
    finally:
        close_now(fd)


@contextmanager
def unpacked(prepare: control_pb2.Prepare, fds: Sequence[int], limit: int) -> Iterator[bytes | memoryview]:
    """The snapshot of a message, until the end of the block. The descriptors stay the caller's.

    Raises ValueError for one over the limit, or that is not all there.
    """
    size = prepare.snapshot_bytes
    if not size:
        yield prepare.snapshot
        return
    if not fds or os.fstat(fds[0]).st_size != size or fcntl.fcntl(fds[0], fcntl.F_GET_SEALS) != _SEALS:
        raise ValueError(f"a snapshot of {size} bytes is incomplete")
    if size > limit:
        raise ValueError(f"a snapshot of {size} bytes, over the limit of {limit}")
    with mmap.mmap(fds[0], size, prot=mmap.PROT_READ) as pages, memoryview(pages) as view:
        yield view
