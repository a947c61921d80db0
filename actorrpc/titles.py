"""What lists of processes show of this one: its role, and how busy it is.

By setproctitle, which the extra ``titles`` brings. Where it is not installed a process keeps its command
line.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Title"]


class Title:
    """The title of this process, ``actorrpc: ROLE`` and what is shown after it."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._shown = ""
        self._set = _found()
        self.show(", starting")

    def show(self, what: str) -> None:
        """Show this after the role. May be called often: mostly it is what is shown already."""
        if self._set is not None and what != self._shown:
            self._shown = what
            self._set(f"actorrpc: {self._role}{what}")

    def __repr__(self) -> str:
        return f"<Title {self._role}{self._shown}>"


def _found() -> Callable[[str], None] | None:
    try:
        from setproctitle import setproctitle
    except ImportError:
        return None
    return setproctitle
