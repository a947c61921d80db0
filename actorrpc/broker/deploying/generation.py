"""One generation of the app's code: what its hubs run, and where."""

from __future__ import annotations

import os
from dataclasses import dataclass

from actorrpc.config import Config
from actorrpc.pb import record_pb2

__all__ = ["Generation", "working_directory"]


def working_directory() -> str:
    """The path of the working directory as the shell knows it: a link that stands for the newest release,
    say, is followed anew by each generation."""
    path = os.environ.get("PWD", "")
    try:
        if os.path.isabs(path) and os.path.samefile(path, "."):
            return path
    except OSError:
        pass
    return os.getcwd()


@dataclass(frozen=True)
class Generation:
    """``number`` counts from 1. ``path`` is the working directory as it was given, ``directory`` where it
    led to when the generation began: hubs that start again find the same release there, while it exists."""

    number: int
    app: str
    config: Config
    path: str
    directory: str

    @classmethod
    def first(cls, app: str, config: Config) -> Generation:
        path = working_directory()
        return cls(1, app, config, path, os.path.realpath(path))

    def next(self, number: int, config: Config) -> Generation:
        """A generation after this one, from what lies there now."""
        return Generation(number, self.app, config, self.path, os.path.realpath(self.path))

    @classmethod
    def from_message(cls, app: str, message: record_pb2.Generation) -> Generation:
        config = Config.from_message(message.config)
        return cls(message.number, app, config, message.path, message.directory)

    def to_message(self) -> record_pb2.Generation:
        """As a broker writes it down."""
        return record_pb2.Generation(
            number=self.number, config=self.config.to_message(), path=self.path, directory=self.directory
        )

    @property
    def place(self) -> str:
        """Where its hubs are started: if its own directory has gone, where the path leads now."""
        return self.directory if os.path.isdir(self.directory) else self.path
