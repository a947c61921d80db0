"""Starting a hub's process: its serial, its queue, and all that it is told first."""

from __future__ import annotations

import logging
import time
from functools import partial

from actorrpc.broker.deploying.generation import Generation
from actorrpc.broker.host.runtime_dir import Claim
from actorrpc.broker.processes.hub_process import HubProcess, Owner
from actorrpc.broker.processes.spawning import HUB_MODULE, spawn
from actorrpc.broker.sharing.accept_queues import AcceptQueues
from actorrpc.ipc.hello import Hello
from actorrpc.log import about
from actorrpc.pb import control_pb2

__all__ = ["Launcher"]

log = logging.getLogger("actorrpc.broker")

#: How many processes are remembered.
KEPT = 4096


class Launcher:
    """Starts processes that accept from ``queues``, and tell ``owner`` what becomes of them."""

    def __init__(self, claim: Claim, queues: AcceptQueues, owner: Owner, move_every: int) -> None:
        self._claim = claim
        self._queues = queues
        self._owner = owner
        self._move_every = move_every
        #: By serial, which hub's process it was: what is said of one may come after its death.
        self.hub_of: dict[int, int] = {}

    def remember(self, process: HubProcess) -> None:
        """Know whose process it was, also when it has ended."""
        self.hub_of[process.serial] = process.hub
        if len(self.hub_of) > KEPT:
            del self.hub_of[next(iter(self.hub_of))]

    def start(self, hub: int, generation: Generation, *, aside: bool = False) -> HubProcess:
        """Start a process of a hub, in the code of a generation; ``aside`` of one that serves.

        Raises OSError or ConfigError.
        """
        queues = self._queues.start(hub)
        serial = self._claim.next_serial()
        command = (generation.python, *HUB_MODULE)
        process = HubProcess(
            hub,
            serial,
            self._claim,
            partial(spawn, serial, self._claim, command, generation.place),
            self._owner,
            generation.number,
            aside,
        )
        self.remember(process)
        patience = generation.config.start_timeout
        start = control_pb2.Start(
            hub=hub,
            serial=serial,
            app=generation.app,
            config=generation.config.to_message(),
            acceptor=self._queues.bounds[0].shared,
            addresses=[
                control_pb2.Address(shared=bound.shared, tls=bound.tls) for bound in self._queues.bounds
            ],
            until=time.monotonic() + patience if patience else 0.0,
            move_every=self._move_every,
            hello=Hello.own().to_message(),
            directory=self._claim.directory.actors_path,
            server=self._claim.server,
            secret=self._claim.secret,
        )
        try:
            process.send(control_pb2.ToHub(start=start), queues)
            self._queues.started(process)
        except OSError as error:  # out of descriptors, to keep one for later
            log.error("hub %d cannot be told to start: %s", hub, error, extra=about(hub))
            process.kill()
        return process
