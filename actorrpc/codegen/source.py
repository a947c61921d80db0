"""The text of a ``.proto`` file as protoc describes it: the comments, and where each thing stands.

A path names a declaration by field numbers and indices of ``FileDescriptorProto``, as
``SourceCodeInfo.Location.path`` does: ``(6, 0, 2, 1)`` is the second method of the first service.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import dedent

from google.protobuf.descriptor_pb2 import FileDescriptorProto

__all__ = ["CodegenError", "Source"]


class CodegenError(Exception):
    """A ``.proto`` asks for what actorrpc cannot serve. Its text is one line for the file's author."""


class Source:
    """The comments and places of one file; it has none if protoc sent no source info."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file.name
        self._locations = {tuple(location.path): location for location in file.source_code_info.location}

    def comment(self, *path: int) -> str:
        """Return the comment before a declaration, or else the one after it, without comment signs."""
        if path not in self._locations:
            return ""
        location = self._locations[path]
        return _clean(location.leading_comments) or _clean(location.trailing_comments)

    @contextmanager
    def blame(self, subject: str, *path: int) -> Iterator[None]:
        """Put the place and the name of a declaration before any ``CodegenError`` raised in the block."""
        try:
            yield
        except CodegenError as error:
            raise CodegenError(f"{self._place(path)}: {subject}: {error}") from None

    def _place(self, path: tuple[int, ...]) -> str:
        """Write ``file:line:column`` as protoc does: of the declaration, or of what is around it."""
        while path and path not in self._locations:
            path = path[:-1]
        if not path:
            return self._file
        line, column = self._locations[path].span[:2]
        return f"{self._file}:{line + 1}:{column + 1}"


def _clean(comment: str | bytes) -> str:
    """Take off the margin and the blank lines around. Comments that are not UTF-8 arrive as bytes."""
    text = comment if isinstance(comment, str) else comment.decode("utf-8", "replace")
    return dedent("\n".join(line.rstrip() for line in text.expandtabs().split("\n"))).strip("\n")
