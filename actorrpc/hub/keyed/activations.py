"""``Activations``: the keyed actors that live in one hub. They are made when the first call comes, and end
when they have had nothing to do for a while."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from gevent import get_hub

from actorrpc.actor import Service
from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.calls.route import Route, routes_of_keyed
from actorrpc.hub.directory.names import Location, Name
from actorrpc.hub.exchange.answers import Answers
from actorrpc.hub.exchange.exchange import Exchange, Finder
from actorrpc.hub.exchange.outgoing import Request
from actorrpc.hub.keyed.activation import Activation, NoSession
from actorrpc.hub.resources import Resources
from actorrpc.log import about
from actorrpc.loop.duties import do_all
from actorrpc.loop.timers import Timer

__all__ = ["Activations"]

log = logging.getLogger("actorrpc.hub")


class Activations:
    """One of them for each hub. ``may_own`` says whether actors may come to live here now."""

    def __init__(
        self,
        serial: int,
        resources: Resources,
        exchange: Exchange,
        finder: Finder,
        may_own: Callable[[], bool] = lambda: True,
    ) -> None:
        self._serial = serial
        self._resources = resources
        self._exchange = exchange
        self._finder = finder
        self._may_own = may_own
        self.session = NoSession(resources.config)
        #: By path, those of keyed services. Interceptors see calls where they are made.
        self.routes: dict[str, Route] = routes_of_keyed(resources.services)
        self.active: dict[Name, Activation] = {}
        #: The same by what they are called in the log, and in moves.
        self.by_id: dict[str, Activation] = {}
        #: How many have had a place among them.
        self._places = 0
        #: What other hubs offer: told that the key is this hub's now, it comes to life, or is dropped if that
        #: is by another grant.
        self.arriving: dict[Name, Callable[[Location], None]] = {}
        #: What is to be done when it is settled whether an actor stays here.
        self._waiting: dict[Name, list[Callable[[], None]]] = {}
        #: Those that rest, by service, and since when; who has rested longest comes first.
        self._resting: dict[str, dict[Name, float]] = {}
        self._timer = Timer()
        exchange.actors = self

    # ---- what comes for actors

    def own(self, name: Name) -> Location | None:
        activation = self.active.get(name)
        return None if activation is None else Location(self._serial, activation.epoch)

    def invoke(self, name: Name, request: Request, answers: Answers, granted: Location | None = None) -> None:
        """Have a call run, if its actor is here, or is to be: ``granted`` if the directory says so."""
        activation = self.active.get(name)
        if activation is not None and activation.takes_calls:
            self._give(activation, request, answers)
        elif activation is not None:
            self._wait(name, lambda: self.invoke(name, request, answers))
        elif granted is not None and not self._claim(name, granted):
            self._activate(name, granted, request, answers)
        elif granted is not None:
            self.invoke(name, request, answers)
        else:
            self._finder.find(
                name, lambda found: self._found(name, request, answers, found), may_own=self._may_own()
            )

    def _found(self, name: Name, request: Request, answers: Answers, found: Location | RpcError) -> None:
        if isinstance(found, RpcError):
            answers.finish(found.code, found.message)
        elif found.hub != self._serial:
            self._exchange.absent(answers)
        elif answers.over:  # withdrawn meanwhile
            self.unneeded(name, found)
        else:
            self.invoke(name, request, answers, found)

    def _claim(self, name: Name, granted: Location) -> bool:
        """Whether a key that has become this hub's belongs to an actor that another hub has offered."""
        if (arriving := self.arriving.get(name)) is not None:
            arriving(granted)
        return name in self.active

    def _activate(self, name: Name, granted: Location, request: Request, answers: Answers) -> None:
        service = self.keyed_service(name[0])
        limit = self._resources.config.max_actors
        if service is None:
            answers.finish(StatusCode.UNIMPLEMENTED, f"{name[0]} is not served by key here")
        elif limit and len(self.active) >= limit:
            answers.finish(
                StatusCode.RESOURCE_EXHAUSTED, f"this hub has {limit} keyed actors: no more may live here"
            )
        else:
            self._give(self._make(name, service, granted), request, answers)
            return
        self.unneeded(name, granted)

    def _make(self, name: Name, service: type[Service], granted: Location) -> Activation:
        activation = self.make(name, service, granted.epoch)
        self._add(activation)
        activation.activate()
        return activation

    def keyed_service(self, name: str) -> type[Service] | None:
        """The class that serves a service by key here, if one does."""
        service = self._resources.services.get(name)
        return service if service is not None and service.__rpc__.keyed is not None else None

    def make(self, name: Name, service: type[Service], epoch: int) -> Activation:
        """One that is not known here yet."""
        return Activation(self, self._resources, name, service, epoch)

    def _add(self, activation: Activation) -> None:
        self._places += 1
        activation.place = self._places
        self.active[activation.name] = activation
        self.by_id[activation.id] = activation

    def _give(self, activation: Activation, request: Request, answers: Answers) -> None:
        if answers.over:
            return
        activation.receive(request, answers)
        self._exchange.begun(answers)

    def when_known(self, name: Name, then: Callable[[bool], None]) -> None:
        activation = self.active.get(name)
        if activation is None:
            self._finder.find(name, lambda found: self._known(name, then, found))
        elif activation.takes_calls:
            then(True)
        else:
            self._wait(name, lambda: self.when_known(name, then))

    def _known(self, name: Name, then: Callable[[bool], None], found: Location | RpcError) -> None:
        if name in self.active:
            self.when_known(name, then)
            return
        here = isinstance(found, Location) and found.hub == self._serial
        if here and self._claim(name, found):  # type: ignore[arg-type]
            self.when_known(name, then)
            return
        if here:
            self.unneeded(name, found)  # type: ignore[arg-type]
        then(here)

    def withdraw(self, answers: Answers) -> None:
        activation: Activation = answers.owner
        if activation.takes_calls:
            activation.withdraw(answers)
        else:
            self._wait(activation.name, lambda: self._withdraw_again(activation.name, answers))

    def _withdraw_again(self, name: Name, answers: Answers) -> None:
        if answers.owner is self.active.get(name):
            self.withdraw(answers)
        # else it has moved, and whoever withdrew it is told so, and says it there

    def _wait(self, name: Name, then: Callable[[], None]) -> None:
        self._waiting.setdefault(name, []).append(then)

    def known(self, name: Name) -> None:
        """It is settled whether an actor is here: what has waited for that goes on."""
        waiting = self._waiting.pop(name, ())
        do_all(log, f"what waited for {name[0]}", *waiting)

    def unneeded(self, name: Name, granted: Location) -> None:
        """A key has become this hub's for which nobody calls any more: let go of it, unless somebody does in
        this step of the loop."""
        get_hub().loop.run_callback(self._let_go, name, granted.epoch)

    def _let_go(self, name: Name, epoch: int) -> None:
        if name not in self.active and not self._claim(name, Location(self._serial, epoch)):
            self._finder.release(name, epoch)

    # ---- their ends

    def rests(self, activation: Activation) -> None:
        name = activation.name
        keyed = activation.cell.service.__rpc__.keyed
        assert keyed is not None
        if name[1] in keyed.always:
            return
        resting = self._resting.setdefault(name[0], {})
        resting.pop(name, None)
        resting[name] = monotonic()
        if not self._timer.active:
            self._timer.set(keyed.idle, self._sweep)

    def wakes(self, activation: Activation) -> None:
        if (resting := self._resting.get(activation.name[0])) is not None:
            resting.pop(activation.name, None)

    def _sweep(self) -> None:
        """End those that have rested for long enough."""
        self._timer.stop()
        now = monotonic()
        nearest: float | None = None
        for service, resting in self._resting.items():
            idle = self._resources.services[service].__rpc__.keyed.idle  # type: ignore[union-attr]
            for name, since in [*resting.items()]:
                if since + idle > now:
                    nearest = min(nearest or since + idle, since + idle)
                    break
                del resting[name]
                activation = self.active.get(name)
                if activation is not None and activation.takes_calls and activation.resting:
                    activation.passivate()
                elif activation is not None:
                    self.rests(activation)
        if nearest is not None:
            self._timer.set(max(0.0, nearest - monotonic()), self._sweep)

    def ended(self, activation: Activation) -> None:
        name = activation.name
        if self.active.get(name) is not activation:
            return
        self._remove(activation)
        ids = about(connection=activation.id)
        do_all(
            log,
            f"the end of {name[0]}",
            activation.usage.close,
            lambda: self._finder.release(name, activation.epoch),
            activation.fall_apart,
            lambda: self.known(name),
            ids=ids,
        )

    def _remove(self, activation: Activation) -> None:
        if self.active.get(activation.name) is activation:
            del self.active[activation.name], self.by_id[activation.id]
            self.wakes(activation)

    # ---- their moves

    def adopt(self, activation: Activation, epoch: int) -> None:
        """One that comes from another hub is this hub's now."""
        activation.epoch = epoch
        self._add(activation)

    def serves(self, activation: Activation) -> None:
        """It is here, after a move or in place of one: its callers are told."""
        for answers in [*activation.unsettled, *[call.stream for call in activation.calls.values()]]:
            self._exchange.arrived(answers)
        self.known(activation.name)
        activation.idle()

    def left(self, activation: Activation) -> None:
        """Another hub has it, or it has never been here."""
        for answers in [*activation.unsettled, *[call.stream for call in activation.calls.values()]]:
            self._exchange.gone(answers)
        activation.usage.close()
        self._remove(activation)
        self.known(activation.name)

    def close(self) -> None:
        """No more of them end by themselves."""
        self._timer.stop()

    def __repr__(self) -> str:
        return f"<Activations {len(self.active)}, {sum(map(len, self._resting.values()))} rest>"
