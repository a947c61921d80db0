"""How much memory C code has of the allocator: what Protobuf's messages are made of, and Python does not see.

It is glibc's mallinfo2(3), or mallinfo(3) before 2.33, whose numbers are those of mallinfo2 modulo 2^32. Each
look takes some microseconds, more where much that is free lies between what is used.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from google.protobuf.internal import api_implementation

__all__ = ["used"]

_FIELDS = (
    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
)  # fmt: skip


def _mallinfo(name: str, number: Any) -> Callable[[], int] | None:
    """The bytes that are used, by that function; None where there is none."""
    function = getattr(ctypes.CDLL(None), name, None)
    if function is None:
        return None
    function.restype = type(name, (ctypes.Structure,), {"_fields_": [(field, number) for field in _FIELDS]})

    def used() -> int:
        found = function()
        return int(found.uordblks + found.hblkhd) % (1 << 32)

    return used


def _find() -> Callable[[], int] | None:
    if api_implementation.Type() != "upb":
        return None
    return _mallinfo("mallinfo2", ctypes.c_size_t) or _mallinfo("mallinfo", ctypes.c_int)


#: Bytes that are used, modulo 2^32: of use for differences. None where nobody can say, with another libc, or
#: where messages are made of Python's objects.
used = _find()
