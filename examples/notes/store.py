"""The notes in SQLite, for several threads: each statement has a connection to the file of its own."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from examples.notes.notes_pb2 import Note

__all__ = ["Store"]

log = logging.getLogger("examples.notes")

#: Seconds that a statement waits while another hub writes.
PATIENCE = 10.0


class Store:
    """One process's way to the file. Its methods block, until the disk has done its work."""

    def __init__(self, path: str) -> None:
        self._path = path
        #: Connections that nobody uses: as many as were once in use together. Lists are safe for threads.
        self._free: list[sqlite3.Connection] = []
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode = WAL")  # readers need not wait for who writes
            connection.execute(
                "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"
            )
        log.warning("the store is open")

    def add(self, text: str) -> Note:
        """Keep a note."""
        with self._connection() as connection:
            done = connection.execute("INSERT INTO notes (text) VALUES (?)", (text,))
        return Note(id=done.lastrowid, text=text)

    def find(self, word: str, after: int, most: int = 100) -> list[Note]:
        """The first of the notes after one that have a word in them."""
        query = "SELECT id, text FROM notes WHERE id > ? AND instr(text, ?) ORDER BY id LIMIT ?"
        with self._connection() as connection:
            return [Note(id=id, text=text) for id, text in connection.execute(query, (after, word, most))]

    def close(self) -> None:
        """Let go of the file."""
        while self._free:
            self._free.pop().close()
        log.warning("the store is closed")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction, which is committed if nothing is raised."""
        try:
            connection = self._free.pop()
        except IndexError:
            connection = sqlite3.connect(self._path, timeout=PATIENCE, check_same_thread=False)
        try:
            with connection:
                yield connection
        finally:
            self._free.append(connection)
