"""``Activations``: the keyed actors that live in one hub. They are made when the first call comes, and end
when they have had nothing to do for a while."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from gevent import get_hub

from actorrpc.actor import Service
from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.calls.route import Route, routes_of_keyed
from actorrpc.hub.directory.names import Location, Name
from actorrpc.hub.exchange.answers import Answers
from actorrpc.hub.exchange.exchange import Exchange, Finder
from actorrpc.hub.exchange.no_session import NoSession
from actorrpc.hub.exchange.outgoing import Request
from actorrpc.hub.keyed.activation import Activation
from actorrpc.hub.keyed.resting import Resting
from actorrpc.hub.resources import Resources
from actorrpc.log import about
from actorrpc.loop.duties import do_all
from actorrpc.loop.timers import Timer

__all__ = ["Activations"]

log = logging.getLogger("actorrpc.hub")

#: Until it is tried again to activate one that is to be active at all times, in seconds: first, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0


class Activations:
    """One of them for each hub. ``may_own`` says whether actors may come to live here now, ``settled`` is
    called when one has ended that a stop may wait for, and ``closes`` when one ends that may be about to
    move."""

    def __init__(
        self,
        serial: int,
        resources: Resources,
        exchange: Exchange,
        finder: Finder,
        may_own: Callable[[], bool] = lambda: True,
        settled: Callable[[], object] = lambda: None,
        closes: Callable[[str], object] = lambda id: None,
    ) -> None:
        self._settled = settled
        self._closes = closes
        self.serial = serial
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
        #: How many of them were made for calls of a client's connection, by its id.
        self._made: dict[str, int] = {}
        #: How many have had a place among them.
        self._places = 0
        #: What other hubs offer: told that the key is this hub's now, it comes to life, or is dropped if that
        #: is by another grant.
        self.arriving: dict[Name, Callable[[Location | None], None]] = {}
        #: What is to be done when it is settled whether an actor stays here.
        self._waiting: dict[Name, list[Callable[[], None]]] = {}
        self._resting = Resting(self.active)
        self._stopping = False
        #: Those that are to be active somewhere at all times; and how long it waited before it last tried to
        #: activate one again that could not be.
        self._always = [
            (service.__rpc__.name, key)
            for service in resources.services.values()
            if service.__rpc__.keyed is not None
            for key in service.__rpc__.keyed.always
        ]
        self._pauses: dict[Name, float] = {}
        self._again = Timer()
        exchange.actors = self

    # ---- what comes for actors

    @property
    def may_own(self) -> bool:
        return self._may_own()

    def has(self, name: Name) -> bool:
        return name in self.active

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
                name, lambda found: self._found(name, request, answers, found), may_own=self.may_own
            )

    def _found(self, name: Name, request: Request, answers: Answers, found: Location | RpcError) -> None:
        if isinstance(found, RpcError):
            answers.finish(found.code, found.message)
        elif found.hub != self.serial:
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
        if service is None:
            answers.finish(StatusCode.UNIMPLEMENTED, f"{name[0]} is not served by key here")
        elif why := self._why_full(request.origin):
            answers.finish(StatusCode.RESOURCE_EXHAUSTED, why)
        else:
            self._give(self._make(name, service, granted, request.origin), request, answers)
            return
        self.unneeded(name, granted)

    def _why_full(self, origin: str) -> str:
        """Why no more may be made here for a client's connection; "" if one may. It may have as many as it
        leaves room for: so one alone has no more than half, and ten leave an eleventh for the next, as with
        parsed messages (``metering.parsed``)."""
        limit = self._resources.config.max_actors
        room = limit - len(self.active)
        if not limit:
            return ""
        if room <= 0:
            return f"this hub has {limit} keyed actors: no more may live here"
        if origin and (mine := self._made.get(origin, 0)) >= room:
            return (
                f"{mine} of the {len(self.active)} keyed actors of this hub have been made for calls of this "
                f"connection, and {limit} may be: it gets no more"
            )
        return ""

    def _make(self, name: Name, service: type[Service], granted: Location, origin: str = "") -> Activation:
        activation = self.make(name, service, granted.epoch)
        activation.origin = origin
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
        if activation.origin:
            self._made[activation.origin] = self._made.get(activation.origin, 0) + 1

    def _give(self, activation: Activation, request: Request, answers: Answers) -> None:
        if answers.over:
            return
        activation.receive(request, answers)
        self._exchange.begun(answers)

    def when_known(self, name: Name, then: Callable[[bool], None]) -> None:
        activation = self.active.get(name)
        if activation is None:
            self._finder.find(name, lambda found: self._known(name, then, found), may_own=self.may_own)
        elif activation.takes_calls:
            then(True)
        else:
            self._wait(name, lambda: self.when_known(name, then))

    def _known(self, name: Name, then: Callable[[bool], None], found: Location | RpcError) -> None:
        if name in self.active:
            self.when_known(name, then)
            return
        here = isinstance(found, Location) and found.hub == self.serial
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
        elif self.active.get(activation.name) is activation:
            self._wait(activation.name, lambda: self.withdraw(answers))
        # else its calls have ended, or moved: then whoever withdrew it is told so, and says it there

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
        if name not in self.active and not self._claim(name, Location(self.serial, epoch)):
            self._finder.release(name, epoch)

    # ---- their ends

    def rests(self, activation: Activation) -> None:
        if self._stopping:
            get_hub().loop.run_callback(self._end_resting, activation)
        else:
            activation.watched = True
            keyed = activation.service.__rpc__.keyed
            assert keyed is not None
            if activation.key not in keyed.always:
                self._resting.watch(activation, keyed.idle)

    def closes(self, activation: Activation) -> None:
        self._closes(activation.id)

    # ---- those that are to be active at all times

    def ensure(self) -> None:
        """See to it that they are active, as far as this hub is the home of their keys: at the start, and
        when a hub may have taken one with it."""
        for name in self._always:
            if name not in self.active and self._may_own() and self._finder.is_home(name):
                self._finder.find(name, partial(self._ensure, name))

    def _ensure(self, name: Name, found: Location | RpcError) -> None:
        service = self.keyed_service(name[0])
        if isinstance(found, RpcError):
            self._ensure_later(name)
            return
        if found.hub != self.serial or service is None:
            return
        if name not in self.active and not self._claim(name, found):
            self._make(name, service, found)

    def _ensure_later(self, name: Name) -> None:
        """One has ended here, most likely since it could not be made, or cannot be found."""
        pause = self._pauses[name] = min(2 * self._pauses.get(name, FIRST_PAUSE / 2), LONGEST_PAUSE)
        self._again.set(pause, self.ensure)

    # ---- the end

    def stop(self, *, at_once: bool = False) -> bool:
        """End them all: those that rest now, others when they do, or ``at_once``, with what is open on them.
        Returns whether all have ended."""
        self._stopping = True
        for activation in [*self.active.values()]:
            activation.watched = False
            if not activation.takes_calls:
                continue
            if at_once:
                activation.calls.end_all(StatusCode.UNAVAILABLE, "the server is shutting down")
                activation.passivate()
            else:
                self._end_resting(activation)
        return not self.active

    def _end_resting(self, activation: Activation) -> None:
        if activation.takes_calls and activation.resting:
            activation.passivate()

    def ended(self, activation: Activation) -> None:
        name = activation.name
        if self.active.get(name) is not activation:
            return
        if name in self._always and not self._stopping:
            self._ensure_later(name)
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
        self._settle()

    def _remove(self, activation: Activation) -> None:
        if self.active.get(activation.name) is activation:
            del self.active[activation.name], self.by_id[activation.id]
            if origin := activation.origin:
                self._made[origin] -= 1
                if not self._made[origin]:
                    del self._made[origin]

    # ---- their moves

    def adopt(self, activation: Activation, epoch: int) -> None:
        """One that comes from another hub is this hub's now."""
        activation.epoch = epoch
        self._add(activation)

    def serves(self, activation: Activation) -> None:
        """It is here, after a move or in place of one: its callers are told."""
        self._exchange.arrived(activation.answers)
        self.known(activation.name)
        activation.idle()

    def left(self, activation: Activation) -> None:
        """Another hub has it, or it has never been here."""
        for answers in activation.answers:
            self._exchange.gone(answers)
        activation.usage.close()
        self._remove(activation)
        self.known(activation.name)
        self._settle()

    def _settle(self) -> None:
        """Have a stop look whether all have ended: not at the end of each, when many end in a row."""
        if self._stopping and not self.active:
            get_hub().loop.run_callback(self._settled)

    def close(self) -> None:
        """No more of them end, or come to be, by themselves."""
        self._resting.close()
        self._again.stop()

    def __repr__(self) -> str:
        return f"<Activations {len(self.active)}, {self._resting!r}>"
