"""How a keyed actor moves: as a connection does, but for who decides whose it is.

No socket tells who owns it, so the directory does. When the target is ready, the source has the directory
write down that the key is the target's, and only then lets go. So whatever becomes of the link, or of the two
hubs, whoever the directory names has it. COMMIT saves the target a question. Where the link ends before that,
the target asks, as long as it may still become the owner.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from actorrpc.errors import RpcError
from actorrpc.hub.directory.names import Location, Name
from actorrpc.hub.exchange.exchange import Finder
from actorrpc.hub.keyed.activation import Activation
from actorrpc.hub.keyed.activations import Activations
from actorrpc.hub.moving.departure import StageDeparture
from actorrpc.hub.moving.keyed_snapshot import freeze_activation
from actorrpc.hub.moving.move_cost import MoveCosts
from actorrpc.hub.moving.source import Source
from actorrpc.hub.moving.states import (
    SOURCE,
    TARGET,
    SourceAction,
    SourceEvent,
    SourceState,
    TargetAction,
    TargetEvent,
    TargetState,
)
from actorrpc.hub.moving.target import Target
from actorrpc.ipc.framing import close_all
from actorrpc.ipc.hello import SNAPSHOTS
from actorrpc.ipc.sender import Sender
from actorrpc.loop.timers import after
from actorrpc.pb import control_pb2

__all__ = ["ActorArrival", "ActorDeparture", "KeyedSource", "KeyedTarget", "Transfers"]

log = logging.getLogger("actorrpc.handoff")

#: Between two questions of a target whose link to the source has ended, and for how long it asks, in seconds.
ASK_AGAIN, ASK_FOR = 0.1, 60.0


class Transfers(Finder, Protocol):
    """The directory, as moves need it."""

    def transfer(
        self, name: Name, epoch: int, to: int, done: Callable[[Location | RpcError], None]
    ) -> None: ...


class ActorDeparture(StageDeparture):
    """A keyed actor about to move to the process ``target``."""

    connection: Activation

    def __init__(
        self,
        activation: Activation,
        costs: MoveCosts,
        transfers: Transfers,
        target: int,
        limit: float = 0.0,
        format: int = SNAPSHOTS.newest,
    ) -> None:
        super().__init__(activation, costs, limit, format)
        self._transfers = transfers
        self._target = target

    @property
    def epoch(self) -> int:
        return self.connection.epoch

    def _freeze(self) -> bytes:
        return freeze_activation(self.connection, self.costs, self.limit, self.format)

    def give(self, done: Callable[[str], None]) -> None:
        """Have the target own the key. ``done`` is told why it does not; "" if it does."""

        def told(result: Location | RpcError) -> None:
            done(result.message if isinstance(result, RpcError) else "")

        self._transfers.transfer(self.connection.name, self.epoch, self._target, told)

    def _resume(self) -> None:
        self.connection.resume()

    def _close(self) -> None:
        self.connection.passivate()


class KeyedSource(Source):
    """The giving side."""

    # Once the directory has been asked, nothing else decides.
    table = SOURCE | {
        (SourceState.COMMITTING, SourceEvent.LINK_LOST): (SourceState.COMMITTING, SourceAction.WAIT)
    }

    def _offer(self) -> control_pb2.Prepare:
        prepare = super()._offer()
        prepare.epoch = self.connection.epoch
        return prepare

    def _commit(self) -> None:
        self._cancel_timer()
        self.connection.give(self._given)

    def _given(self, why: str) -> None:
        if why:
            self.on(SourceEvent.UNFIT, why)
            return
        commit = control_pb2.Commit(connection=self.connection.id, number=self.number)
        self.link.send(control_pb2.HubToHub(commit=commit))
        self.on(SourceEvent.COMMIT_SENT)


class ActorArrival:
    """A thawed actor, as its target sees it."""

    def __init__(self, activation: Activation, activations: Activations, finder: Finder) -> None:
        self._activation = activation
        self._activations = activations
        self._finder = finder
        #: With which the source owns the key.
        self._epoch = activation.epoch
        self._began = monotonic()
        self._settled = False
        self._settle: Callable[[bool], None] = _ignore
        #: What the directory has said last, which is not to be answered from memory.
        self._heard: Location | None = None
        for subscription in activation.host.subscriptions:
            activation.resources.topics.thaw(subscription)

    def wait(self, settle: Callable[[bool], None]) -> None:
        """From now on ``settle`` may be called, with whether the key is this hub's by the source's doing."""
        self._settle = settle
        name, arriving = self._activation.name, self._activations.arriving
        if (earlier := arriving.get(name)) is not None:
            # The source has offered it anew, over another link, and will not decide about that any more.
            earlier(None)
        arriving[name] = self._claimed

    def _claimed(self, location: Location | None) -> None:
        if not self._settled:
            self._settle(location is not None and location.epoch == self._epoch + 1)

    def ask(self) -> None:
        """The source can say nothing more: ask the directory."""
        if not self._settled:
            self._finder.find(self._activation.name, self._told, may_own=False, stale=self._heard)

    def _told(self, found: Location | RpcError) -> None:
        if self._settled:
            return
        self._heard = found if isinstance(found, Location) else None
        if isinstance(found, Location) and found.hub == self._activations.serial:
            self._settle(found.epoch == self._epoch + 1)
        elif (isinstance(found, Location) and found.epoch > self._epoch) or self._late:
            self._settle(False)
        else:
            after(ASK_AGAIN, self.ask)

    @property
    def _late(self) -> bool:
        return monotonic() - self._began > ASK_FOR

    def _over(self) -> None:
        self._settled = True
        self._settle = _ignore  # its target, which knows this: so that both are freed at once
        if self._activations.arriving.get(self._activation.name) == self._claimed:
            del self._activations.arriving[self._activation.name]

    def serve(self, fd: int, freezes: int = 0) -> None:
        self._over()
        activation = self._activation
        self._activations.adopt(activation, self._epoch + 1)
        for cell in activation.cells.values():
            cell.frozen = cell.connected
        activation.cells.thaw_hooks()
        activation.resume()

    def discard(self) -> None:
        self._over()
        self._activation.let_go()


def _ignore(ours: bool) -> None: ...


class KeyedTarget(Target):
    """The taking side."""

    table = TARGET | {(TargetState.PREPARED, TargetEvent.LINK_LOST): (TargetState.PREPARED, TargetAction.ASK)}

    def __init__(self, id: str, number: int, link: Sender) -> None:
        super().__init__(id, number, link)
        self._asking = False

    def _say_ready(self) -> None:
        self.arriving.wait(self._settled)
        super()._say_ready()

    def commit(self, fds: tuple[int, ...], freezes: int = 0) -> None:
        close_all(fds)
        self.on(TargetEvent.COMMIT)

    def on(self, event: TargetEvent) -> None:
        # The directory may have said first what the source says, or the link's end.
        if self.state in (TargetState.NEW, TargetState.PREPARED):
            super().on(event)

    def _settled(self, ours: bool) -> None:
        self.on(TargetEvent.COMMIT if ours else TargetEvent.ABORT)

    def _ask(self) -> None:
        self.arriving.ask()
