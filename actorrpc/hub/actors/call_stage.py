"""``CallStage``: what calls and actors live on, whatever carries it: a client's connection, or a key.

It has the calls, the cells of their services, and the schedule of their turns. To its calls it is their
``CallHost``, to its cells the ``Stage``, to its schedule the owner.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

from google.protobuf.message import Message

from actorrpc.errors import CallCancelled, RpcError, StatusCode
from actorrpc.hub.actors.cells import Cells
from actorrpc.hub.actors.refused import RefusedCalls
from actorrpc.hub.actors.schedule import Schedule
from actorrpc.hub.actors.service_host import ServiceHost
from actorrpc.hub.calls.call import ServerCall
from actorrpc.hub.calls.open_calls import OpenCalls
from actorrpc.hub.metering.usage import Usage
from actorrpc.hub.phase import CLOSED, FROZEN, SERVING, Phase
from actorrpc.hub.resources import Resources
from actorrpc.hub.securing.facts import ClientFacts

__all__ = ["CallStage", "Restorer"]


class Restorer(Protocol):
    """Whoever makes calls anew that come from another hub."""

    def restore_call(self, stream: Any, identity: str) -> ServerCall[Any]:
        """Raises SnapshotError for one that is not served here."""


class CallStage(ABC):
    """The base of what carries actors."""

    __slots__ = (
        "calls",
        "cells",
        "host",
        "id",
        "moves",
        "parsed",
        "peer",
        "phase",
        "place",
        "resources",
        "schedule",
        "session",
        "usage",
    )

    #: What carries the calls' messages.
    session: Any
    #: The key of a keyed actor, the only one that it carries; "": it is not one's.
    key = ""
    #: The hooks that run as an actor's first turn, and as its last.
    first_hook, last_hook = "on_connect", "on_disconnect"

    def __init__(self, resources: Resources, id: str, peer: str) -> None:
        self.resources = resources
        self.id = id
        #: The client's address.
        self.peer = peer
        #: Where it stands among those of its node: one that comes later has a higher place.
        self.place = 0
        self.phase = Phase(id, resources.runners)
        #: What it takes of the hub. All that the loop does for it is to stand in brackets.
        self.usage = Usage(resources.meter, id)
        self.calls = OpenCalls(resources.runners)
        self.cells = Cells(self, resources)
        self.schedule = Schedule(self, self.cells, resources, self.usage)
        self.host = ServiceHost(self)
        #: How often it moved.
        self.moves = 0
        #: What its handlers hold, in bytes, as ``Resources.parsed`` counts it.
        self.parsed = 0

    @abstractmethod
    def flush(self) -> None:
        """Write what there is, and set what deadlines need."""

    @abstractmethod
    def turn_ended(self) -> None:
        """A runner has left, although it is closed."""

    @abstractmethod
    def restore_call(self, stream: Any, identity: str) -> ServerCall[Any]:
        """A call that comes from another hub. Raises SnapshotError if it is not served here."""

    def restorer(self, incoming: bool) -> Restorer:
        """Who makes such a call, if it is one by reference, or not."""
        return self

    @property
    @abstractmethod
    def pending_bytes(self) -> int:
        """Bytes that travel with it, besides those of its calls and states."""

    # ---- what calls ask of it

    @property
    def client_facts(self) -> ClientFacts | None:
        """What is known of its client for certain."""
        return None

    def changed(self) -> None:
        self.schedule.wake()

    def settle(self, what: str) -> None:
        self.phase.settle(what)

    def check_here(self, what: str) -> None:
        self.phase.check_here(what)

    def leave_child(self, error: BaseException | None = None) -> None:
        self.resources.runners.leave_child(error)

    def parse(self, call: ServerCall[Any], payload: bytes, received: int) -> Message:
        return self.resources.parsed.parse(self, call, payload, received)

    def release(self, call: ServerCall[Any]) -> None:
        self.resources.parsed.release(self, call)

    def expire(self, call: ServerCall[Any]) -> None:
        if self.phase.state == FROZEN:  # whoever serves it next does that; if it is this hub, on time anew
            self.calls.rearm(call)
        else:
            self.calls.expire(call)

    def call_ended(self, call: ServerCall[Any], status: StatusCode, message: str) -> None:
        """Drop what the hub kept for the call, and see to it that its actor hears of the end."""
        self.calls.forget(call)
        if call.runner is None:
            if call.iterator is not None:
                call.receiver.close_iterator(call)
            elif call.parsed:  # its handler is not called again after the move
                self.release(call)
        if call.receiver.ends is not None:
            call.receiver.call_ended(call, status, message)
        if self.host.by_call:
            self.host.end_subscriptions(call)
        if self.cells.identities is not None:
            self.cells.identities.ended(call)
        if call.cancelled and call.runner is not None:  # unless `throw` follows
            loop = self.resources.runners.hub.loop
            loop.run_callback(self.calls.throw, call, CallCancelled("the call has ended"))
        if not self.calls:
            self.idle()
        self.schedule.wake()

    @abstractmethod
    def idle(self) -> None:
        """Its last call has ended."""

    def tell_ended(self, call: ServerCall[Any], status: StatusCode, message: str) -> None:
        self.resources.endings.add(call, status, message)

    # ---- what cells ask of it

    def discard(self, key: str, error: RpcError) -> None:
        cell = self.cells.pop(key, None)
        if cell is None:
            return
        self.host.end_subscriptions(cell=cell)
        cell.discard()
        refused = RefusedCalls(self.schedule, cell.part)
        identities = self.cells.identities
        for call in [call for call in self.calls.values() if call.receiver is cell]:
            if identities is not None:
                identities.ended(call)
            refused.take(call, error)
        if identities is not None:
            identities.forget(cell)

    # ---- its moves, and its end

    def resume_turns(self, read: Callable[[], None] = lambda: None) -> None:
        """Have turns run again, and what is heard be heard; ``read`` begins to read."""
        self.phase.state = SERVING
        self.schedule.resume()
        for cell in self.cells.values():
            cell.unhold()
        self.phase.let_go_on()
        read()
        for subscription in self.host.subscriptions:
            self.resources.topics.catch_up(subscription)
        for call in [*self.calls.values()]:
            call.receiver.go_on(call)
        for receiver in self.cells.receivers:
            self.schedule.will_run(receiver)
        self.schedule.wake()

    def cancel_all(self, why: str) -> None:
        """Cancel every call, then interrupt the handlers: no turn of another may begin in between."""
        calls = list(self.calls.values())
        for call in calls:
            call.cancel(why)
        self.cells.drop_ended()
        for call in calls:
            self.calls.throw(call, CallCancelled(why))

    @abstractmethod
    def let_go(self) -> None:
        """Forget it without a word to anybody: another hub has it."""

    @property
    def finished(self) -> bool:
        """Closed, and nothing of it runs or waits to run."""
        return not self.schedule.running and not self.cells.busy

    def fall_apart(self) -> None:
        """The last turn of what is closed is over: let go of the parts, which know it, so that all is freed
        at once, and not when the garbage collector next looks. The app may keep some of them."""
        self.calls.clear()
        self.cells.let_go()
        self.schedule.let_go()
        del self.host

    def release_parsed(self) -> None:
        """What handlers have that have not been called again. Iterables that are being closed still count."""
        for call in self.calls.values():
            if call.parsed and call.iterator is None and call.runner is None:
                self.release(call)

    def forked(self) -> None:
        """This is a copy in a child of the hub's process: let nothing come of what its handler does."""
        self.phase.state = CLOSED
        self.schedule.forked()
        for call in self.calls.values():
            call.ended = True
