"""A certificate for the servers of a run, by a CA of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.support.certificates import Authority

__all__ = ["HOST", "Files", "certificate"]

#: Whose it is.
HOST = "localhost"


class Files(NamedTuple):
    """In PEM."""

    cert: str
    key: str
    ca: str


@contextmanager
def certificate() -> Iterator[Files]:
    """Files that are there until the end of the block. The key is one of P-256, as most are."""
    with TemporaryDirectory(prefix="actorrpc-benchmark-") as folder:
        authority = Authority(Path(folder))
        pair = authority.sign(HOST, [HOST])
        yield Files(pair.cert, pair.key, authority.file)
