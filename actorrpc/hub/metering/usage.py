"""What each connection takes of its hub, and how busy the hub is: seconds of the loop, attributed while they
pass, and smoothed.

Whatever the loop does for a connection stands in a bracket: a read with all the turns that it leads to, a
later look at what waits, and each time that a handler which had blocked is switched into again. A bracket
costs two readings of the clock and an addition. Brackets may nest; what an inner one takes is not the outer
one's.

Brackets count wall time: a handler that holds the loop in a blocking C call uses up the hub as much as one
that computes. But when the kernel gives the core to another program, no connection is to blame. So the
thread's CPU, which takes a microsecond to read, is read at the end of long brackets. What has been charged
beyond it since the last reading is in doubt, and put down to that bracket: it may have blocked, or waited for
a core. A report takes off what the thread has waited for a core meanwhile, which the kernel counts. (To take
that off all charges in proportion, without a look at brackets, misses the goal of docs/evidence/figures.md:
how often each is interrupted is too much a matter of luck.)

What is done by greenlets that a handler has spawned, and by threads of the pool, is charged to nobody. It is
part of the hub's CPU, and of how busy it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import exp, expm1, fsum
from time import monotonic, thread_time

from actorrpc.hub.metering.rates import Rates

__all__ = ["LIGHT", "LONG", "SHORT", "Meter", "Part", "Usage", "shares"]

#: Time constants of the two averages, in seconds.
LONG, SHORT = 10.0, 1.0

#: Younger connections are averaged as if they were this old, and had been idle before: else one whose first
#: call took a millisecond, just before a report, would seem to fill the hub.
_LEAST_AGE = 1.0

#: What a connection spent is averaged once it is as much as this, in seconds: a thousandth of a core between
#: two reports. So most connections cost a report no more than a comparison.
LIGHT = 250e-6

#: Brackets longer than this, in seconds, are worth reading the thread's CPU for. To be interrupted in a
#: shorter one is rare.
_LONG_BRACKET = 500e-6

#: Topics that a connection publishes to whose rates are kept.
_MAX_TOPICS = 32


@dataclass(slots=True, eq=False, repr=False)
class Meter:
    """What the connections of one hub have spent together. ``clock`` gives seconds, and only goes forward, as
    does ``cpu``, which counts those that the loop's thread computes."""

    clock: Callable[[], float] = monotonic
    cpu: Callable[[], float] = thread_time
    #: Seconds that have been charged to connections.
    charged: float = 0.0
    #: Those of them that may have been waits for a core, and the share of them that was.
    doubted: float = 0.0
    off: float = 0.0
    #: What had been charged when the thread's CPU was last read, less that.
    ahead: float = 0.0
    #: Who has been charged since the last report.
    active: list[Usage] = field(default_factory=list)
    #: Connections whose turns wait for others to have had the loop.
    runnable: int = 0
    #: Bytes that clients have not taken.
    unsent: int = 0
    #: When the last report was made.
    since: float = field(init=False)
    #: Charged, doubted, computed and waited, in seconds, at that time.
    _last: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        self.since = self.clock()

    def measure(self, now: float, waited: float) -> float:
        """Find what is to be taken off charges in doubt. Returns the share of the time since the last report
        in which the loop was busy.

        ``waited`` is how many seconds the loop's thread has been ready to run so far, and had no core. All of
        them may be in the charges, or none.
        """
        cpu = self.cpu()
        self.ahead = self.charged - cpu
        readings = (self.charged, self.doubted, cpu, waited)
        last, self._last = self._last or readings, readings
        charged, doubted, computed, lost = (new - old for new, old in zip(readings, last, strict=True))
        self.off = min(lost / doubted, 1.0) if doubted > 0 else 0.0
        elapsed = now - self.since
        return min(max(computed, charged - self.off * doubted) / elapsed, 1.0) if elapsed > 0 else 0.0

    def __repr__(self) -> str:
        return f"<Meter {self.charged:.3f} s charged, {len(self.active)} active, {self.runnable} runnable>"


@dataclass(slots=True, eq=False, repr=False)
class Usage:
    """What one connection has spent. It does not know the connection: who keeps it keeps nothing else."""

    meter: Meter
    id: str
    #: When it was accepted, perhaps by another hub.
    born: float = field(init=False)
    #: Seconds so far, in this hub.
    spent: float = 0.0
    #: Those of them that may have been waits for a core.
    doubted: float = 0.0
    #: It stands in ``meter.active``.
    listed: bool = False
    #: The connection has been closed, or another hub serves it.
    closed: bool = False
    #: How much of ``spent`` and ``doubted`` is in the averages already, and how much it came to.
    settled: float = 0.0
    _settled_doubts: float = 0.0
    _taken: float = 0.0
    #: The averages, and the time that they are of.
    _long: float = 0.0
    _short: float = 0.0
    _at: float = field(init=False)
    #: When ``share`` was last called, and what had been taken by then.
    _asked: tuple[float, float] = field(init=False)
    #: Milliseconds that its last freeze took, in whatever hub.
    freeze_ms: float = 0.0
    #: The size of its actors' states when they were last weighed, and when to weigh them again.
    state_bytes: int = 0
    weigh_at: float = 0.0
    #: Seconds that this took.
    weighing: float = 0.0
    #: Milliseconds that a move would have cost its two hubs, when it was weighed last; and why no policy
    #: may move it for that, "" if one may.
    move_ms: float = 0.0
    too_heavy: str = ""
    #: Bytes that the client has not taken, as ``meter.unsent`` counts them.
    unsent: int = 0
    #: How much it publishes in which topics; None: it has not published anything.
    published: Rates | None = None

    def __post_init__(self) -> None:
        self.born = self._at = now = self.meter.clock()
        self._asked = (now, 0.0)

    # ---- brackets

    def begin(self, now: float) -> float:
        """Begin a bracket. Returns what ``spend`` has to be given at its end.

        Hot paths have this line instead, since a call would take as long again.
        """
        return now - self.meter.charged

    def spend(self, mark: float) -> float:
        """End a bracket. Returns its seconds, without those of brackets inside."""
        meter = self.meter
        spent = meter.clock() - meter.charged - mark
        meter.charged += spent
        self.spent += spent
        if not self.listed:
            self.listed = True
            meter.active.append(self)
        if spent > _LONG_BRACKET:
            self._doubt(spent)
        return spent

    def _doubt(self, spent: float) -> None:
        """Find how much of a long bracket may have been a wait.

        What other brackets, and the loop, have computed since the last reading makes that too little by as
        much as nobody was charged for; a wait in a short one makes it too much.
        """
        meter = self.meter
        ahead = meter.charged - meter.cpu()
        doubted = min(ahead - meter.ahead, spent)
        meter.ahead = ahead
        if doubted > 0:
            self.doubted += doubted
            meter.doubted += doubted

    # ---- averages

    @property
    def due(self) -> float:
        """Seconds that are in no average yet."""
        return self.spent - self.settled - (self.doubted - self._settled_doubts) * self.meter.off

    @property
    def taken(self) -> float:
        """Seconds that it took so far, in this hub, as reports have corrected them."""
        return self._taken + self.due

    def settle(self, now: float) -> None:
        """Bring the averages up to now. Only a report may: it looks for those with much that is due, and
        would overlook a connection that had been settled in between."""
        if now <= self._began(now):
            return
        self._long, self._short = self._average(self._long, now, LONG), self._average(self._short, now, SHORT)
        self._taken += self.due
        self.settled, self._settled_doubts = self.spent, self.doubted
        self._at = now

    def load(self, now: float) -> float:
        """The share of one core that it took, smoothed over about ten seconds. To ask changes nothing."""
        return self._average(self._long, now, LONG) / self._known(now, LONG)

    def recent(self, now: float) -> float:
        """The same over about one second."""
        return self._average(self._short, now, SHORT) / self._known(now, SHORT)

    def _average(self, average: float, now: float, constant: float) -> float:
        """What an average is by now: what is due was spent since the last report, and nothing before that."""
        average *= exp((self._at - now) / constant)
        if (due := self.due) and now > (began := self._began(now)):
            average += due / (now - began) * -expm1((began - now) / constant)
        return average

    def _began(self, now: float) -> float:
        """When the time began in which it spent what is due."""
        since = self.meter.since
        return since if self._at < since < now else self._at

    def _known(self, now: float, constant: float) -> float:
        """The weight that an average gives to the time since the connection was accepted."""
        return -expm1(-max(now - self.born, _LEAST_AGE) / constant)

    def restore(self, load: float, recent: float, at: float, born: float) -> None:
        """Go on with averages that are from another hub, and of the time ``at``."""
        self.born = born
        self._long, self._short = load * self._known(at, LONG), recent * self._known(at, SHORT)
        self._at = at

    def share(self) -> float:
        """The share of one core that it took since this was last asked, not smoothed."""
        now = self.meter.clock()
        taken = self.taken
        since, before = self._asked
        self._asked = (now, taken)
        return max(taken - before, 0.0) / max(now - since, 1e-6)

    # ---- what else is counted

    def publish(self, group: str) -> None:
        """Count a publication to a topic, as ``counted_as`` names it."""
        if self.published is None:
            self.published = Rates(_MAX_TOPICS)
        self.published.count(group, self.meter.clock())

    def waits(self, unsent: int) -> None:
        """Note that the client has not taken so many bytes."""
        self.meter.unsent += unsent - self.unsent
        self.unsent = unsent

    def close(self) -> None:
        """The connection has been closed, or another hub serves it. May be called again."""
        self.closed = True
        self.waits(0)

    def __repr__(self) -> str:
        return f"<Usage of {self.id}: {self.spent:.3f} s>"


@dataclass(slots=True, eq=False, repr=False)
class Part:
    """What one service of a connection has spent in its turns. Until a turn first blocks, that is measured
    only if the connection has several services. Brackets that are the service's alone add to ``spent``."""

    usage: Usage
    spent: float = 0.0
    _asked: float = 0.0

    def within(self, run: Callable[[], None]) -> None:
        """Run something that is done for this service, inside a bracket of the connection."""
        meter = self.usage.meter
        mark = meter.clock() - meter.charged
        run()
        self.spent += meter.clock() - meter.charged - mark

    def take(self) -> float:
        """Seconds since this was last asked."""
        spent, self._asked = self.spent - self._asked, self.spent
        return spent

    def __repr__(self) -> str:
        return f"<Part of {self.usage.id}: {self.spent:.3f} s>"


def shares(parts: Iterable[tuple[str, Part]], whole: float) -> dict[str, float]:
    """Split a connection's share since this was last asked by the names of its services.

    Reading, writing and the like are shared out in proportion to the turns.
    """
    taken: dict[str, float] = {}
    for name, part in parts:
        taken[name] = taken.get(name, 0.0) + part.take()
    total = fsum(taken.values())
    if len(taken) == 1 or not total:
        return dict.fromkeys(taken, whole / max(len(taken), 1))
    return {name: whole * spent / total for name, spent in taken.items()}
