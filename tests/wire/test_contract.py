"""The contract of a session: where bytes are cut, and where it moves, makes no difference.

What must be equal whatever the cut: the events that a hub acts on, in order; on each stream the header
fields, the bytes of its DATA and how it ended; the control frames but WINDOW_UPDATE, in order. What may
differ: how DATA is divided into frames and how streams interleave with each other and with control frames,
since a session answers what it has read before it reads on; and how WINDOW_UPDATEs are divided, since they
depend on when messages are consumed. (test_flow_to_server.py checks their sums.)

What must be equal between a session that moved and one that stayed, given the same pieces: every byte of
output, and everything in the next snapshot. There is one exception: of messages that wait for a window a
snapshot keeps the bytes and not the borders, so that DATA frames may be divided in another way behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pytest

from tests.support.view import View

from .faults import FAULTS
from .owner import Owner
from .scenarios import SCENARIOS, Scenario

#: Cuts in the first bytes, the preface and SETTINGS, are tried once for all: they are the same everywhere.
FAULT_SCENARIOS = [
    Scenario(f"fault: {each}", (each.before, each.bad), "", {}, config=each.config) for each in FAULTS
]

#: Longer conversations are cut at some hundred places: near all ends of frames, and else evenly.
FEW = 600


class Run:
    """One run of a scenario, cut at ``cuts``, perhaps with a move at each piece's end."""

    def __init__(
        self, scenario: Scenario, cuts: Collection[int], *, move: bool = False, accepts: int = 1 << 30
    ) -> None:
        owner = self.owner = Owner(scenario.config, accepts)
        #: Whether some message was waiting for its window at a move.
        self.waited = False
        for piece in pieces(scenario.steps, cuts):
            owner.feed(piece)
            if move and not owner.session.faulted:
                self.waited |= any(stream.unsent for stream in owner.session.streams.values())
                owner.move()
        owner.flush()
        self.events = owner.events
        self.sent = bytes(owner.sent)
        self.view = View(self.sent, scenario.max_frame_size)
        self.same = (self.events, self.view.streams, self.view.control)

    @property
    def snapshot(self) -> object:
        if self.owner.session.faulted:
            return None
        snapshot = self.owner.snapshot()
        snapshot.session.free_updates = 0  # so many for each DATA frame
        return snapshot

    def assert_did_as(self, stayed: Run) -> None:
        """This run moved, and did as the one that ``stayed``."""
        assert self.same == stayed.same
        assert self.snapshot == stayed.snapshot
        if not self.waited:
            assert self.sent == stayed.sent


def pieces(steps: tuple[bytes, ...], cuts: Collection[int]) -> Iterator[bytes]:
    """The steps one after the other, cut further at offsets into the whole."""
    begin = 0
    for step in steps:
        inner = sorted(cut - begin for cut in cuts if begin < cut < begin + len(step))
        for start, end in zip([0, *inner], [*inner, len(step)], strict=True):
            yield step[start:end]
        begin += len(step)


def offsets(scenario: Scenario) -> list[int]:
    """Where to cut: everywhere, if it is short."""
    length = sum(map(len, scenario.steps))
    if length <= FEW:
        return list(range(1, length))
    data = b"".join(scenario.steps)
    found, position = set(range(1, length, length // 100)), 24
    while position < length:
        found.update(range(position - 2, position + 17))
        position += 9 + int.from_bytes(data[position : position + 3], "big")
    return sorted(offset for offset in found if 0 < offset < length)


scenarios = pytest.mark.parametrize("scenario", SCENARIOS, ids=str)


@scenarios
def test_the_whole_of_it(scenario: Scenario) -> None:
    run = Run(scenario, ())
    assert "; ".join(run.events) == scenario.events
    assert run.view.brief() == scenario.seen
    faulted = scenario.events.startswith("fault")
    assert run.owner.session.faulted == faulted
    assert faulted or run.view.goaway == scenario.goaway


@scenarios
def test_cut_anywhere(scenario: Scenario) -> None:
    whole = Run(scenario, ())
    for offset in offsets(scenario):
        assert Run(scenario, (offset,)).same == whole.same, f"cut at {offset}"


@scenarios
def test_moved_anywhere(scenario: Scenario) -> None:
    for offset in offsets(scenario):
        Run(scenario, (offset,), move=True).assert_did_as(Run(scenario, (offset,)))


@scenarios
def test_moved_at_each_cut(scenario: Scenario) -> None:
    cuts = offsets(scenario)
    stayed, moved = Run(scenario, cuts), Run(scenario, cuts, move=True)
    assert stayed.same == Run(scenario, ()).same
    moved.assert_did_as(stayed)


@scenarios
@pytest.mark.parametrize("accepts", (1, 10, 50))
def test_moved_with_a_half_written_output(scenario: Scenario, accepts: int) -> None:
    cuts = range(0, sum(map(len, scenario.steps)), 40 if accepts < 50 else 7)
    stayed, moved = (Run(scenario, cuts, accepts=accepts, move=move) for move in (False, True))
    assert stayed.same == moved.same == Run(scenario, ()).same
    assert moved.snapshot == stayed.snapshot


@pytest.mark.parametrize("scenario", FAULT_SCENARIOS, ids=str)
def test_faults_are_the_same_wherever_cut_and_moved(scenario: Scenario) -> None:
    whole = Run(scenario, ())
    length = sum(map(len, scenario.steps))
    cuts = range(len(scenario.steps[0]) - 3, length, max(1, length // 200))
    for offset in cuts:
        stayed = Run(scenario, (offset,))
        assert stayed.same == whole.same, f"cut at {offset}"
        Run(scenario, (offset,), move=True).assert_did_as(stayed)
    Run(scenario, cuts, move=True).assert_did_as(Run(scenario, cuts))
