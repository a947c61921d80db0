"""Asks the broker, beside the loop that shows: one that is slow to answer keeps no key from being heard."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread

from actorrpc.broker.admin.ask import NoAnswer, ask
from actorrpc.broker.host.runtime_dir import RuntimeDir
from actorrpc.errors import ConfigError
from actorrpc.pb.admin_pb2 import Reply, Request

__all__ = ["Answer", "Asker"]

#: What was asked, and the answer, or why there is none.
Answer = tuple[Request, Reply | str]


class Asker:
    """Asks one question after the other on a thread of its own, which ends with the process. ``wake()`` is
    called there when there is an answer to take, until ``close``."""

    def __init__(self, directory: RuntimeDir, timeout: float, wake: Callable[[], None]) -> None:
        self._directory = directory
        self._timeout = timeout
        self._wake: Callable[[], None] | None = wake
        self._lock = Lock()
        self._questions: SimpleQueue[Request] = SimpleQueue()
        self._answers: deque[Answer] = deque()
        #: Questions that have no answer yet.
        self.waiting = 0
        Thread(target=self._run, daemon=True, name="asker").start()

    def ask(self, question: Request) -> None:
        self.waiting += 1
        self._questions.put(question)

    def take(self) -> list[Answer]:
        """The answers since this was last called."""
        taken = [self._answers.popleft() for _ in range(len(self._answers))]
        self.waiting -= len(taken)
        return taken

    def close(self) -> None:
        """Wake nobody any more."""
        with self._lock:
            self._wake = None

    def _run(self) -> None:
        while True:
            question = self._questions.get()
            self._answers.append((question, answer(self._directory, question, self._timeout)))
            with self._lock:
                if self._wake is not None:
                    self._wake()

    def __repr__(self) -> str:
        return f"<Asker in {self._directory.path}, {self.waiting} questions>"


def answer(directory: RuntimeDir, question: Request, timeout: float) -> Reply | str:
    """The broker's answer, or why there is none, in a line for the user."""
    try:
        reply = ask(directory, question, timeout)
    except (ConfigError, NoAnswer) as error:
        return str(error)
    except Exception as error:  # an answer that cannot be read, say
        return f"the broker in {directory.path} does not answer as it should: {error!r}"
    return reply.error or reply
