"""One generation of the app's code: what its hubs run, and where."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from actorrpc.broker.deploying.interpreter import given_interpreter, where_it_leads
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
    led to when the generation began: hubs that start again find the same release there, while it exists.
    ``interpreter_path`` and ``interpreter`` are the same of the interpreter."""

    number: int
    app: str
    config: Config
    path: str
    directory: str
    interpreter_path: str = sys.executable
    interpreter: str = sys.executable

    @classmethod
    def first(cls, app: str, config: Config) -> Generation:
        path = working_directory()
        return cls._beginning(1, app, config, path, given_interpreter(path))

    def next(self, number: int, config: Config) -> Generation:
        """A generation after this one, from what lies there now."""
        return self._beginning(number, self.app, config, self.path, self.interpreter_path)

    @classmethod
    def _beginning(cls, number: int, app: str, config: Config, path: str, interpreter: str) -> Generation:
        return cls(
            number, app, config, path, os.path.realpath(path), interpreter, where_it_leads(interpreter)
        )

    @classmethod
    def from_message(cls, app: str, message: record_pb2.Generation) -> Generation:
        """One that another broker has begun. The next are found by the paths that this broker was given."""
        config, path = Config.from_message(message.config), working_directory()
        given = given_interpreter(path)
        return cls(message.number, app, config, path, message.directory, given, message.interpreter)

    def to_message(self) -> record_pb2.Generation:
        """As a broker writes it down."""
        return record_pb2.Generation(
            number=self.number,
            config=self.config.to_message(),
            directory=self.directory,
            interpreter=self.interpreter,
        )

    @property
    def place(self) -> str:
        """Where its hubs are started: if its own directory has gone, where the path leads now."""
        return self.directory if os.path.isdir(self.directory) else self.path

    @property
    def python(self) -> str:
        """What runs them: if its own interpreter has gone, the one that the path leads to now."""
        return self.interpreter if os.path.exists(self.interpreter) else self.interpreter_path
