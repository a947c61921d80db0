"""What actorrpc runs on: importing this raises ImportError on a Python that is too old.

It is imported before all else, and so any Python 3 can read it, and ``actorrpc/__init__.py``: no f-strings,
no ``from __future__``.
"""

import os
import sys

__all__ = ["OLDEST", "system_complaint"]

OLDEST = (3, 10)

#: Programs that end with one line, where others get the exception.
_COMMANDS = ("actorrpc", "protoc-gen-actorrpc")


def system_complaint() -> str:
    """Why nothing can be served on this system, as a line for a person; empty if it can."""
    system = str(sys.platform)
    return "" if system == "linux" else "actorrpc serves on Linux only, and this is " + system


def _check_python() -> None:
    found = sys.version_info[:2]
    if found >= OLDEST:
        return
    wanted, given = (".".join(map(str, version)) for version in (OLDEST, found))
    complaint = "actorrpc needs Python " + wanted + " or newer, and this is " + given
    if os.path.basename((getattr(sys, "argv", None) or [""])[0]) in _COMMANDS:
        sys.stderr.write("actorrpc: error: " + complaint + "\n")
        sys.exit(2)
    error = ImportError(complaint)
    error.name = "actorrpc"  # so that `python -m actorrpc` tells it in one line, too
    raise error


_check_python()
