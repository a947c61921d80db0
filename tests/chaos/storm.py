"""A storm: a real server, crews of real clients, and every connection moving at random meanwhile.

The clients find out what is lost, doubled, reordered or failed; the storm compares their counts with those of
the actors, the mover and the broker. Aborted moves and late deadlines are figures: its caller judges them.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.apps.storm_pb2 import Book, Number
from tests.apps.turn_book import read
from tests.chaos.accounts import Turns, explains, settle
from tests.chaos.crew import Crew
from tests.chaos.deaths import Death, Deaths
from tests.chaos.figures import cpu_seconds, summary
from tests.chaos.mover import LANES, Mover, Moves
from tests.chaos.reloads import Reloads
from tests.chaos.visitor import visitor
from tests.support.endpoints import Endpoint
from tests.support.server_process import ServerProcess

__all__ = ["AFTERMATH", "Plan", "Storm", "compare_thaws", "judge"]

#: How many members share a topic.
ROOM = 6
#: For how many seconds after a home's death its topics may say something again.
AFTERMATH = 10.0
#: After so many seconds the broker asks all hubs about a move.
ASKS_ALL = 1.0
#: What the broker answers where no hub began with a move.
NOT_BEGUN = ("no such connection", "no such actor", "it is not on any hub", "hub ")


@dataclass(frozen=True)
class Plan:
    """What kind of storm it is to be."""

    moves: int
    rate: float = 1000.0
    hubs: int = 2
    members: int = 18
    #: Processes that the members are spread over.
    crews: int = 1
    #: Seconds that each of a member's conversations rests between two steps, on average.
    think: float = 0.3
    silent: int = 4
    blocked: int = 1
    slow: int = 1
    seed: int = 1
    #: Whether interceptors see all calls.
    intercepted: bool = True
    #: Clients with iterables of 100,000 replies and heaps that they read late; those whose handlers fork.
    streamers: int = 2
    troublemakers: int = 2
    #: Clients that call keyed actors, which call each other; these move, too.
    keyed: int = 3
    #: The share of all these that speak TLS.
    tls: float = 1 / 3
    #: Seconds between the deaths of two hubs, each the home of topics, and at most so many; 0: none dies.
    deaths_every: float = 0.0
    deaths: int = 1_000_000
    #: The same for reloads.
    reloads_every: float = 0.0
    reloads: int = 1_000_000
    #: Seconds after which no more moves are asked for; None: as long as they take.
    limit: float | None = None

    @property
    def connections(self) -> int:
        grpcio = self.members + self.streamers + self.troublemakers + self.keyed
        return grpcio + self.silent + self.blocked + self.slow


class Storm:
    """One storm over a running server, from the first client to the last. ``blow`` makes it.

    ``books``: where hubs that end leave what their interceptor has noted. ``turns``: the book of the turns of
    keyed actors. ``tls``: where it speaks TLS, and with which certificates.
    """

    def __init__(self, server: ServerProcess, plan: Plan, books: Path, turns: Path, tls: Endpoint) -> None:
        self.server = server
        self._tls = tls
        self._books = books
        self._turns = turns
        self.plan = plan
        self.moves = Moves()
        #: What is wrong, as far as it is known.
        self.faults: list[str] = []
        self.numbers: dict[str, int] = {}
        self.pauses: list[dict[str, float]] = []
        #: What was heard of topics otherwise than once and in order, because their home had died.
        self.heard_again = self.lost_on_the_way = 0
        #: Calls of keyed actors that failed with their hubs, and what the book of turns has.
        self.failed_with_hubs = 0
        self.turns: Counter[str] = Counter()
        #: Moves after which the connection had moved on before its actor's on_thaw ran.
        self.unthawed = 0
        self.late: dict[str, dict[str, float]] = {}
        self.within_20_ms: dict[str, float] = {}
        #: CPU seconds from "go" to the end of the moves, by process.
        self.cpu: dict[str, float] = {}
        self._crews: list[Crew] = []
        #: By connection, how often its actor was thawed.
        self._thaws: dict[str, int] = {}
        self.deaths: Deaths | None = None
        self.reloads: Reloads | None = None
        #: Moves of the reloads' own that were aborted, and made later.
        self.tried_again = 0

    def blow(self, progress: Callable[[Moves], None] = lambda moves: None) -> None:
        """Start the clients, move everything, and let the clients come to their ends.

        ``progress`` is called all the time. After the first fault no more moves are made.
        """
        before = self.server.status()["moves"]
        try:
            self._start_crews()
            if not self._found_faults():
                self._move(progress)
            for crew in self._crews:
                crew.say("stop")
            for crew in self._crews:
                crew.wait()
        finally:
            for crew in self._crews:
                crew.kill()
        self._collect()
        self._compare_with_the_brokers_count(before)
        self._compare_with_the_actors_count()
        if self.plan.intercepted:
            self._compare_with_the_interceptors_books()
        if self.plan.keyed:
            self._judge_keyed_actors()

    def _start_crews(self) -> None:
        plan, address = self.plan, self.server.address
        assert self._tls.identity is not None
        secure: tuple[object, ...] = ("--tls", plan.tls, "--tls-address", self._tls.address)
        secure += ("--identity", self._tls.identity.folder)
        rooms = -(-plan.members // ROOM)
        share = -(-plan.members // plan.crews)
        for first in range(0, plan.members, share):
            count = min(share, plan.members - first)
            self._crews.append(
                Crew(
                    "tests.chaos.members",
                    address,
                    *("--first", first, "--count", count, "--members", plan.members),
                    *("--rooms", rooms, "--think", plan.think, *secure),
                )
            )
        if plan.streamers:
            streams = ("--count", plan.streamers, "--think", plan.think, *secure)
            self._crews.append(Crew("tests.chaos.streams", address, *streams))
        if plan.troublemakers:
            troubles = ("--count", plan.troublemakers, "--think", plan.think, *secure)
            plain = () if plan.intercepted else ("--plain",)
            self._crews.append(Crew("tests.chaos.troublemakers", address, *troubles, *plain))
        if plan.keyed:
            keyed = ("--count", plan.keyed, "--think", plan.think, *secure)
            self._crews.append(Crew("tests.chaos.keyed", address, *keyed))
        if plan.silent or plan.blocked:
            watched = ("--silent", plan.silent, "--blocked", plan.blocked, "--seed", plan.seed)
            self._crews.append(Crew("tests.chaos.stopwatch", address, *watched))
        if plan.slow:
            self._crews.append(Crew("tests.chaos.slow_readers", address, "--count", plan.slow))
        for crew in self._crews:
            crew.wait_until_ready()

    def _move(self, progress: Callable[[Moves], None]) -> None:
        plan = self.plan
        mover = Mover(self.server.socket_path, plan.hubs, random.Random(plan.seed))
        if mover.connections != plan.connections:
            self.faults.append(f"{mover.connections} connections where {plan.connections} clients are")
        self.moves = mover.moves
        chance = random.Random(plan.seed)
        deaths = self.deaths = Deaths(self.server, self._crews, mover, chance, plan.deaths_every, plan.deaths)
        books = self._books if plan.intercepted else None
        reloads = self.reloads = Reloads(self.server, mover, books, plan.reloads_every, plan.reloads)
        for crew in self._crews:
            crew.say("go")
        end = time.monotonic() + plan.limit if plan.limit is not None else float("inf")

        def under_way() -> bool:
            return deaths.under_way or reloads.under_way

        def step() -> None:
            self.faults.extend(deaths.step(may_begin=not reloads.under_way))
            count = len(reloads.all)
            self.faults.extend(reloads.step(may_begin=not deaths.under_way))
            if len(reloads.all) != count:
                deaths.note_pids()

        def go_on(moves: Moves) -> bool:
            progress(moves)
            step()
            return not self._found_faults() and (under_way() or time.monotonic() < end)

        cpu = self._cpu()
        try:
            mover(plan.moves, plan.rate, go_on)
            while under_way() and not self._found_faults():
                step()
                time.sleep(0.01)
            self.cpu = {name: seconds - cpu[name] for name, seconds in self._cpu().items() if name in cpu}
        except OSError as error:
            self.faults.append(f"the mover: {error}")
        finally:
            mover.close()

    def _cpu(self) -> dict[str, float]:
        """CPU seconds of each process so far."""
        hubs = {f"hub {hub['id']} ({hub['pid']})": hub["pid"] for hub in self.server.status()["hubs"]}
        crews = {f"{crew.name} {number}": crew.pid for number, crew in enumerate(self._crews)}
        pids = {"broker": self.server.process.pid, **hubs, "mover": os.getpid(), **crews}
        return {name: cpu_seconds(pid) for name, pid in pids.items()}

    def _found_faults(self) -> bool:
        return bool(self.faults) or any(crew.faults for crew in self._crews)

    def _collect(self) -> None:
        pids: set[int] = set()
        for crew in self._crews:
            self.faults.extend(crew.faults)
            for what, count in crew.report.get("numbers", {}).items():
                self.numbers[what] = self.numbers.get(what, 0) + count
            if "pauses" in crew.report:
                self.pauses.append(crew.report["pauses"])
            self._thaws.update(crew.report.get("thaws", {}))
            pids.update(crew.report.get("pids", ()))
            for odd in crew.report.get("oddities", ()):
                self._judge(odd)
            self.late.update(crew.report.get("late", {}))
            self.within_20_ms.update(crew.report.get("within_20_ms", {}))
        if self.deaths is not None and (strangers := pids - self.deaths.pids):
            self.faults.append(
                f"answers came from processes {strangers}, which are no hubs: {self.deaths.pids}"
            )

    def _judge(self, odd: dict[str, Any]) -> None:
        deaths = [] if self.deaths is None else self.deaths.all
        verdict = judge(odd, deaths)
        if verdict == "again":
            self.heard_again += 1
        elif verdict == "lost":
            self.lost_on_the_way += odd["number"] - odd["due"]
        else:
            self.faults.append(
                f"{odd['who']}: of {odd['publisher']} came {odd['number']} where {odd['due']} was due; "
                f"hubs had died {[round(odd['at'] - death.at, 3) for death in deaths]} s before"
            )

    def _compare_with_the_brokers_count(self, before: dict[str, Any]) -> None:
        done, aborted = self.moves.done.total(), self.moves.aborted.total()
        # A hub that dies may take with it what it would have said of the moves under way. And what no hub has
        # begun with, none tells the broker of.
        unsure = LANES * len(self.deaths.all) if self.deaths is not None else 0
        unsure += self.moves.excused.total()
        unsure += sum(count for why, count in self.moves.aborted.items() if why.startswith(NOT_BEGUN))
        # Where the hub that has it says nothing for so long, all are asked, and one may get to that too late.
        unsure += sum(seconds > ASKS_ALL for seconds in self.moves.seconds)
        by_reloads = 0 if self.reloads is None else self.reloads.moved
        after: dict[str, Any] = {}

        def counted() -> bool:
            after.update(self.server.status()["moves"])
            more_done = after["done"] - before["done"] - done - by_reloads
            more_aborted = after["aborted"] - before["aborted"] - aborted
            if by_reloads and more_aborted > 0:  # what a reload cannot move at once it tries again
                self.tried_again, more_aborted = more_aborted, 0
            return bool(max(abs(more_done), abs(more_aborted)) <= unsure)

        try:
            self.server.wait_for(counted)
        except AssertionError:
            told = dict(self.moves.aborted) or aborted
            done_in_all = f"{done} moves done and {by_reloads} by reloads"
            self.faults.append(f"{done_in_all}, aborted {told}, and the broker counts {after} after {before}")

    def _compare_with_the_actors_count(self) -> None:
        aborted = self.moves.aborted.total() + self.moves.excused.total() + self.tried_again
        reloads = 0 if self.reloads is None else len(self.reloads.all)
        faults, self.unthawed = compare_thaws(self.moves.done, self._thaws, aborted + reloads)
        self.faults.extend(faults)

    def _compare_with_the_interceptors_books(self) -> None:
        """``on_end`` runs once for each call, in whatever hub it ends, with all that was noted on it."""
        books = [Book.FromString(path.read_bytes()) for path in self._books.iterdir()]
        with visitor(self.server) as guest:
            books += [guest.inspector.Endings(Number()) for _ in guest.hubs()]
        noted: dict[str, Counter[str]] = defaultdict(Counter)
        for book in books:
            self.faults.extend(f"an interceptor: {fault}" for fault in book.faults)
            for connection, endings in book.endings.items():
                noted[connection].update({field.name: value for field, value in endings.ListFields()})
        deaths = 0 if self.deaths is None else len(self.deaths.all)
        for crew in self._crews:
            for connection, endings in crew.report.get("endings", {}).items():
                found = {name: noted[connection][name] for name in endings}
                if crew.report["born"][connection] < deaths:  # a hub has taken its book with it
                    wrong = any(found[name] > count for name, count in endings.items())
                else:
                    wrong = found != endings
                if wrong:
                    self.faults.append(
                        f"{connection}: {endings} of its calls, and interceptors noted {found}"
                    )

    def _judge_keyed_actors(self) -> None:
        self.faults.extend(settle(self.server))
        deaths = [] if self.deaths is None else self.deaths.all
        turns = Turns(deaths)
        turns.judge(read(self._turns))
        self.faults.extend(turns.faults)
        self.turns = turns.counts
        for failure in (each for crew in self._crews for each in crew.report.get("failures", ())):
            if any(explains(death, failure) for death in deaths):
                self.failed_with_hubs += 1
            else:
                when = [round(failure["ended"] - death.at, 3) for death in deaths]
                self.faults.append(f"no hub has died that had its actors, {when} s before: {failure}")

    def figures(self) -> dict[str, Any]:
        """What was measured."""
        return {
            "moves": self.moves.count,
            "aborted": dict(self.moves.aborted),
            "not made, for a reason of the storm's own": dict(self.moves.excused),
            "moved on before they were thawed": self.unthawed,
            **self._figures_of_deaths(),
            **self._figures_of_reloads(),
            "moves a second": round(self.moves.rate, 1),
            "CPU for each move (ms)": {
                name: round(seconds * 1000 / max(self.moves.count, 1), 3)
                for name, seconds in self.cpu.items()
            },
            "a move, from question to answer (ms)": summary(self.moves.seconds),
            "messages": self.numbers,
            "turns of keyed actors": dict(self.turns),
            "a client's step (ms)": self.pauses,
            "deadlines, how late (ms)": self.late,
            "deadlines within 20 ms": self.within_20_ms,
        }

    def _figures_of_deaths(self) -> dict[str, Any]:
        if self.deaths is None or not self.deaths.all:
            return {}
        return {
            "hubs killed": len(self.deaths.all),
            "clients that lost their hub": len(self.deaths.heard),
            "until they knew (ms)": summary(self.deaths.heard),
            "until all were back (ms)": summary(self.deaths.recovered),
            "heard again after a home's death": self.heard_again,
            "lost on the way as a home died": self.lost_on_the_way,
            "calls that failed with an actor's hub": self.failed_with_hubs,
        }

    def _figures_of_reloads(self) -> dict[str, Any]:
        if self.reloads is None or not self.reloads.all:
            return {}
        return {
            "reloads": len(self.reloads.all),
            "a reload (ms)": summary([each.seconds for each in self.reloads.all]),
            "connections moved by reloads": self.reloads.moved,
            "moves by reloads that were tried again": self.tried_again,
        }


def compare_thaws(moves: Mapping[str, int], thaws: Mapping[str, int], aborted: int) -> tuple[list[str], int]:
    """Compare how often connections were moved with what their actors count of it. Returns what is wrong, and
    how many moves led to no thaw, at least.

    An actor is thawed after a move that was given up, too, and after one by a reload, which ``aborted`` has
    as well; and only once if its connection moves on before that, which is likelier where hubs wait for a
    core. So each has at least one thaw to tell of, and only all together have most of them.
    """
    moved = {connection: moves[connection] for connection in thaws if moves.get(connection)}
    faults = [
        f"{connection} was moved {count} times, and its actor counts {thaws[connection]}"
        for connection, count in moved.items()
        if not 0 < thaws[connection] <= count + aborted
    ]
    made = sum(moved.values())
    unthawed = max(made - sum(thaws[connection] for connection in moved), 0)
    if unthawed > made / 2:
        faults.append(f"of {made} moves {unthawed} led to no thaw")
    return faults, unthawed


def judge(odd: dict[str, Any], deaths: Sequence[Death]) -> str:
    """What something is that was heard of a topic otherwise than once and in order.

    Publications that a dead home had not acknowledged are published again, and may be heard twice: "again".
    What it had numbered may be lost to a subscriber that was on its way, or had not asked yet, after that,
    for what it had missed: "lost". All else is a "fault".
    """
    near = [death for death in deaths if 0 <= odd["at"] - death.at <= AFTERMATH]
    if near and odd["number"] < odd["due"]:
        return "again"
    if any(odd["peer"] in death.moving | death.moved for death in near):
        return "lost"
    return "fault"
