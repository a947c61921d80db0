"""What each connection takes of its hub: seconds of the loop, attributed while they pass, and smoothed.

Whatever the loop does for a connection stands in a bracket: a read with all turns it leads to, a later look
at what waits, and each time that a handler which blocked is switched into again. A bracket costs two readings
of the clock and an addition. Brackets may nest; what an inner one takes is not the outer one's.

Brackets count wall time. A handler that holds the loop in a blocking C call takes the hub's capacity as one
that computes does. But when the kernel gives the core to somebody else, that is nobody's fault. A thread's
CPU cannot be read for each bracket, it takes a microsecond; so it is read for those that are likely to be
long, since one of the connection's last was. What these took beyond their CPU, and what a short one took
that was long for once, is in doubt. A report takes off it what the thread has waited for a core meanwhile,
which the kernel counts.

What a greenlet does that a handler has spawned, and what pool threads do, is nobody's. It is part of the
hub's CPU, and of how busy it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import exp, expm1, fsum
from time import monotonic, thread_time

from actorrpc.hub.metering.rates import Rates

__all__ = ["LIGHT", "LONG", "SHORT", "Mark", "Meter", "Part", "Usage", "shares"]

#: Time constants of the two averages, in seconds.
LONG, SHORT = 10.0, 1.0

#: Younger connections are averaged as if they were this old, the time before counting as idle: else one
#: whose first call took a millisecond, just before a report, would seem to fill the hub.
_LEAST_AGE = 1.0

#: Seconds between two reports below which what a connection spent waits to be averaged until it is more: a
#: thousandth of a core. So most connections cost a report no more than a comparison.
LIGHT = 250e-6

#: Brackets longer than this are worth reading the thread's CPU for; and to be preempted in a shorter one is
#: rare. In seconds.
_LONG_BRACKET = 500e-6

#: For so many seconds of a long bracket the next one is measured too, and some more, long or not: handlers
#: that block have short brackets between long ones. Two readings for each of these come to 2 %, at worst.
_PER_CREDIT = 100e-6
_MOST_CREDITS = 32

#: Topics that a connection publishes to whose rates are kept.
_MAX_TOPICS = 32


class Meter:
    """What the connections of one hub have spent together. ``clock`` gives seconds, and only goes forward, as
    does ``cpu``, which counts those that the thread computes."""

    __slots__ = (
        "_last",
        "active",
        "charged",
        "clock",
        "cpu",
        "doubted",
        "off",
        "runnable",
        "since",
        "unsent",
    )

    def __init__(
        self, clock: Callable[[], float] = monotonic, cpu: Callable[[], float] = thread_time
    ) -> None:
        self.clock = clock
        self.cpu = cpu
        #: Seconds that have been charged to connections.
        self.charged = 0.0
        #: Those of them that may have been waits for a core, and the share of them that was.
        self.doubted = 0.0
        self.off = 0.0
        #: Who has been charged since the last report.
        self.active: list[Usage] = []
        #: Connections whose turns wait for others to have had the loop.
        self.runnable = 0
        #: Bytes that clients have not taken.
        self.unsent = 0
        #: When the last report was made.
        self.since = clock()
        #: Charged, doubted, computed and waited, in seconds, at that time.
        self._last: tuple[float, float, float, float] | None = None

    def measure(self, now: float, cpu: float, waited: float) -> float:
        """Find what is to be taken off charges in doubt. Returns the share in which the loop was busy.

        ``cpu`` is what the loop's thread has computed so far, ``waited`` how long it was runnable without a
        core. All of that may be in the charges, and none of it.
        """
        last = self._last or (self.charged, self.doubted, cpu, waited)
        self._last = (self.charged, self.doubted, cpu, waited)
        charged, doubted, computed, lost = (new - old for new, old in zip(self._last, last, strict=True))
        self.off = min(lost / doubted, 1.0) if doubted > 0 else 0.0
        elapsed = now - self.since
        return min(max(computed, charged - self.off * doubted) / elapsed, 1.0) if elapsed > 0 else 0.0

    def __repr__(self) -> str:
        return f"<Meter {self.charged:.3f} s charged, {len(self.active)} active, {self.runnable} runnable>"


class Mark(float):
    """The beginning of a bracket at which the thread's CPU was read. Others are plain numbers: faster."""

    __slots__ = ("excess",)

    #: What was charged without doubt at that time, less the thread's CPU.
    excess: float


class Usage:
    """What one connection has spent. It knows no connection, so that whoever keeps it keeps only this."""

    __slots__ = (
        "_asked",
        "_at",
        "_long",
        "_settled_doubts",
        "_short",
        "_taken",
        "born",
        "closed",
        "credit",
        "doubted",
        "freeze_ms",
        "id",
        "listed",
        "meter",
        "move_ms",
        "published",
        "settled",
        "spent",
        "state_bytes",
        "too_heavy",
        "unsent",
        "weigh_at",
        "weighing",
    )

    def __init__(self, meter: Meter, id: str) -> None:
        now = meter.clock()
        self.meter = meter
        self.id = id
        #: When it was accepted, perhaps by another hub.
        self.born = now
        #: Seconds so far, in this hub.
        self.spent = 0.0
        #: Those of them that may have been waits for a core.
        self.doubted = 0.0
        #: For how many brackets the thread's CPU may be read.
        self.credit = 0
        #: It stands in ``meter.active``.
        self.listed = False
        #: It is served here no more.
        self.closed = False
        #: What of ``spent`` and ``doubted`` is in the averages, the averages, and when they were right.
        self.settled = self._settled_doubts = 0.0
        self._long = self._short = 0.0
        self._at = now
        #: Seconds that are in the averages; and when these and what is due were last asked for.
        self._taken = 0.0
        self._asked = (now, 0.0)
        #: Milliseconds that its last freeze took, in whatever hub.
        self.freeze_ms = 0.0
        #: The size of its actors' states when they were last weighed, and when to weigh them again.
        self.state_bytes = 0
        self.weigh_at = 0.0
        #: Seconds that this took.
        self.weighing = 0.0
        #: Milliseconds that a move would have cost its two hubs, when it was weighed last; and why no policy
        #: may move it for that, "" if one may.
        self.move_ms = 0.0
        self.too_heavy = ""
        #: Bytes that the client has not taken, as ``meter.unsent`` counts them.
        self.unsent = 0
        #: What it publishes, by topic; None: nothing yet.
        self.published: Rates | None = None

    # ---- brackets

    def begin(self, now: float) -> float:
        """Begin a bracket. Returns what ``spend`` has to be given at its end.

        ``Connection._on_bytes`` has the same line in place of a call, which would take as long again.
        """
        return self.look(now) if self.credit else now - self.meter.charged

    def look(self, now: float) -> Mark:
        """Begin a bracket that may be long: read the thread's CPU."""
        meter = self.meter
        self.credit -= 1
        mark = Mark(now - meter.charged)
        mark.excess = meter.charged - meter.doubted - meter.cpu()
        return mark

    def spend(self, mark: float) -> float:
        """End a bracket. Returns its seconds, without those of brackets inside."""
        meter = self.meter
        spent = meter.clock() - meter.charged - mark
        meter.charged += spent
        self.spent += spent
        if not self.listed:
            self.listed = True
            meter.active.append(self)
        if spent > _LONG_BRACKET or mark.__class__ is Mark:
            self._doubt(spent, mark)
        return spent

    def _doubt(self, spent: float, mark: float) -> None:
        meter = self.meter
        if isinstance(mark, Mark):
            # Brackets inside, whosever they were, computed as much as they were charged without doubt. So
            # their CPU, which was seldom read, is not taken for this one's.
            doubted = meter.charged - meter.doubted - meter.cpu() - mark.excess
        else:
            doubted = spent - _LONG_BRACKET
        if spent > _LONG_BRACKET:
            self.credit = min(int(spent / _PER_CREDIT), _MOST_CREDITS)
        if doubted > 0:
            self.doubted += doubted
            meter.doubted += doubted

    # ---- averages

    @property
    def due(self) -> float:
        """Seconds that are in no average yet."""
        return self.spent - self.settled - (self.doubted - self._settled_doubts) * self.meter.off

    def settle(self, now: float) -> None:
        """Bring the averages up to now. Only a report does: it looks for what is due, and whoever settled
        between two reports would hide from it a connection that is light in between."""
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
        """What an average is by now. What is new was spent since the last report, idleness before."""
        average *= exp((self._at - now) / constant)
        if (due := self.due) and now > (began := self._began(now)):
            average += due / (now - began) * -expm1((began - now) / constant)
        return average

    def _began(self, now: float) -> float:
        """The time since which what is due was spent."""
        since = self.meter.since
        return since if self._at < since < now else self._at

    def _known(self, now: float, constant: float) -> float:
        """How much of an average stands for time that the connection has lived through; the rest is 0."""
        return -expm1(-max(now - self.born, _LEAST_AGE) / constant)

    def restore(self, load: float, recent: float, at: float, born: float) -> None:
        """Go on with averages from another hub, which were right at ``at``."""
        self.born = born
        self._long, self._short = load * self._known(at, LONG), recent * self._known(at, SHORT)
        self._at = at

    def share(self) -> float:
        """The share of one core that it took since this was last asked, not smoothed."""
        now = self.meter.clock()
        taken = self._taken + self.due
        since, before = self._asked
        self._asked = (now, taken)
        return (taken - before) / max(now - since, 1e-6)

    # ---- what else is counted

    def publish(self, group: str) -> None:
        """Count a publication to a topic, as ``counted_as`` names it."""
        if self.published is None:
            self.published = Rates(_MAX_TOPICS)
        self.published.count(group, self.meter.clock())

    def waits(self, unsent: int) -> None:
        """So many bytes have not been taken by the client."""
        self.meter.unsent += unsent - self.unsent
        self.unsent = unsent

    def close(self) -> None:
        """The connection has been closed, or is served elsewhere. Also twice."""
        self.closed = True
        self.waits(0)

    def __repr__(self) -> str:
        return f"<Usage of {self.id}: {self.spent:.3f} s>"


class Part:
    """What one service of a connection has spent in its turns: after they blocked, and, where the connection
    has several services, before. Brackets that are the service's alone add to ``spent``."""

    __slots__ = ("_asked", "spent", "usage")

    def __init__(self, usage: Usage) -> None:
        self.usage = usage
        self.spent = 0.0
        self._asked = 0.0

    def within(self, run: Callable[[], None]) -> None:
        """Run something inside a bracket of the connection, of which it is this service's part."""
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
    """What of a connection's share is whose, since this was last asked, by the name of the service.

    Reading, writing and the like are everybody's, in proportion to the turns.
    """
    taken: dict[str, float] = {}
    for name, part in parts:
        taken[name] = taken.get(name, 0.0) + part.take()
    total = fsum(taken.values())
    if len(taken) == 1 or not total:
        return dict.fromkeys(taken, whole / max(len(taken), 1))
    return {name: whole * spent / total for name, spent in taken.items()}
