"""What keyed actors did in a storm, judged: the book of their turns, what they told each other, and calls
that failed. Deaths of hubs explain some of it, and only of what was there, or on its way."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import grpc

from tests.apps.peers import GUEST, KEYS
from tests.apps.peers_actorrpc import PeerStub
from tests.apps.peers_pb2 import Ask, PeerState
from tests.apps.turn_book import Event, Record
from tests.chaos.deaths import Death
from tests.chaos.mover import ACTORS
from tests.support.server_process import ServerProcess

__all__ = ["LATEST", "Turns", "explains", "settle"]

#: Until what was told has been heard, and calls of clients that have gone with their hub are no more: a
#: minute later actors' hubs ask for these.
PATIENCE = 90.0
#: Between two looks at that.
LOOK = 0.1
#: For so many seconds after a hub's death calls may fail whose actor was there: the others have yet to hear.
LATEST = 5.0


def explains(death: Death, failure: dict[str, Any]) -> bool:
    """Whether a call failed since a hub was killed: one of its actors was there, or on its way, or had just
    left; or it lives for one call, so that nobody knows where. The call ended after the death, and began
    before, or just after."""
    named = any(_is_struck(death, each) or each.startswith(GUEST) for each in failure["actors"])
    return named and failure["began"] <= death.at + LATEST and failure["ended"] >= death.at


def _is_struck(death: Death, key: str) -> bool:
    """Whether the hub may have had calls for an actor."""
    return f"{ACTORS}/{key}" in death.there | death.moving | death.moved


# ---- the book


class Turns:
    """Judges the book of turns, record by record, in their order. ``faults`` says what cannot have been.

    Turns of a key never overlap. Those of an activation are numbered without a gap, whatever processes they
    run in: its state went with it. An activation is followed by another only where a hub was killed that had
    it, or may have had it, and then does nothing any more. No call comes twice. What one activation tells one
    key comes in order, without a gap but where the key's actor has died, or had just left the hub that did.
    """

    def __init__(self, deaths: Sequence[Death]) -> None:
        self.faults: list[str] = []
        self.counts: Counter[str] = Counter()
        self._deaths = deaths
        self._killed = {death.pid for death in deaths}
        self._activations: defaultdict[str, list[int]] = defaultdict(list)
        #: By key: the number of its last turn, and its turn that goes on.
        self._turn: dict[str, int] = {}
        self._open: dict[str, Record] = {}
        #: The process in which the last turn of each key ran.
        self._pid: dict[str, int] = {}
        self._calls: set[tuple[int, int]] = set()
        #: By caller and key: what was told last.
        self._told: dict[tuple[int, str], Record] = {}

    def judge(self, records: Iterable[Record]) -> None:
        for record in records:
            self.counts[record.event.name.lower()] += 1
            self._look_at(record)
        for key in KEYS:
            self._compare_activations(key)
        for record in self._open.values():
            if record.pid not in self._killed:
                self._fault(record, "has not ended")

    def _look_at(self, record: Record) -> None:
        key, event = record.key, record.event
        if event is Event.ACTIVATE:
            self._activate(record)
            return
        if self._activations[key][-1:] != [record.activation]:
            self._fault(record, f"is none of the activation that is there, {self._activations[key]}")
            return
        if event is Event.END:
            begun = self._open.pop(key, None)
            if begun is None or (begun.caller, begun.call) != (record.caller, record.call):
                self._fault(record, f"ends, and {begun} was there")
            return
        self._count(record)
        if event is not Event.BESIDE:
            if key in self._open:
                self._fault(record, f"runs within {self._open[key]}")
            self._open[key] = record
        if event is Event.TELL:
            self._hear(record)

    def _activate(self, record: Record) -> None:
        key = record.key
        begun = self._open.pop(key, None)
        if begun is not None and begun.pid not in self._killed:
            self._fault(record, f"comes as {begun} goes on")
        self._activations[key].append(record.activation)
        self._turn[key] = 0

    def _count(self, record: Record) -> None:
        """Its number is the next of its activation, and its call comes for the first time."""
        key = record.key
        if record.turn != self._turn[key] + 1:
            self._fault(record, f"comes after turn {self._turn[key]}")
        self._turn[key] = record.turn
        self.counts["turns in another process than the one before"] += self._pid.get(key) != record.pid
        self._pid[key] = record.pid
        call = record.caller, record.call
        if call in self._calls:
            self._fault(record, "is of a call that has run before")
        self._calls.add(call)

    def _hear(self, record: Record) -> None:
        before = self._told.get((record.caller, record.key))
        self._told[record.caller, record.key] = record
        number = 0 if before is None else before.number
        if record.number == number + 1:
            return
        # Before the first, an actor of the key may have died that had heard nothing.
        heard_by = self._activations[record.key][0] if before is None else before.activation
        since = 0.0 if before is None else before.at
        lost = heard_by != record.activation or any(
            _is_struck(death, record.key) and since <= death.at + LATEST and record.at >= death.at
            for death in self._deaths
        )
        if record.number > number and lost:
            self.counts["told and lost with a hub"] += record.number - number - 1
        else:
            self._fault(record, f"is told after number {number}")

    def _compare_activations(self, key: str) -> None:
        actor = f"{ACTORS}/{key}"
        made = len(self._activations[key]) - 1
        least = sum(actor in death.there for death in self._deaths)
        most = least + sum(actor in death.moving for death in self._deaths)
        self.counts["actors that died with their hub"] += made
        if not least <= made <= most:
            self.faults.append(f"{actor} was made anew {made} times, where {least} to {most} was due")

    def _fault(self, record: Record, what: str) -> None:
        self.faults.append(f"{record} {what}")

    def __repr__(self) -> str:
        return f"<Turns of {len(self._activations)} actors, {len(self.faults)} faults>"


# ---- the end


def settle(server: ServerProcess) -> Iterator[str]:
    """When nobody calls any more: have all actors tell once more whom they have told, and wait until that is
    heard, and no call is open. Yields what is not so."""
    with grpc.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = PeerStub(channel)
        for key in KEYS:
            stub.Close(Ask(key=key), timeout=PATIENCE)
        end = time.monotonic() + PATIENCE
        while wrong := list(_unsettled(stub)):
            if time.monotonic() > end:
                yield from wrong
                return
            time.sleep(LOOK)


def _unsettled(stub: Any) -> Iterator[str]:
    states: dict[str, PeerState] = {key: stub.Report(Ask(key=key), timeout=PATIENCE) for key in KEYS}
    for key, state in states.items():
        if state.open:
            yield f"{key} has calls that nobody has: {[*state.open]}"
        for other, known in state.known.items():
            heard = states[other].told[state.activation]
            if heard != known.told:
                yield f"{key} has told {other} {known.told} times, and {heard} was heard last"
