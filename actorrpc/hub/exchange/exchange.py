"""``Exchange``: the calls of actors by each other, and of keyed ones by clients, of one hub: those that are
made here and those that run here.

A call whose actor lives here, too, touches no socket: its answers are heard as they are said. Over a link, an
answer is kept until it is acknowledged. Either end may move meanwhile:

- Where the actor moves, it takes its calls along, with the answers that are kept. Its next hub says these
  again, and so the caller learns where it is. What the caller says to a hub that the actor has left is
  answered with ABSENT; then it asks the directory, and says it again there.
- Where the caller moves, its next hub finds the actor and says ATTACH, with the number of the last answer
  that was heard.

A call is run at most once. It is sent again only where it cannot have been heard: to another hub, when the
first has said ABSENT to the last INVOKE that it was sent, and to the same, over a new link, say, which knows
the call by its number, also if it has moved away since with the actor. If the hub dies to which it was sent,
it fails with UNAVAILABLE.

A hub that is told of a call which is not known there, since it has failed meanwhile, say, answers that nobody
wants it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from time import monotonic
from typing import Any, Protocol

from gevent import get_hub

from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.directory.names import Location, Name, connection_of, described, is_keyed
from actorrpc.hub.exchange.answers import Answer, Answers
from actorrpc.hub.exchange.messages import answer_from, answer_message, invoke_message, request_from
from actorrpc.hub.exchange.outgoing import (
    BEGUN,
    END,
    LOCATING,
    NOBODY,
    SENT,
    WITHDRAWN,
    Listener,
    OutgoingCall,
    Request,
)
from actorrpc.hub.exchange.recent import RecentCalls
from actorrpc.loop.timers import Timer, after
from actorrpc.pb import control_pb2
from actorrpc.wire.head import RequestHead

__all__ = ["Actors", "Exchange", "Finder"]

log = logging.getLogger("actorrpc.hub")

HubToHub = control_pb2.HubToHub

#: Bits of a call's number that are its own; those above are the hub process's. They begin behind the numbers
#: of HTTP/2 streams, beside which calls by reference stand on a connection.
_OWN = 40
_FIRST = 1 << 32

#: For how many seconds the calls of a hub that has died may still be claimed by another, to which it had just
#: given their connection.
ORPHANS = 5.0
#: How long the numbers of calls are kept that have moved away, or whose caller has, in seconds.
MOVED = 60.0


class Finder(Protocol):
    """The directory, as callers need it; of actors of connections ``actorrpc.hub.search``."""

    def find(
        self,
        name: Name,
        done: Callable[[Location | RpcError], None],
        *,
        may_own: bool = True,
        stale: Location | None = None,
    ) -> None: ...
    def release(self, name: Name, epoch: int) -> None: ...
    def is_home(self, name: Name) -> bool: ...
    def lives(self, serial: int) -> bool: ...


class Actors(Protocol):
    """The actors of this hub, as their callers' ends need them."""

    @property
    def may_own(self) -> bool:
        """Whether actors may come to live here now."""

    def has(self, name: Name) -> bool:
        """Whether the actor is here, also if it is about to leave."""

    def invoke(self, name: Name, request: Request, answers: Answers) -> None:
        """Run a call, if the actor is here or may be; else ``Exchange.absent`` follows."""

    def when_known(self, name: Name, then: Callable[[bool], None]) -> None:
        """Say whether the actor is here, when that is known: now, or when a move of it is over."""

    def withdraw(self, answers: Answers) -> None:
        """The caller of a call that is served here wants no more of it."""

    def unneeded(self, name: Name, granted: Location) -> None:
        """The key has become this hub's, and nobody calls any more."""


class Exchange:
    """``send(serial, message)`` says something to another hub, and ``linked(serial)`` whether that can be. If
    not, ``missed(serial)`` is called, and ``relinked`` or ``died`` is to follow."""

    def __init__(
        self,
        serial: int,
        finder: Finder,
        send: Callable[[int, HubToHub], object],
        linked: Callable[[int], bool] = lambda serial: True,
        missed: Callable[[int], object] = lambda serial: None,
    ) -> None:
        self.serial = serial
        self._finder = finder
        self._send = send
        #: Hubs that say nothing, as far as the broker has told.
        self.silent: frozenset[int] = frozenset()
        self._linked = linked
        self._missed = missed
        #: Hubs that hear nothing more, and are about to end.
        self._parted: set[int] = set()
        self.actors: Actors
        self._here = Location(serial, 0)
        self._numbers = count((serial << _OWN) + _FIRST)
        #: Calls that are made here, by number.
        self.outgoing: dict[int, OutgoingCall] = {}
        #: Calls that run here, or have ended and not all of whose answers are known to be heard.
        self.answering: dict[int, Answers] = {}
        #: Calls whose callers have moved to other hubs, and calls from other hubs that have moved away with
        #: their actors.
        self._moved = RecentCalls(MOVED)
        self._gone = RecentCalls(MOVED)
        #: The hubs of which it has been told that they have died.
        self._dead: set[int] = set()
        #: Whether there has been a call; and when callers are asked, after deaths, what they know.
        self._used = False
        self._asking = Timer()
        self._ask_at = 0.0
        #: What is to be told to whom, when the loop comes round.
        self._answered: dict[int, control_pb2.Answered] = {}
        self._begun: dict[int, list[Answers]] = {}
        self._telling = False
        self._handlers: dict[str, Callable[[int, Any], None]] = {
            "invoke": self._on_invoke,
            "attach": self._on_attach,
            "withdraw": self._on_withdraw,
            "answer": self._on_answer,
            "answered": self._on_answered,
            "begun": self._on_begun,
            "absent": self._on_absent,
            "parted": self._on_parted,
        }

    # ---- what callers do

    def begin(self, name: Name, request: Request, listener: Listener) -> OutgoingCall:
        """Make a call. The listener may hear of its end before this returns."""
        self._used = True
        call = OutgoingCall(next(self._numbers), name, listener, request)
        self.outgoing[call.id] = call
        if self.actors.has(name):  # then the directory need not be asked
            call.where, call.state = self._here, SENT
            self._run(call.id, name, request, self.serial)
        else:
            self._locate(call, None)
        return call

    def withdraw(self, call: OutgoingCall) -> None:
        """The caller wants no more of it, and hears nothing more."""
        call.listener = NOBODY
        if call.id not in self.outgoing or call.state == WITHDRAWN:
            return
        state, call.state, call.request = call.state, WITHDRAWN, None
        if state == LOCATING:
            del self.outgoing[call.id]
        elif call.where is None:
            self._locate(call, None)
        else:
            self._say_withdrawn(call)

    def expire(self, call: OutgoingCall) -> None:
        """Its deadline has passed: the caller hears nothing more. Whoever runs it has the deadline, too."""
        call.listener = NOBODY
        if call.state == LOCATING:
            self.withdraw(call)
        else:
            self.go_on(call)

    def go_on(self, call: OutgoingCall) -> None:
        """Its listener can take more."""
        if (answers := self.answering.get(call.id)) is not None and answers.caller == self.serial:
            answers.go_on()
            self._settle(answers)
            self._drained(answers)
        else:
            self._acknowledge(call)

    def attach(self, call: OutgoingCall) -> None:
        """Its caller has come from another hub, or goes on here after a move that came to nothing."""
        stayed = self.outgoing.get(call.id) is call
        self.outgoing[call.id] = call
        self._moved.discard(call.id)
        if call.where is not None:
            self._resume(call)
        elif not (stayed and call.state == LOCATING):
            self._locate(call, None)

    def leave(self, call: OutgoingCall) -> None:
        """Its caller is served by another hub now, which attaches it there."""
        call.listener = NOBODY
        if self.outgoing.pop(call.id, None) is not None:
            self._moved.add(call.id)

    # ---- where the actor is

    def _locate(self, call: OutgoingCall, stale: Location | None) -> None:
        located = partial(self._located, call)
        self._finder.find(call.name, located, may_own=self.actors.may_own, stale=stale)

    def _located(self, call: OutgoingCall, found: Location | RpcError) -> None:
        if self.outgoing.get(call.id) is not call:
            if isinstance(found, Location) and found.hub == self.serial:
                self.actors.unneeded(call.name, found)
        elif isinstance(found, RpcError):
            if found.code is StatusCode.NOT_FOUND and call.state == BEGUN:
                self._lost(call)
            else:
                self._end(call, found.code, found.message)
        elif call.where is not None and call.where.epoch > found.epoch:
            pass  # the actor's hub has said so itself meanwhile
        else:
            call.where = found
            if call.state == LOCATING:
                self._invoke(call)
            else:
                self._resume(call)

    def _invoke(self, call: OutgoingCall) -> None:
        """Have it run where its actor is."""
        assert call.where is not None and call.request is not None
        request = call.request
        if call.where.hub == self.serial:
            call.state = SENT
            self._run(call.id, call.name, request, self.serial)
        elif call.state == LOCATING and call.where.hub in self.silent:
            why = f"the hub that has {described(call.name)} does not answer"
            self._end(call, StatusCode.UNAVAILABLE, why)
        else:
            call.attempt += 1
            invoke = invoke_message(call.id, call.name, request, call.attempt)
            # Where there is no link, `relinked` follows, or `died`, perhaps at once.
            if self._ask(call.where.hub, HubToHub(invoke=invoke)):
                call.state = SENT

    def _resume(self, call: OutgoingCall) -> None:
        """Go on with it where its actor is now."""
        assert call.where is not None
        if call.where.hub == self.serial:
            self._hear_own(call)
        elif call.state == WITHDRAWN:
            self._say_withdrawn(call)
        elif call.state in (LOCATING, SENT):
            self._invoke(call)
        else:
            service, key = call.name
            attach = control_pb2.Attach(
                call=call.id, service=service, key=key, received=call.received, moves=call.moves
            )
            self._ask(call.where.hub, HubToHub(attach=attach))

    def _hear_own(self, call: OutgoingCall) -> None:
        def known(here: bool) -> None:
            if self.outgoing.get(call.id) is not call or call.where is None or call.where.hub != self.serial:
                return  # it has ended, or goes on elsewhere
            answers = self.answering.get(call.id)
            if answers is None:
                self._unknown(call, here)
            elif call.state == WITHDRAWN:
                del self.outgoing[call.id]
                self._withdraw(answers)
            else:
                answers.attach(self.serial, call.moves, call.received)
                answers.go_on()
                self._settle(answers)
                self._drained(answers)

        self.actors.when_known(call.name, known)

    def _unknown(self, call: OutgoingCall, here: bool) -> None:
        """It is not where it was looked for, though its actor is ``here``, or has moved."""
        if not here:
            self._elsewhere(call)
        elif call.state == WITHDRAWN:
            del self.outgoing[call.id]
        else:
            self._lost(call)

    def _lost(self, call: OutgoingCall) -> None:
        if is_keyed(call.name):
            service, key = call.name
            what = f"the hub has ended where {service} had its actor {key!r}"
        else:
            what = f"connection {connection_of(call.name)} has ended, or its hub"
        self._end(call, StatusCode.UNAVAILABLE, f"{what}: whether the call has run is not known")

    def _end(self, call: OutgoingCall, status: StatusCode, message: str) -> None:
        """It ends without its actor's doing."""
        if call.listener.frozen:  # whoever serves the caller next finds that out
            call.where = None
        elif self.outgoing.pop(call.id, None) is not None:
            call.request = None
            call.listener.on_end(status, message, (), None)

    def _say_withdrawn(self, call: OutgoingCall) -> None:
        assert call.where is not None
        if call.where.hub == self.serial:
            self._hear_own(call)
        else:
            service, key = call.name
            withdraw = control_pb2.Withdraw(call=call.id, service=service, key=key)
            self._ask(call.where.hub, HubToHub(withdraw=withdraw))

    def _ask(self, hub: int, message: HubToHub) -> bool:
        """Say something of which something is to come. Whether it can be said."""
        if hub in self._parted or not self._linked(hub):
            self._missed(hub)
            return False
        self._send(hub, message)
        return True

    # ---- what actors do

    def _run(self, id: int, name: Name, request: Request, caller: int, attempt: int = 0) -> None:
        self._used = True
        head = RequestHead(request.fields, request.method, 0)
        answers = self.answering[id] = Answers(id, caller, head, self._say)
        answers.one_way = request.one_way
        answers.attempt = attempt
        self.actors.invoke(name, request, answers)

    def restore(self, id: int, caller: int, head: RequestHead) -> Answers:
        """The answers of a call that is coming with its actor from another hub: ``arrived`` follows."""
        return Answers(id, caller, head, self._say)

    def arrived(self, calls: Iterable[Answers]) -> None:
        """Calls of an actor are served here now: say again what their callers may not have heard."""
        self._used = True
        calls = [*calls]
        for answers in calls:
            self.answering[answers.id] = answers
            self._gone.discard(answers.id)
        for answers in calls:
            if answers.caller == self.serial:
                self._arrived_home(answers)
            else:
                answers.repeat()
                self.begun(answers)
            self._settle(answers)
        for serial in {answers.caller for answers in calls} - {self.serial}:
            if not self._finder.lives(serial):  # it may have died before this hub would have heard of it
                after(ORPHANS, self._withdraw_orphans, serial)

    def _arrived_home(self, answers: Answers) -> None:
        """The caller of a call is here, too, or has been."""
        call = self.outgoing.get(answers.id)
        if call is not None:
            call.where = Location(self.serial, answers.owner.epoch)
            if call.state == WITHDRAWN:
                del self.outgoing[call.id]
                self._withdraw(answers)
            else:
                call.begun()
                answers.go_on()
        elif answers.id not in self._moved:
            self._abandon(answers)

    def begun(self, answers: Answers) -> None:
        """A call waits or runs here: its caller need not send it again."""
        if answers.caller == self.serial:
            if (call := self.outgoing.get(answers.id)) is not None and call.state == SENT:
                call.begun()
        elif not answers.over:
            self._begun.setdefault(answers.caller, []).append(answers)
            self._tell_soon()

    def absent(self, answers: Answers) -> None:
        """The actor of a call is not here, and has never seen it here."""
        self._forget(answers)
        if answers.caller == self.serial:
            if (call := self.outgoing.get(answers.id)) is not None:
                self._elsewhere(call)
        else:
            absent = control_pb2.Absent(call=answers.id, attempt=answers.attempt)
            self._send(answers.caller, HubToHub(absent=absent))

    def gone(self, answers: Answers) -> None:
        """The actor of a call has moved to another hub, and its answers with it."""
        if self._forget(answers) and answers.caller != self.serial:
            self._gone.add(answers.id)

    def _forget(self, answers: Answers) -> bool:
        """Whether it was among those that are answered here."""
        if self.answering.get(answers.id) is answers:
            del self.answering[answers.id]
            return True
        return False

    def _say(self, answers: Answers, answer: Answer) -> bool:
        """Bring an answer on its way. Whether it has been heard."""
        if answers.caller != self.serial:
            self._send(answers.caller, answer_message(answers.id, answer))
            return False
        call = self.outgoing.get(answers.id)
        if call is None:
            heard = answers.id not in self._moved
        elif call.listener.frozen or (answer[1] != END and call.listener.congested):
            heard = False
        else:
            heard = self._hear(call, answer)
        if heard and answer[1] == END and self.answering.get(answers.id) is answers:
            del self.answering[answers.id]
        return heard

    def _hear(self, call: OutgoingCall, answer: Answer) -> bool:
        """Whether the caller has it now, or had it before."""
        number, kind, data = answer
        if call.state == SENT:
            call.begun()
        if number != call.received + 1:
            return number <= call.received
        if kind == END:
            self.outgoing.pop(call.id, None)
        call.take(number, kind, data)
        return True

    def _settle(self, answers: Answers) -> None:
        if answers.settled:
            self._forget(answers)
            if answers.owner is not None:
                answers.owner.settled(answers)

    def _drained(self, answers: Answers) -> None:
        call = answers.call
        if call is not None and not call.ended and call.runner is None and not call.congested:
            call.receiver.drained(call)

    def _withdraw(self, answers: Answers) -> None:
        if answers.owner is None:  # it waits for its actor
            answers.finish(StatusCode.CANCELLED, "withdrawn")
        else:
            self.actors.withdraw(answers)
        answers.heard(answers.number)  # nobody wants to
        self._settle(answers)

    # ---- what other hubs say

    def receive(self, source: int, message: HubToHub) -> None:
        kind = message.WhichOneof("kind")
        assert kind is not None
        if source in self.silent:  # the broker will hear it, too
            self.silent -= {source}
        self._handlers[kind](source, getattr(message, kind))

    def _on_invoke(self, source: int, invoke: control_pb2.Invoke) -> None:
        answers = self.answering.get(invoke.call)
        if answers is not None:  # said again
            answers.caller, answers.attempt = source, invoke.attempt
            answers.repeat()
            if answers.owner is not None:
                self.begun(answers)
        elif invoke.call in self._gone:
            self._send(source, HubToHub(begun=control_pb2.Begun(calls=[invoke.call], epochs=[0])))
            absent = control_pb2.Absent(call=invoke.call, attempt=invoke.attempt)
            self._send(source, HubToHub(absent=absent))
        else:
            name = invoke.service, invoke.key
            self._run(invoke.call, name, request_from(invoke), source, invoke.attempt)

    def _on_attach(self, source: int, attach: control_pb2.Attach) -> None:
        def known(here: bool) -> None:
            answers = self.answering.get(attach.call)
            if answers is None:
                self._say_absent(source, attach.call, here)
            elif answers.attach(source, attach.moves, attach.received):
                answers.repeat()
                self.begun(answers)
                self._settle(answers)
                self._drained(answers)
                if source in self._dead:  # while it was not known whether the actor stays
                    after(ORPHANS, self._withdraw_orphans, source)

        self.actors.when_known((attach.service, attach.key), known)

    def _on_withdraw(self, source: int, withdraw: control_pb2.Withdraw) -> None:
        answers = self.answering.get(withdraw.call)
        if withdraw.unknown and (answers is None or answers.caller != source):
            return

        def known(here: bool) -> None:
            answers = self.answering.get(withdraw.call)
            if withdraw.unknown:
                if answers is not None and answers.caller == source:
                    self._abandon(answers)
                return
            if answers is not None:
                answers.caller = source
                self._withdraw(answers)
            self._say_absent(source, withdraw.call, here or answers is not None)

        if answers is not None and answers.owner is None:
            known(True)
        elif answers is not None:
            self.actors.when_known(answers.owner.name, known)
        else:
            self.actors.when_known((withdraw.service, withdraw.key), known)

    def _say_absent(self, hub: int, id: int, unknown: bool) -> None:
        self._send(hub, HubToHub(absent=control_pb2.Absent(call=id, unknown=unknown)))

    def _on_answer(self, source: int, message: control_pb2.Answer) -> None:
        call = self.outgoing.get(message.call)
        if call is None:
            if message.HasField("end") and message.call not in self._moved:
                self._note_answered(source, message.call, message.number)
            else:
                self._say_nobody(source, message.call)
        elif (
            not call.listener.frozen
            and self._hear(call, answer_from(message))
            and (message.HasField("end") or not call.listener.congested)
        ):
            call.acknowledged = call.received
            self._note_answered(source, call.id, call.received)

    def _say_nobody(self, hub: int, id: int) -> None:
        """A hub serves a call that is not known here, unless its caller has just moved."""
        if id not in self._moved:
            self._send(hub, HubToHub(withdraw=control_pb2.Withdraw(call=id, unknown=True)))

    def _acknowledge(self, call: OutgoingCall) -> None:
        where = call.where
        if where is None or where.hub == self.serial:  # where it has gone they are said again
            return
        if call.acknowledged < call.received and call.id in self.outgoing:
            call.acknowledged = call.received
            self._note_answered(where.hub, call.id, call.received)

    def _note_answered(self, hub: int, id: int, number: int) -> None:
        if (answered := self._answered.get(hub)) is None:
            answered = self._answered[hub] = control_pb2.Answered()
            self._tell_soon()
        answered.calls.append(id)
        answered.numbers.append(number)

    def _tell_soon(self) -> None:
        if not self._telling:
            self._telling = True
            get_hub().loop.run_callback(self._tell)

    def _tell(self) -> None:
        """Say what has been gathered since the loop last came round."""
        self._telling = False
        answered, self._answered = self._answered, {}
        for hub, message in answered.items():
            self._send(hub, HubToHub(answered=message))
        all_begun, self._begun = self._begun, {}
        for hub, calls in all_begun.items():
            # What has ended since has said so.
            if calls := [each for each in calls if self._is_begun(each) and each.caller == hub]:
                begun = control_pb2.Begun(
                    calls=[answers.id for answers in calls], epochs=[answers.owner.epoch for answers in calls]
                )
                self._send(hub, HubToHub(begun=begun))

    def _is_begun(self, answers: Answers) -> bool:
        return not answers.over and answers.owner is not None and self.answering.get(answers.id) is answers

    def _on_answered(self, source: int, answered: control_pb2.Answered) -> None:
        for id, number in zip(answered.calls, answered.numbers, strict=True):
            answers = self.answering.get(id)
            if answers is not None and answers.caller == source:
                answers.heard(number)
                self._settle(answers)
                self._drained(answers)

    def _on_begun(self, source: int, begun: control_pb2.Begun) -> None:
        for id, epoch in zip(begun.calls, begun.epochs, strict=True):
            call = self.outgoing.get(id)
            if call is None:
                self._say_nobody(source, id)
                continue
            call.begun()
            if call.where is None or epoch > call.where.epoch:
                moved = call.where is not None and call.where.hub != source
                call.where = Location(source, epoch)
                if moved:  # what was acknowledged may have been so to the hub that the actor has left
                    call.acknowledged = 0
                    if call.state == WITHDRAWN:
                        self._say_withdrawn(call)
                    elif not call.listener.frozen and not call.listener.congested:
                        self._acknowledge(call)

    def _on_absent(self, source: int, absent: control_pb2.Absent) -> None:
        call = self.outgoing.get(absent.call)
        if call is None or call.where is None or call.where.hub != source:
            return
        if not absent.attempt or absent.attempt == call.attempt:
            self._unknown(call, absent.unknown)

    def _elsewhere(self, call: OutgoingCall) -> None:
        """Its actor is not where it was thought to be, or has left."""
        stale, call.where = call.where, None
        if call.state == SENT:
            call.state = LOCATING
        self._locate(call, stale)

    def _on_parted(self, source: int, parted: control_pb2.Parted) -> None:
        self._parted.add(source)
        for call in [*self.outgoing.values()]:
            if call.where is not None and call.where.hub == source:
                self._elsewhere(call)

    # ---- hubs come and go

    def part(self, others: Iterable[int]) -> None:
        """This hub ends, and hears nothing more. No actor is left: what has not been answered has not run, or
        is known where its actor is now. So its callers need not fear for it."""
        self._tell()
        for serial in others:
            self._send(serial, HubToHub(parted=control_pb2.Parted()))

    def relinked(self, serial: int) -> None:
        """There is a new link to a hub that lives: what was under way over the old one may be lost."""
        for call in [*self.outgoing.values()]:
            if call.where is not None and call.where.hub == serial:
                self._resume(call)
        for answers in [*self.answering.values()]:
            if answers.caller == serial:
                answers.repeat()
                if answers.owner is not None:
                    self.begun(answers)

    def died(self, serial: int) -> None:
        """A hub has died, for certain."""
        self._dead.add(serial)
        self._parted.discard(serial)
        for call in [*self.outgoing.values()]:
            if call.where is None or self.outgoing.get(call.id) is not call:
                continue
            if call.where.hub != serial:
                # Its actor may have moved there, or its call have been on its way from here, and nobody has
                # said so any more. Where it was known last they know.
                self._resume(call)
            elif call.state == SENT:
                self._lost(call)
            else:  # the actor may have moved away before
                stale, call.where = call.where, None
                self._locate(call, stale)
        if any(answers.caller == serial for answers in self.answering.values()):
            after(ORPHANS, self._withdraw_orphans, serial)
        # A caller may have been about to say that it is there. Where it was before they do not know yet that
        # it has got lost.
        self._ask_at = monotonic() + MOVED + ORPHANS
        if self._used and not self._asking.active:
            self._asking.set(MOVED + ORPHANS, self._ask_callers)

    def _ask_callers(self) -> None:
        """Have hubs say so that know nothing of the calls they have made."""
        self._asking.stop()
        if (more := self._ask_at - monotonic()) > 0:  # another has died since
            self._asking.set(more, self._ask_callers)
        for answers in [*self.answering.values()]:
            if answers.caller == self.serial:
                if answers.id not in self.outgoing and answers.id not in self._moved:
                    self._abandon(answers)
            elif answers.over:
                answers.repeat()
            elif answers.owner is not None:
                self.begun(answers)

    def _withdraw_orphans(self, serial: int) -> None:
        """Nobody has claimed them."""
        for answers in [*self.answering.values()]:
            if answers.caller == serial:
                self._abandon(answers)

    def _abandon(self, answers: Answers) -> None:
        """Nobody waits for a call any more, or knows it."""
        answers.caller = self.serial  # where nobody knows it, so that all is heard
        if not answers.one_way:
            self._withdraw(answers)
        answers.go_on()
        self._settle(answers)

    def close(self) -> None:
        """The hub ends."""
        self._asking.stop()
        self._moved.clear()
        self._gone.clear()

    def __repr__(self) -> str:
        return f"<Exchange {len(self.outgoing)} calls made, {len(self.answering)} served>"
