"""What a broker has, for the next one: it is written down, and taken over from there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from actorrpc.broker.adoption.adoption import Adoption
from actorrpc.broker.adoption.inheritance import Inheritance
from actorrpc.broker.deploying.deployment import Deployment
from actorrpc.broker.deploying.launcher import Launcher
from actorrpc.broker.host.runtime_dir import Claim
from actorrpc.broker.moves.journal import MoveStatistics
from actorrpc.broker.processes.hub_process import HubProcess, Owner, written
from actorrpc.broker.processes.hub_slots import HubSlots
from actorrpc.broker.sharing.accept_queues import AcceptQueues
from actorrpc.broker.sharing.members import Members
from actorrpc.errors import ConfigError
from actorrpc.loop.duties import do_all
from actorrpc.pb import control_pb2
from actorrpc.pb.record_pb2 import Moves, Server

__all__ = ["Estate"]

log = logging.getLogger("actorrpc.broker")


class Estate:
    """The hubs that serve ``app``, and all that is known of them. ``write(server)`` writes it down."""

    def __init__(
        self,
        app: str,
        hubs: HubSlots,
        members: Members,
        queues: AcceptQueues,
        deployment: Deployment,
        launcher: Launcher,
        moves: MoveStatistics,
        write: Callable[[Server], None],
    ) -> None:
        self._app = app
        self._hubs = hubs
        self._members = members
        self._queues = queues
        self._deployment = deployment
        self._launcher = launcher
        self._moves = moves
        self._write = write
        self._adoption: Adoption | None = None
        #: The moves that were counted when that was last written down.
        self._written = 0, 0

    def write_down(self) -> None:
        """Write down what another broker would have to know."""
        server = Server(
            app=self._app,
            address=self._queues.address,
            addresses=self._queues.written(),
            accept=self._queues.accept,
            hubs=len(self._hubs),
            members=map(written, self._members.serving),
            homes=self._members.homes,
            directory=self._members.directory,
            restarts=[max(hub.restarts, 0) for hub in self._hubs],
            moves=Moves(done=self._moves.done, aborted=self._moves.aborted),
        )
        self._written = self._moves.done, self._moves.aborted
        self._deployment.write(server)
        self._write(server)

    def write_moves(self) -> None:
        """The same if there have been moves since: they need not be known exactly."""
        if self._written != (self._moves.done, self._moves.aborted):
            self.write_down()

    # ---- taking over

    def take_over(self, inheritance: Inheritance, claim: Claim, owner: Owner) -> None:
        """Have the hubs that another broker has left, and know what that knew. No hub is told of anything
        until ``go_on``.

        Raises ConfigError if that cannot be.
        """
        adoption = self._adoption = Adoption(inheritance, claim, owner)
        try:
            adoption.wait()
            if why := self._why_no_queue(adoption):
                raise ConfigError(f"the hubs that serve cannot be taken over: {why}")
            self._inherit(adoption)
        except BaseException:
            adoption.let_go()
            raise
        serving = self._members.serving
        log.info("took over %d processes of hubs (pids %s)", len(serving), [each.pid for each in serving])

    def go_on(self) -> None:
        """Go on with what was under way, and tell all hubs anew. What goes wrong in that is no reason to stop
        hubs that serve."""
        adoption = self._adoption
        assert adoption is not None
        resume = partial(self._deployment.resume, adoption.server, adoption.successors)
        do_all(log, "taking over hubs", self._queues.restored, resume, self._members.go_on)

    def adopted(self, process: HubProcess, adopted: control_pb2.Adopted, fds: tuple[int, ...]) -> bool:
        """A hub says what it has. Returns whether that comes late, and is to be heard as an event, by
        ``heard``."""
        assert self._adoption is not None
        if not self._adoption.over:
            self._adoption.events.put(partial(self.heard, process, adopted, fds))
        return self._adoption.over

    def exited(self) -> None:
        """A hub has ended, and need not be waited for."""
        if self._adoption is not None and not self._adoption.over:
            self._adoption.events.put(bool)

    def heard(self, process: HubProcess, adopted: control_pb2.Adopted, fds: tuple[int, ...]) -> None:
        """A hub has said what it has: while all are taken over, or later if it was silent then."""
        assert self._adoption is not None
        self._adoption.heard(process, adopted)
        self._queues.restore(process, adopted.queues, fds, late=self._adoption.over)
        self._members.introductions.report(process, adopted.links)
        if self._adoption.over:
            self._members.link_all()
            self._members.assign_queues()

    def _why_no_queue(self, adoption: Adoption) -> str:
        """Why there is no listening socket; "" if there is one, perhaps made anew."""
        if self._queues.all:
            return ""
        if not self._queues.any and len(adoption.silent) == len(adoption.living):
            return "none of them answers"
        try:
            self._queues.listen_again()
        except ConfigError as error:
            return str(error)
        return ""

    def _inherit(self, adoption: Adoption) -> None:
        server = adoption.server
        self._restore_deployment(server)
        self._moves.restore(server.moves.done, server.moves.aborted)
        for process in (*adoption.members, *adoption.successors):
            self._launcher.remember(process)
            self._hubs.inherit(process, server.generation.number)
        for hub, restarts in zip(self._hubs, server.restarts, strict=False):
            hub.restarts = restarts
        self._members.restore(adoption.members, server.homes, server.directory)
        for process in adoption.silent:
            self._queues.assume(process)

    def _restore_deployment(self, server: Server) -> None:
        told = self._deployment.generation.config
        self._deployment.restore(server)
        config = self._deployment.generation.config
        if other := told.differs(config):
            log.warning("the hubs were started with other options, until `actorrpc reload`: %s", other)
        self._deployment.on_config(config)

    def __repr__(self) -> str:
        return f"<Estate of {self._app}, {self._adoption!r}>"
