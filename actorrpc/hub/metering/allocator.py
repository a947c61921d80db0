"""How much memory C code has allocated. Protobuf's messages are in it, and Python does not see it.

glibc's mallinfo2(3) tells it, or before glibc 2.33 mallinfo(3), whose numbers are the same modulo 2^32. To
ask takes some microseconds, more if much free memory lies between what is used.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from google.protobuf.internal import api_implementation

__all__ = ["trim", "used"]

_FIELDS = (
    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
)  # fmt: skip


def _mallinfo(name: str, number: Any) -> Callable[[], int] | None:
    """What tells the bytes in use by the function of that name; None where libc does not have it."""
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


def _find_trim() -> Callable[[], None] | None:
    function = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return None if function is None else lambda: function(ctypes.c_size_t(0))


#: Give the kernel back what is free, malloc_trim(3): glibc keeps it, where something that is used lies behind
#: it. None with another libc.
trim = _find_trim()

#: The bytes in use, modulo 2^32, to take differences of. None with another libc, and where messages are made
#: of Python's objects.
used = _find()
