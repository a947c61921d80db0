"""The long run: sessions by the hundred thousand, each from a seed of its own, until enough frames were read.

A frame counts when the session has parsed it: a session ends with its connection's first fault, and the next
one begins. Every session is judged by the model at every step; one in eight also moves at every step; one in
eight replays what a real client once sent, with changes.
"""

from __future__ import annotations

import gc
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.support.raw import CONTINUATION

from .corpus import recordings
from .grammar import BEGIN, KINDS, OWNER, Client, random_steps
from .mutation import mutate
from .trial import CONFIG, IMPATIENT, PINGED, STEADY, Trial

__all__ = ["Hang", "Run", "run_session"]

#: CPU seconds that one session of some hundred frames may take; it needs about 20 ms.
PATIENCE = 10.0
STEPS = 300
#: The sessions' limits, in turns; their number has no factor in common with what else the number decides.
CONFIGS = [CONFIG] * 3 + [STEADY] * 4 + [IMPATIENT, PINGED]
#: Lines of progress that a run prints, four of which come at a quarter.
LINES = 20
#: Memory may grow by so much after the first quarter: caches fill, and the allocator is not exact.
SLACK = 8 << 20

NAMES = ("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY",
         "WINDOW_UPDATE", "CONTINUATION")  # fmt: skip


class Hang(BaseException):
    """A session takes longer than any should; not an Exception, so that nothing in between handles it."""


def run_session(seed: int, number: int) -> Trial:
    """One session, always the same for one seed and number. Raises what the session or the model raises."""
    random = Random(f"{seed}/{number}")
    trial = Trial(CONFIGS[number % len(CONFIGS)], restless=number % 8 == 0)
    if number % 8 == 1 and recordings():
        _replay(trial, random)
        return trial
    client = Client()
    if number % 16 == 2:
        trial.own(("shutdown", 0, 0, 0))  # before the client has said a word
    trial.feed(BEGIN)
    unread = b""
    for step in random_steps(random, STEPS):
        if step[0] in OWNER:
            trial.own(step)
        else:
            unread += KINDS[step[0]](client, *step[1:])
            if step[3] & 7:
                continue  # it comes with what follows, in one read
            if step[2] & 1 and len(unread) > 1:  # in two reads, cut anywhere
                cut = 1 + random.randrange(len(unread) - 1)
                trial.feed(unread[:cut])
                unread = unread[cut:]
            trial.feed(unread)
            unread = b""
        if trial.model.fault is not None:
            break
    return trial


def _replay(trial: Trial, random: Random) -> None:
    data = mutate(random.choice(recordings()), random)
    at = 0
    while at < len(data) and trial.model.fault is None:
        size = random.choice((1, 9, 50, 500, 5000))
        trial.feed(data[at : at + size])
        at += size
        if not random.randrange(8):
            trial.own(("move", 0, 0, 0))


class Run:
    """Counts what a run has seen."""

    def __init__(self, seed: int, frames: int) -> None:
        self.seed = seed
        self.wanted = frames
        self.frames = self.sessions = self.faulted = self.moves = 0
        self.types: Counter[str] = Counter()
        self.codes: Counter[tuple[str, int]] = Counter()
        self.failures: list[str] = []
        #: Resident bytes when each quarter of the frames had been read.
        self.memory: list[int] = []
        self._began = time.monotonic()
        self._lines = 0

    def __call__(self, first: int = 0) -> bool:
        """Run it, from session ``first`` on. Whether nothing was wrong."""
        number = first
        while self.frames < self.wanted and len(self.failures) < 10:
            try:
                with _patience():
                    self._count(run_session(self.seed, number))
            except (Exception, Hang):
                self.failures.append(f"session {number}: {traceback.format_exc(limit=-4)}")
                print(
                    self.failures[-1], f"  again: python -m tests.fuzz --seed {self.seed} --session {number}"
                )
            number += 1
            if self.frames * LINES >= self.wanted * (1 + self._lines):
                self._progress()
        return not self.failures and not self.grown

    @property
    def grown(self) -> bool:
        """Whether memory grew after the first quarter."""
        return bool(self.memory) and self.memory[-1] > self.memory[0] + SLACK

    def _count(self, trial: Trial) -> None:
        model = trial.model
        self.sessions += 1
        self.faulted += model.fault is not None
        self.moves += trial.moves
        self.frames += model.frames
        for type_, count in model.types.items():
            self.types[NAMES[type_] if type_ <= CONTINUATION else "unknown"] += count
        self.codes += model.codes

    def _progress(self) -> None:
        self._lines += 1
        gc.collect()
        resident = _resident()
        if self._lines % (LINES // 4) == 0:
            self.memory.append(resident)
        seconds = time.monotonic() - self._began
        print(
            f"{self.frames:>11,} frames  {self.sessions:>8,} sessions  {seconds:6.0f} s"
            f"  {self.frames / seconds:6,.0f} frames/s  {len(self.failures)} failures"
            f"  resident {resident / 1e6:.1f} MB, peak {_peak() / 1e6:.1f} MB"
        )
        sys.stdout.flush()

    def report(self) -> str:
        """For a person, at the end."""
        lines = [
            f"{self.frames:,} frames in {self.sessions:,} sessions, of which {self.faulted:,} faulted;"
            f" {self.moves:,} moves; seed {self.seed}",
            "frames: " + ", ".join(f"{name} {count:,}" for name, count in self.types.most_common()),
        ]
        for kind in ("goaway", "reset"):
            codes = {code: count for (name, code), count in sorted(self.codes.items()) if name == kind}
            lines.append(f"{kind}: " + ", ".join(f"{code:#x} {count:,}" for code, count in codes.items()))
        lines.append(
            "memory at each quarter: " + ", ".join(f"{each / 1e6:.1f} MB" for each in self.memory)
            + (": IT GROWS" if self.grown else "")
        )  # fmt: skip
        lines.append(f"{len(self.failures)} failures")
        return "\n".join(lines)


@contextmanager
def _patience() -> Iterator[None]:
    """Raise Hang in a block that takes too long, in CPU time: a busy machine is no hang."""

    def ring(*_: object) -> None:
        raise Hang(f"a session has run for {PATIENCE} s")

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
