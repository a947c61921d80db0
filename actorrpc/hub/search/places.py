"""``Places``: where any actor is: the directory knows that of keyed ones, and a search finds those of
connections."""

from __future__ import annotations

from collections.abc import Callable

from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.directory.directory import Directory
from actorrpc.hub.directory.names import Location, Name, connection_of, gone, is_keyed, service_of
from actorrpc.hub.search.search import Found, Search

__all__ = ["Places"]


class Places:
    """The ``Finder`` of calls. ``lives(serial)`` is asked where the directory does not know who lives."""

    def __init__(self, directory: Directory, search: Search, lives: Callable[[int], bool]) -> None:
        self._directory = directory
        self._search = search
        self._lives = lives

    def find(
        self,
        name: Name,
        done: Callable[[Location | RpcError], None],
        *,
        may_own: bool = True,
        stale: Location | None = None,
    ) -> None:
        if is_keyed(name):
            self._directory.find(name, done, may_own=may_own, stale=stale)
            return

        def found(result: Found) -> None:
            done(RpcError(StatusCode.NOT_FOUND, gone(service_of(name))) if result is None else result)

        self._search.find(connection_of(name), found, stale=stale)

    def release(self, name: Name, epoch: int) -> None:
        self._directory.release(name, epoch)

    def is_home(self, name: Name) -> bool:
        return self._directory.is_home(name)

    def lives(self, serial: int) -> bool:
        return self._lives(serial) if self._directory.unusable else self._directory.lives(serial)

    def __repr__(self) -> str:
        return f"<Places in {self._directory!r}, {self._search!r}>"
