"""The actors of one connection, by service and identity; and its ``Admission``."""

from __future__ import annotations

from functools import partial
from time import monotonic

from actorrpc.actor import Service
from actorrpc.hub.actors.admission import Admission
from actorrpc.hub.actors.cell import Cell, key_of
from actorrpc.hub.actors.identities import Identities
from actorrpc.hub.actors.stage import Stage
from actorrpc.hub.calls.call import Receiver
from actorrpc.hub.resources import Resources

__all__ = ["Cells"]


class Cells(dict[str, Cell]):
    """The cells of services that were called on a connection, by full name; and for an identity by
    ``key_of``."""

    __slots__ = ("_resources", "_stage", "admission", "identities")

    def __init__(self, stage: Stage, resources: Resources) -> None:
        self._stage = stage
        self._resources = resources
        #: Where calls wait for the interceptors' on_call; None if there is none.
        self.admission: Admission | None = None
        #: Whose actors there are besides the connection's own; None: nobody's.
        self.identities: Identities | None = None

    @property
    def receivers(self) -> list[Receiver]:
        """Whatever may have turns to run."""
        return [*self.values()] if self.admission is None else [self.admission, *self.values()]

    @property
    def busy(self) -> bool:
        """Whether turns wait to run."""
        # The last cells have their last turns last: of 10,000, asked at the end of each, one is looked at.
        return any(cell.mailbox or cell.concurrent for cell in reversed(self.values()))

    @property
    def state_bytes(self) -> int:
        """The size of the actors' states, serialized."""
        return sum(cell.state_bytes for cell in self.values())

    def make(self, service: type[Service], identity: str = "") -> Cell:
        """The one cell of a service for an identity, from its first call on. Its instance may still be in the
        making."""
        concurrent = service in self._resources.concurrent_services
        cell = Cell(self._stage, service, identity=identity, concurrent=concurrent)
        self[cell.key] = cell
        cell.prepare()
        return cell

    def of_identity(self, service: type[Service], identity: str) -> Cell:
        """The cell for a call that has an identity, which counts as that one's. Raises RpcError for an
        identity too many."""
        cell = self.get(key_of(service.__rpc__.name, identity))
        identities = self._identified()
        if cell is None:
            identities.check_room(identity)
            cell = self.make(service, identity)
            identities.add(cell)
        identities.began(identity)
        return cell

    def _identified(self) -> Identities:
        if self.identities is None:
            self.identities = Identities(self._resources.config)
        return self.identities

    def take(self, cell: Cell, since: float) -> None:
        """Take up a cell of a snapshot; its identity's last call, if it has one, ended then."""
        self[cell.key] = cell
        if cell.identity:
            self._identified().add(cell, since)

    def sweep(self) -> None:
        """End the actors of identities that nobody has called for a while."""
        for cell in self.identities.sweep() if self.identities is not None else ():
            del self[cell.key]
            self._stage.host.end_subscriptions(cell=cell)
            if cell.connected and cell.overrides("on_disconnect"):
                schedule = self._stage.schedule
                usage = schedule.usage
                mark = usage.begin(monotonic())
                cell.part.within(partial(schedule.run, cell.disconnect, cell.part))
                usage.spend(mark)

    def drop_ended(self) -> None:
        """Take the turns of calls that have ended out of the queues."""
        for cell in self.values():
            cell.drop_ended()

    def keep_last_turns(self) -> None:
        """The client has gone: only what ends actors is left to run."""
        if self.admission is not None:
            self.admission.concurrent.clear()
        for cell in self.values():
            cell.keep_last_turns()
            self._stage.schedule.ready(cell)

    def thaw_hooks(self) -> None:
        """Queue on_thaw, before all other turns, where on_freeze has run and it does not wait already."""
        for cell in self.values():
            cell.thaw_hook()

    def let_go(self) -> None:
        """Forget them, and what they know."""
        self.clear()
        self.admission = self.identities = None
        del self._stage

    def __repr__(self) -> str:
        return f"<Cells {', '.join(self)}>"
