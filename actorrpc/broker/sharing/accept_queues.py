"""Which hub accepts from which listening socket.

With `--accept reuseport` each hub has a queue of its own, at each address. While it has no process that
serves, another hub accepts from that queue as well, so that nobody waits for the restart. So it is with the
queue of a hub that there is no longer: to close it would be to lose those who wait in it. An address that is
shared, as all are with `--accept acceptor`, has one queue, and one hub accepts from it for all. For a moment,
two processes may accept from one queue; each connection goes to one of them.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from actorrpc.broker.processes.hub_process import HubProcess
from actorrpc.errors import ConfigError
from actorrpc.forks import serves
from actorrpc.ipc.hello import Hello
from actorrpc.ipc.queues import address_of, hub_of, queue_of, queue_text
from actorrpc.log import about
from actorrpc.net.listening import Bound, open_another
from actorrpc.net.sockets import socket_of
from actorrpc.pb import control_pb2, record_pb2

__all__ = ["AcceptQueues", "holders"]

log = logging.getLogger("actorrpc.broker")

#: The format of control messages from which on there may be several addresses, and such of TLS.
SEVERAL = 2


def holders(queues: Sequence[int], able: Collection[int], before: Mapping[int, int]) -> dict[int, int]:
    """Return which hub accepts from which queue.

    The hub that a queue is of has it if it can accept. Otherwise the queue stays where it was ``before``,
    or goes to the hub with the fewest queues, and of these to the lowest. Of a shared address, whose single
    queue is hub 0's, that hub is the acceptor.
    """
    if not able:
        return dict(before)
    held = {queue: hub_of(queue) for queue in queues if hub_of(queue) in able}
    for queue in queues:
        if queue not in held and (hub := before.get(queue)) in able and hub is not None:
            held[queue] = hub
    counts = Counter(held.values())
    for queue in queues:
        if queue not in held:
            hub = min(able, key=lambda hub: (counts[hub], hub))
            held[queue] = hub
            counts[hub] += 1
    return held


class AcceptQueues:
    """The listening sockets, and the processes that accept from them. The broker keeps a dup of each."""

    def __init__(
        self,
        bounds: Sequence[Bound],
        hubs: int,
        accept: str,
        listen: Callable[[Bound], None] | None = None,
    ) -> None:
        """``bounds`` is what all listen on. Of those without sockets hubs have them already, and give them
        later (``restore``). ``listen(bound)`` makes one for an address of which none has any; it raises
        ConfigError if that cannot be."""
        self.accept = accept
        self.hubs = hubs
        self.bounds = list(bounds)
        self._listen = listen
        self._closed = False
        #: By queue. Those of numbers that are missing have gone with the hubs that had them.
        self._sockets: dict[int, socket.socket] = {
            queue_of(number, hub): sock
            for number, bound in enumerate(self.bounds)
            for hub, sock in enumerate(bound.sockets)
        }
        #: By queue. With a queue for each hub, a process that has its own was given it at its start.
        self._holders: dict[int, HubProcess] = {}
        #: By queue, all that were given it and have not been told to let go, the holder too: the queue may be
        #: given on before its last holder has heard of it.
        self._given: dict[int, list[HubProcess]] = defaultdict(list)
        #: By process, the queues that it keeps for the time when there is no broker.
        self._kept: dict[HubProcess, list[int]] = {}
        #: Those from which several may accept, since there was no broker.
        self._shared: set[int] = set()

    @property
    def address(self) -> str:
        """The first of those that all listen on."""
        return self.bounds[0].text

    def status(self) -> list[dict[str, Any]]:
        """All of them, as ``actorrpc status --json`` has them."""
        return [{"address": bound.text, "tls": bound.tls} for bound in self.bounds]

    def written(self) -> list[record_pb2.Address]:
        """All of them, as a broker writes them down (``adoption.inheritance`` reads them)."""
        return [
            record_pb2.Address(
                text=bound.text,
                shared=bound.shared,
                tls=bound.tls,
                device=bound.file.device if bound.file else 0,
                inode=bound.file.inode if bound.file else 0,
            )
            for bound in self.bounds
        ]

    def why_not(self, hello: Hello) -> str:
        """Why a process of a hub cannot accept from all of them; "" if it can."""
        if SEVERAL in hello.control:
            return ""
        if any(bound.tls for bound in self.bounds):
            return f"actorrpc {hello.version} would take TLS for plaintext"
        if len(self.bounds) > 1:
            return f"actorrpc {hello.version} listens on one address, and this server on {len(self.bounds)}"
        return ""

    def _is_shared(self, queue: int) -> bool:
        return self.bounds[address_of(queue)].shared

    def _own(self, hub: int) -> list[int]:
        """The queues that a hub's process is started with: its own, and those of shared addresses."""
        return [queue_of(number, 0 if bound.shared else hub) for number, bound in enumerate(self.bounds)]

    def grow(self, before: int, hubs: int) -> None:
        """There are to be so many hubs, more than ``before``: where each has a queue, make those that there
        have never been. Until a hub is there, another accepts from its queue. Raises ConfigError if a socket
        cannot be made."""
        for hub in range(before, hubs):
            for queue in self._own(hub):
                self._open(queue)

    def _open(self, queue: int) -> None:
        """See to it that there is this queue: it may have gone with the hub that had it, or be one's that
        was silent when it was taken over. Raises ConfigError if that cannot be."""
        if queue in self._sockets:
            return
        others = [sock for other, sock in self._sockets.items() if address_of(other) == address_of(queue)]
        if self._is_shared(queue) or not others:
            raise ConfigError(f"there is no socket for {self.bounds[address_of(queue)].text}")
        self._sockets[queue] = open_another(others[0])
        self._given[queue].clear()  # what they have is another

    def start(self, hub: int) -> list[int]:
        """The listening sockets that a hub's process is started with, one for each address. Raises
        ConfigError if one cannot be made."""
        queues = self._own(hub)
        for queue in queues:
            self._open(queue)
        return [self._sockets[queue].fileno() for queue in queues]

    def started(self, process: HubProcess) -> None:
        """A process has got what ``start`` said; where each hub has a queue, it accepts from its own."""
        for queue in self._own(process.hub):
            if not self._is_shared(queue):
                self._given[queue].append(process)

    def restore(
        self,
        process: HubProcess,
        queues: Sequence[control_pb2.Queue],
        fds: Sequence[int],
        *,
        late: bool = False,
    ) -> None:
        """A process that another broker has started has these queues, and lends their sockets.

        ``late``: others have been taken over before. Of what they have as well, and what was made since, it
        is to let go, whatever it has been told meanwhile: it is given that again when it is to accept.
        """
        if self._closed:
            for fd in fds:
                socket_of(fd).close()
            return
        self._forget(process)
        for queue, fd in zip(queues, fds, strict=False):
            known = queue.number in self._sockets
            if not self._is_kept(queue.number, socket_of(fd)) or (known and late):
                process.send(control_pb2.ToHub(unlisten=control_pb2.Unlisten(queue=queue.number)))
                continue
            if queue.accepting or self._is_own(process, queue.number):
                self._given[queue.number].append(process)
            holder = self._holders.get(queue.number)
            if queue.accepting and (holder is None or process.hub == hub_of(queue.number)):
                self._holders[queue.number] = process

    def _forget(self, process: HubProcess) -> None:
        """What was assumed of it may be wrong."""
        for queue, given in self._given.items():
            self._given[queue] = [each for each in given if each is not process]

    def _is_kept(self, queue: int, sock: socket.socket) -> bool:
        """Whether a socket, which is ours from now on, is the one that is kept for this queue."""
        serves(sock)
        kept = self._sockets.setdefault(queue, sock)
        if kept is sock:
            return True
        with sock:
            return os.path.sameopenfile(kept.fileno(), sock.fileno())

    def assume(self, process: HubProcess) -> None:
        """A process that another broker has started does not say what it has: its own, most likely."""
        self.started(process)

    def listen_again(self) -> None:
        """Make a socket for each address of which those that were taken over have none, since all are drained
        or stop. Raises ConfigError if there is no address then for which that can be."""
        failure: ConfigError | None = None
        there = {address_of(queue) for queue in self._sockets}
        for number, bound in enumerate(self.bounds):
            if number in there or self._listen is None:
                continue
            try:
                self._listen(bound)
            except ConfigError as error:
                failure = error
                if there or number:  # a hub that is silent may have it
                    log.error("%s", error)
            else:
                self._sockets[queue_of(number)] = bound.sockets[0]
        if failure is not None and not self._sockets:
            raise failure

    def restored(self) -> None:
        """Those that were taken over have said what they have: of each queue from which several accept, since
        there was no broker, the others let go. A process that is drained later would accept from it else."""
        self._shared = set(self._holders)

    def _end_sharing(self) -> None:
        for queue in sorted(self._shared):
            if _can_accept(self._holders[queue]):  # else once it can, or another has it
                self._shared.remove(queue)
                self._take_away(queue, self._holders[queue])

    @property
    def any(self) -> bool:
        """Whether there is a socket."""
        return bool(self._sockets)

    @property
    def all(self) -> bool:
        """Whether there is one for each address."""
        return {address_of(queue) for queue in self._sockets} == set(range(len(self.bounds)))

    def assign(self, processes: Iterable[HubProcess]) -> None:
        """Have each queue accepted from by a process that can. Never blocks.

        Call it when a process has come, has gone or has begun to stop, and from time to time: a process that
        has been silent for a while cannot accept.
        """
        for queue, given in self._given.items():
            self._given[queue] = [process for process in given if process.exit_code is None]
        self._end_sharing()
        able = {process.hub: process for process in processes if _can_accept(process)}
        before = {queue: process.hub for queue, process in self._holders.items()}
        for queue, hub in holders(sorted(self._sockets), able, before).items():
            holder = self._holders.get(queue)
            if hub in able and able[hub] is not holder:
                self._hand_over(queue, holder, able[hub])
        if not all(bound.shared for bound in self.bounds):
            self._have_kept(sorted(able.values(), key=lambda process: process.serial))

    def _have_kept(self, able: Sequence[HubProcess]) -> None:
        """Have each queue kept by another hub than the one that accepts from it: the next one. All have those
        of addresses that are shared."""
        keepers = dict(zip(able, [*able[1:], *able[:1]], strict=True)) if len(able) > 1 else {}
        wanted: dict[HubProcess, list[int]] = {}
        for queue, holder in sorted(self._holders.items()):
            if holder in keepers and not self._is_shared(queue):
                wanted.setdefault(keepers[holder], []).append(queue)
        for process, queues in wanted.items():
            if self._kept.get(process) != queues:
                self._tell_kept(process, queues)
        self._kept = wanted

    def _tell_kept(self, process: HubProcess, queues: Sequence[int]) -> None:
        for number, queue in enumerate(queues):
            keep = control_pb2.ToHub(keep=control_pb2.Keep(queue=queue, more=number > 0))
            try:
                process.send(keep, [self._sockets[queue].fileno()])
            except OSError as error:  # out of descriptors, to keep one for later
                told = queue_text(queue)
                log.error("hub %d cannot keep queue %s: %s", process.hub, told, error, extra=about(queue))

    def _hand_over(self, queue: int, holder: HubProcess | None, process: HubProcess) -> None:
        """Give a queue to a process. Once it has it for certain, the others let go of it."""

        def handed_over() -> None:
            if self._holders.get(queue) is process:
                self._take_away(queue, process)

        self._holders[queue] = process
        self._shared.discard(queue)  # the others let go then
        if self._owns(process, queue):
            handed_over()
        elif not self._give(queue, process, handed_over):
            del self._holders[queue]
            if holder is not None:
                self._holders[queue] = holder

    def _owns(self, process: HubProcess, queue: int) -> bool:
        """Whether it has had the queue from its start, and has kept it."""
        return self._is_own(process, queue) and process in self._given[queue]

    def _is_own(self, process: HubProcess, queue: int) -> bool:
        return process.hub == hub_of(queue) and not self._is_shared(queue)

    def _give(self, queue: int, process: HubProcess, then: Callable[[], None]) -> bool:
        listen = control_pb2.ToHub(listen=control_pb2.Listen(queue=queue, spread=self._is_shared(queue)))
        given = self._given[queue]
        told, ids = queue_text(queue), about(queue, hub=process.hub)
        is_new = process not in given
        if is_new:  # before it is sent: ``then`` may be called at once
            given.append(process)
        try:
            if process.send(listen, [self._sockets[queue].fileno()], then):
                log.info("hub %d accepts from queue %s", process.hub, told, extra=ids)
                return True
        except OSError as error:  # out of descriptors, to keep one for later
            log.error("hub %d cannot be given queue %s: %s", process.hub, told, error, extra=ids)
        if is_new:
            given.remove(process)
        return False

    def _take_away(self, queue: int, holder: HubProcess) -> None:
        """Have all others to which the queue was ever given let go of it. A hub keeps its own, to accept from
        it again when it can, unless it is drained."""
        given = self._given[queue]
        keep = [each for each in given if each is holder or (self._owns(each, queue) and not each.draining)]
        self._given[queue] = keep
        for process in given:
            if process not in keep and process.exit_code is None:
                process.send(control_pb2.ToHub(unlisten=control_pb2.Unlisten(queue=queue)))

    def leave(self) -> None:
        """Assign no more queues: another broker does."""
        for bound in self.bounds:
            bound.file = None
        self.close()

    def close(self) -> None:
        """Assign no more queues. The kernel refuses connections once the hubs have closed theirs, too."""
        self._closed = True
        for bound in self.bounds:
            bound.remove_file()
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()

    def __repr__(self) -> str:
        held = {queue: process.hub for queue, process in self._holders.items()}
        return f"<AcceptQueues {self.accept}, accepted from by {held}>"


def _can_accept(process: HubProcess) -> bool:
    return process.state == "serving" and not process.load.crowded
