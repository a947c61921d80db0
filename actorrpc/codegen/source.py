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
    """A ``.proto`` asks for what actorrpc cannot serve. Its text is one line for the file's author.

    ``part`` leads from the declaration that is blamed to what of it is wrong, such as one field of an option.
    """

    def __init__(self, text: str, *part: int) -> None:
        super().__init__(text)
        self.part = part


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
            raise CodegenError(f"{self._place((*path, *error.part))}: {subject}: {error}") from None

    def _place(self, path: tuple[int, ...]) -> str:
        """Write ``file:line:column`` as protoc does: of the declaration, or the first thing in it, or of what
        is around it.

        An option whose fields are set one by one has no place of its own.
        """
        while path:
            for known, location in self._locations.items():
                if known[: len(path)] == path:
                    line, column = location.span[:2]
                    return f"{self._file}:{line + 1}:{column + 1}"
            path = path[:-1]
        return self._file


def _clean(comment: str | bytes) -> str:
    """Take off the margin and the blank lines around. Comments that are not UTF-8 arrive as bytes."""
    text = comment if isinstance(comment, str) else comment.decode("utf-8", "replace")
    return dedent("\n".join(line.rstrip() for line in text.expandtabs().split("\n"))).strip("\n")
