"""What to say when no broker answers: where we looked, where one may be, and how to name that one."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator
from glob import glob

from actorrpc.broker.host.runtime_dir import RuntimeDir

__all__ = ["forbidden", "nobody_there"]

#: Where directories are by default, of whichever user.
_DEFAULTS = ("/tmp/actorrpc-*", "/run/user/*/actorrpc")

_UNKNOWN = (
    "if it was started with another --runtime-dir or $XDG_RUNTIME_DIR, or by another user, give --runtime-dir"
)


def nobody_there(directory: RuntimeDir) -> str:
    """Say that no broker runs in a directory, and, if nobody named it, which other one may be meant."""
    said = f"no broker runs in {directory.path}"
    if not directory.origin:
        return said
    return f"{said} ({directory.origin}); {next(_others(directory), _UNKNOWN)}"


def forbidden(directory: RuntimeDir) -> str:
    """Say that this user may not look into a directory, and whose it is."""
    origin = f" ({directory.origin})" if directory.origin else ""
    path, owner = _visible(directory.path)
    return (
        f"permission denied in {directory.path}{origin}: {path} belongs to {owner}. Run this as {owner}, or "
        "name another broker's directory with --runtime-dir"
    )


def _user(uid: int) -> str:
    """A user's name, or number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _others(directory: RuntimeDir) -> Iterator[str]:
    """Other directories that may have been meant: first those of this user in which a broker lives."""
    theirs = []
    for path in sorted(path for pattern in _DEFAULTS for path in glob(pattern)):
        uid = _owner(path)
        if uid is None or path == directory.path:
            continue
        if uid != os.geteuid():
            # Only named: whoever owns it may have put anything there.
            theirs.append(f"{path} is that of {_user(uid)}: as {_user(uid)}, give --runtime-dir {path}")
        elif (holder := RuntimeDir(path).holder()) is not None:
            yield f"one runs in {path} (pid {holder.pid}): give --runtime-dir {path}"
    yield from theirs


def _owner(path: str) -> int | None:
    """The user whose default a directory is; None if it is not what its name says."""
    match = re.search(r"[-/](\d+)(?:/actorrpc)?$", path)
    try:
        uid = os.lstat(path).st_uid
    except OSError:
        return None
    return uid if match and int(match[1]) == uid else None


def _visible(path: str) -> tuple[str, str]:
    """The directory, or the nearest above it that this user can see, and its owner."""
    while path != os.path.dirname(path):
        try:
            return path, _user(os.stat(path).st_uid)
        except OSError:
            path = os.path.dirname(path)
    return path, _user(0)
