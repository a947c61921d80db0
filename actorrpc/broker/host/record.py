"""What a broker has written down of its server, for the one that takes the hubs over after its death.

Each change is written before any hub is told of it: so the next broker knows at least what any hub knows. A
record that could not be written, since the disk is full, say, is no record: then there is none, and the hubs
cannot be taken over.
"""

from __future__ import annotations

import logging

from google.protobuf.message import DecodeError

from actorrpc.broker.host.runtime_dir import RuntimeDir, read_file, remove_file, replace_file
from actorrpc.errors import ConfigError
from actorrpc.pb.record_pb2 import Server

__all__ = ["FORMAT", "Record"]

log = logging.getLogger("actorrpc.broker")

#: Of what is written here. A later broker reads earlier ones.
FORMAT = 1


class Record:
    """The record in one runtime directory."""

    def __init__(self, directory: RuntimeDir) -> None:
        self._directory = directory
        self._complained = False

    def write(self, server: Server) -> None:
        """Write it anew. Never raises."""
        server.format = FORMAT
        try:
            replace_file(self._directory.record_path, server.SerializeToString())
            self._complained = False
        except OSError as error:
            if not self._complained:
                log.warning("no broker could take the hubs over after this one: %s", error)
            self._complained = True
            try:
                remove_file(self._directory.record_path)
            except OSError as error:
                log.error("and what was written before cannot be removed: %s", error)

    def read(self) -> Server | None:
        """What was written last; None if there is nothing. Raises ConfigError if it cannot be read."""
        try:
            server = Server.FromString(read_file(self._directory.record_path))
        except FileNotFoundError:
            return None
        except (OSError, DecodeError) as error:
            raise ConfigError(f"cannot read {self._directory.record_path}: {error}") from error
        if not 1 <= server.format <= FORMAT:
            raise ConfigError(
                f"{self._directory.record_path} has the format {server.format}, and this version of "
                f"actorrpc knows 1 to {FORMAT}"
            )
        return server

    def __repr__(self) -> str:
        return f"<Record in {self._directory.path}>"
