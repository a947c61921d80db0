"""The hub processes that serve together: linked to each other, and told which has which topics and queues."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import gevent

from actorrpc.broker.accept_queues import AcceptQueues
from actorrpc.broker.hub_process import HubProcess, introduce
from actorrpc.broker.topic_homes import SLOTS, assign, terms
from actorrpc.pb import control_pb2

__all__ = ["Members"]

log = logging.getLogger("actorrpc.broker")

#: How long hubs that have just started may take to hear of each other.
TELLING = 5.0


class Members:
    """Processes that have links to each other, and share topics and ``queues`` out among them."""

    def __init__(self, queues: AcceptQueues) -> None:
        self._queues = queues
        self._processes: list[HubProcess] = []
        #: By slot of topics, the serial of its home; 0: none yet.
        self._homes = [0] * SLOTS
        self._version = 0
        self._terms = [0] * SLOTS

    @property
    def serving(self) -> list[HubProcess]:
        """The processes that have not exited."""
        return [process for process in self._processes if process.exit_code is None]

    def __contains__(self, process: HubProcess) -> bool:
        return process in self._processes

    def join(self, processes: Sequence[HubProcess]) -> None:
        """Link processes to all others and to each other; then topics may have their homes with them."""
        for process in processes:
            for other in self._processes:
                try:
                    introduce(process, other)
                except OSError as error:
                    log.error("hubs %d and %d cannot be linked: %s", process.hub, other.hub, error)
            self._processes.append(process)
        self._assign_homes()
        self.assign_queues()

    def leave(self, process: HubProcess) -> None:
        """It has exited: what it had goes to others."""
        if process in self._processes:
            self._processes.remove(process)
            self._assign_homes()
            self.assign_queues()

    def wait_until_told(self) -> None:
        """Wait until each has heard of the others, and of topics' homes.

        Whoever is told that the server is ready may move a connection at once. A hub takes messages in order:
        once it has answered a question, it has heard of all that it was told before.
        """
        question = control_pb2.ToHub(list_connections=control_pb2.ListConnections())
        gevent.wait([process.ask(question) for process in self._processes], timeout=TELLING)

    def assign_queues(self) -> None:
        """Assign the queues anew: a process may have become able to accept, or unable."""
        self._queues.assign(self._processes)

    def _assign_homes(self) -> None:
        before = self._homes
        self._homes = assign(before, [process.serial for process in self._processes])
        self._version += 1
        self._terms = terms(self._terms, before, self._homes, self._version)
        homes = control_pb2.Homes(version=self._version, homes=self._homes, terms=self._terms)
        for process in self._processes:
            process.send(control_pb2.ToHub(homes=homes))

    def __repr__(self) -> str:
        return f"<Members {[process.hub for process in self._processes]}, homes version {self._version}>"
