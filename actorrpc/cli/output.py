"""Standard output that cannot be written: its reader has gone, or a disk is full."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

__all__ = ["is_of_output", "written"]


def is_of_output(error: OSError) -> bool:
    """Whether it came from printing: then the innermost frame is a write to standard output, by ``print`` or
    by click, since what is written in Python's C has no frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    name = str(trace.tb_frame.f_globals.get("__name__", ""))
    return name.startswith(("click.", "actorrpc.cli"))


def written() -> OSError | None:
    """Write what a command has printed so far. Returns why that cannot be done; then nothing more is
    printed."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        # Else Python tries again when it ends, and complains.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return error
    return None
