"""The hub processes that serve together: linked to each other, and told which has which topics, keyed actors
and queues."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

import gevent
from gevent.event import Event

from actorrpc.broker.processes.hub_process import HubProcess, introduce
from actorrpc.broker.sharing.accept_queues import AcceptQueues
from actorrpc.broker.sharing.directory_homes import DirectoryHomes
from actorrpc.broker.sharing.introductions import Introductions
from actorrpc.broker.sharing.topic_homes import TopicHomes
from actorrpc.errors import ConfigError
from actorrpc.pb import control_pb2

__all__ = ["Members"]

#: How long hubs that have just started may take to hear of each other.
TELLING = 5.0


class Members:
    """Processes that have links to each other, and share topics and ``queues`` out among them."""

    def __init__(
        self,
        queues: AcceptQueues,
        before_telling: Callable[[], None] = lambda: None,
        *,
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        """``before_telling()`` is called when it is decided who is here and who has which topics, and nobody
        has been told of it yet. ``later(seconds, event)`` has an event happen then."""
        self._queues = queues
        self._before_telling = before_telling
        self._processes: list[HubProcess] = []
        self.introductions = Introductions(lambda *pair: introduce(*pair), later)
        self._homes = TopicHomes()
        self._directory = DirectoryHomes()
        #: The serials of processes that are to be the home of no topic.
        self._homeless: frozenset[int] = frozenset()
        #: Set, and replaced, whenever slots have settled or a hub has gone.
        self._changed = Event()

    @property
    def serving(self) -> list[HubProcess]:
        """The processes that have not exited."""
        return [process for process in self._processes if process.exit_code is None]

    @property
    def balanced(self) -> list[HubProcess]:
        """Those among which policies may move connections: the others are drained."""
        return [process for process in self.serving if not process.draining]

    def __contains__(self, process: HubProcess) -> bool:
        return process in self._processes

    @property
    def homes(self) -> control_pb2.Homes:
        """As the hubs were told, or are about to be told."""
        return self._homes.message()

    @property
    def directory(self) -> control_pb2.Directory:
        """The same of keyed actors."""
        return self._directory.message()

    def restore(
        self, processes: Sequence[HubProcess], homes: control_pb2.Homes, directory: control_pb2.Directory
    ) -> None:
        """Go on from what a broker before this one has told these. Nobody is told anything yet."""
        self._processes = [*processes]
        self._homes.restore(homes)
        self._directory.restore(directory)

    def link_all(self) -> None:
        """Link those to each other whose link has ended while there was no broker."""
        self.introductions.complete(self.serving)

    def go_on(self) -> None:
        """Tell all anew: of those that were members, some may have ended meanwhile."""
        self.link_all()
        self._assign_homes(anew=True)
        self.assign_queues()

    def join(self, processes: Sequence[HubProcess], *, share: bool = False) -> None:
        """Link processes to all others and to each other; then topics may have their homes with them.

        Slots of topics that have a home stay there, so that these may get none, unless they are to ``share``:
        then the others hand as many over as makes all hubs have equally many; but none if a link could not
        be made, over which they would go.
        """
        for process in processes:
            linked = [self.introductions.make(process, other) for other in self._processes]
            share = share and all(linked)
            self._processes.append(process)
        self._assign_homes(share)
        self.assign_queues()

    def why_not(self, process: HubProcess) -> str:
        """Why a process that is ready cannot join: it and one that is there would not understand each other,
        or it cannot listen; "" if it can."""
        if process.hello is not None and (why := self._queues.why_not(process.hello)):
            return why
        for other in self._processes:
            if process.hello is not None and other.hello is not None:
                try:
                    process.hello.agree_with_hub(other.hello)
                except ConfigError as error:
                    return str(error)
        return ""

    def leave(self, process: HubProcess) -> None:
        """It has exited: what it had goes to others."""
        if process in self._processes:
            self._processes.remove(process)
            self.introductions.forget(process.serial)
            self._assign_homes()
            self.assign_queues()
            self._tell()

    def broken(self, process: HubProcess, serial: int, number: int) -> None:
        """A process says that its link to another, by its serial, has ended, which came with a number."""
        others = [each for each in self._processes if each.serial == serial]
        if process in self._processes and others:
            self.introductions.broken(process, others[0], number)

    def set_homeless(self, serials: Collection[int], *, share: bool = False) -> None:
        """Say which processes are to be the home of no topic, now and when others die: those that have slots
        hand them over. If there are no others, they keep them.

        ``share``: those that are not among them any more get slots from the others, as in ``join``.
        """
        if self._homeless != (homeless := frozenset(serials)) or share:
            self._homeless = homeless
            self._assign_homes(share)

    def needs(self, serial: int) -> bool:
        """Whether a process is the home of topics, or may still be needed to hand some over."""
        return self._homes.needs(serial)

    def wait_until_homeless(self, serials: Collection[int], timeout: float) -> bool:
        """Wait until processes are not needed for topics any more. Returns False if that takes longer."""
        deadline = time.monotonic() + timeout
        while any(map(self.needs, serials)):
            if not self._changed.wait(max(deadline - time.monotonic(), 0)):
                return False
        return True

    def settled(self, process: HubProcess, version: int) -> None:
        """A process has all slots that it got with a version, and whoever had them is not needed for that."""
        if process not in self._processes or not self._homes.settled(process.serial, version):
            return
        if any(map(self._homes.movable, self._homeless)):
            self._assign_homes()
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = Event()

    def wait_until_told(self) -> None:
        """Wait until each has heard of the others, and of homes.

        Whoever is told that the server is ready may move a connection at once. A hub takes messages in order:
        once it has answered a question, it has heard of all that it was told before.
        """
        question = control_pb2.ToHub(list_connections=control_pb2.ListConnections())
        gevent.wait([process.ask(question) for process in self._processes], timeout=TELLING)

    def assign_queues(self) -> None:
        """Assign the queues anew: a process may have become able to accept, or unable. Then it knows where
        keyed actors are no more, either."""
        self._queues.assign(self._processes)
        if self._directory.assign(self.serving):
            self._before_telling()
            self._tell_directory()

    def _assign_homes(self, share: bool = False, anew: bool = False) -> None:
        self._homes.assign([process.serial for process in self._processes], self._homeless, share)
        news = self._directory.assign(self.serving, share=True, anew=anew)
        self._before_telling()
        homes = control_pb2.ToHub(homes=self.homes)
        for process in self._processes:
            process.send(homes)
        if news:
            self._tell_directory()

    def _tell_directory(self) -> None:
        directory = control_pb2.ToHub(directory=self.directory)
        for process in self._processes:
            # One that another broker has left, and that has said nothing yet, may be one of them.
            if process.keyed or process.hello is None:
                process.send(directory)

    def __repr__(self) -> str:
        return f"<Members {[process.hub for process in self._processes]}, {self._homes!r}>"
