"""The target of the coverage-guided fuzzer: any bytes at all, as one client's whole connection.

An input is what a client sends, so that the recordings of real clients are the corpus as they are. What
its owner does and where the reads are cut follows from the stream and the position. Each input goes through
two sessions, of which the second moves at every opportunity: both must please the model, and do the same.
"""

from __future__ import annotations

from itertools import cycle

from tests.support.view import View

from .model import Wrong
from .trial import Trial

__all__ = ["one_input"]

#: How much each read returns, over and over.
READS = (1, 4096, 9, 200, 17, 3000)
#: After so many reads, the owner takes, answers and ends what it has been slow with.
LATER = 2


def one_input(data: bytes) -> Trial:
    """Raise what a session or the model raises, and Wrong if the session that moves does something else."""
    still, moved = (_run(data, restless) for restless in (False, True))
    if still.seen != moved.seen:
        raise Wrong("the session that moves reports something else")
    if not still.contended and not still.model.refused_preface:
        one, other = (View(trial.sent, max_frame_size=(1 << 24) - 1) for trial in (still, moved))
        if (one.streams, one.control, one.granted) != (other.streams, other.control, other.granted):
            raise Wrong("the session that moves sends something else")
    return moved


def _run(data: bytes, restless: bool) -> Trial:
    trial = Trial(restless=restless, record=True)
    at = 0
    for count, size in enumerate(cycle(READS)):
        if at >= len(data) or trial.model.fault is not None:
            return trial
        trial.feed(data[at : at + size])
        at += size
        if count % LATER == LATER - 1:
            kind = ("consume", "answer", "finish")[count // LATER % 3]
            trial.own((kind, count, 20, 50))
    raise AssertionError("unreachable")
