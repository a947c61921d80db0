"""A hub's memory against its limit: when it is over it, and what is said of that."""

from __future__ import annotations

import ctypes
import logging
from itertools import pairwise

import pytest

from actorrpc.hub.metering.allocator import trim
from actorrpc.hub.metering.memory_limit import LOW, MemoryLimit, mebibytes
from actorrpc.hub.metering.proc import ProcNumber

LIMIT = 100 * 2**20


class Process:
    """A process with so much memory, some of it freed and not given back."""

    def __init__(self, freed: int = 0, takes: float = 0.0) -> None:
        self.now = 50.0
        self.memory = 0
        self.freed = freed
        self.trims: list[float] = []
        self._takes = takes
        self.limit = MemoryLimit(LIMIT, lambda: self.memory, self._trim, lambda: self.now)

    def _trim(self) -> None:
        self.trims.append(self.now)
        self.now += self._takes
        self.memory -= self.freed
        self.freed = 0

    def look(self, share: float) -> bool:
        self.memory = int(share * LIMIT)
        self.limit.look(self.memory)
        return self.limit.over


@pytest.fixture(autouse=True)
def _level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "actorrpc.hub")


def test_it_begins_above_the_limit_and_ends_well_below(caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    shares = [0.5, 1.0, 1.01, 1.0, 0.95, LOW + 0.001, LOW - 0.001, 0.95, 1.0, 1.2]
    assert [process.look(share) for share in shares] == [
        False, False, True, True, True, True, False, False, False, True,
    ]  # fmt: skip
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "WARNING",
            "it has 101.0 MiB, over --max-memory of 100.0 MiB: new connections go to other hubs, "
            "and some move there",
        ),
        ("INFO", "it has 89.9 MiB, and so is no longer over --max-memory"),
        (
            "WARNING",
            "it has 120.0 MiB, over --max-memory of 100.0 MiB: new connections go to other hubs, "
            "and some move there",
        ),
    ]


def test_what_is_only_not_given_back_is_given_back_first(caplog: pytest.LogCaptureFixture) -> None:
    process = Process(freed=LIMIT // 2)
    assert not process.look(1.3)
    assert len(process.trims) == 1
    assert caplog.messages == []


def test_below_the_limit_nothing_is_given_back() -> None:
    process = Process(freed=LIMIT // 2)
    for _ in range(10):
        process.look(0.99)
    assert process.trims == []


@pytest.mark.parametrize(("takes", "pause"), [(0.001, 5.0), (0.1, 20.0)])
def test_it_takes_a_small_share_of_the_time(takes: float, pause: float) -> None:
    process = Process(takes=takes)
    for _ in range(1000):
        process.look(1.5)
        process.now += 0.25
    between = [later - earlier for earlier, later in pairwise(process.trims)]
    assert len(between) >= 10
    assert all(pause <= each <= pause + 0.5 for each in between)


def test_without_glibc_nothing_is_given_back() -> None:
    limit = MemoryLimit(LIMIT, lambda: 0, None)
    assert limit.look(LIMIT + 1) == LIMIT + 1
    assert limit.over


@pytest.mark.skipif(trim is None, reason="another libc")
def test_the_kernel_gets_back_what_lies_between() -> None:
    """Every other block of 100 kB, which malloc has in its heap; the last stays, so that it cannot shrink."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    resident = ProcNumber("/proc/self/statm", 1)
    blocks = [libc.malloc(ctypes.c_size_t(100_000)) for _ in range(1000)]
    for block in blocks:
        ctypes.memset(block, 1, 100_000)
    for block in blocks[:-1:2]:
        libc.free(ctypes.c_void_p(block))
    before = resident.read()
    assert trim is not None
    trim()
    assert (before - resident.read()) * 4096 > 20_000_000
    for block in (*blocks[1::2],):
        libc.free(ctypes.c_void_p(block))
    resident.close()


def test_sizes_are_told_for_people() -> None:
    assert mebibytes(3 * 2**19) == "1.5 MiB"
