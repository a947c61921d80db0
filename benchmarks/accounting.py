"""What the operating system says a process has used, and waited for: CPU time and memory, from /proc.

A process here means itself and all its descendants, except for `core_wait`.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["TICK", "core_wait", "cpu_parts", "cpu_seconds", "memory_bytes"]

#: The resolution of ``cpu_seconds``: Linux counts in these, so a difference of two readings is off by less
#: than one of them.
TICK = 1 / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """CPU time so far of the process, its threads and its descendants, dead or alive.

    Raises ProcessLookupError if there is no such process.
    """
    return sum(cpu_parts(pid))


def cpu_parts(pid: int) -> tuple[float, float]:
    """The same in two parts: what they used themselves, and what the kernel did for them.

    ``utime``, ``stime``, ``cutime`` and ``cstime`` of /proc/PID/stat (proc(5)); the last two hold what
    descendants used that have been waited for, so that nothing is counted twice.
    """
    stats = _stats()
    if pid not in stats:
        raise ProcessLookupError(f"no process {pid}")
    counted = [list(map(int, stats[each][11:15])) for each in _family(pid, stats)]
    user = sum(own + waited for own, _, waited, _ in counted)
    kernel = sum(own + waited for _, own, _, waited in counted)
    return user * TICK, kernel * TICK


def core_wait(pid: int) -> float:
    """Seconds in which the process's main thread could have run and had no core: the second field of
    /proc/PID/schedstat. 0 from a kernel that does not count them.
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) * 1e-9
    except FileNotFoundError:
        return 0.0


def memory_bytes(pid: int) -> int:
    """Memory that is the process's own: anonymous pages, which hold heaps and stacks, and what of them is
    swapped out.

    ``Anonymous`` and ``Swap`` of /proc/PID/smaps_rollup. Program text and libraries are left out: whether
    those pages count as shared or private changes with what else runs on the machine.
    """
    total = 0
    for each in _family(pid, _stats()):
        lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()[1:]
        fields = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
        total += (fields["Anonymous"] + fields["Swap"]) * 1024
    return total


def _stats() -> dict[int, list[str]]:
    """Fields of /proc/PID/stat from ``state`` on, for each process."""
    stats = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue  # it has ended meanwhile
            # The command's name stands in brackets and may hold spaces and brackets itself.
            stats[int(entry.name)] = text.rpartition(")")[2].split()
    return stats


def _family(pid: int, stats: dict[int, list[str]]) -> list[int]:
    family = [pid]
    for parent in family:  # grows as it goes
        family += [each for each, fields in stats.items() if int(fields[1]) == parent]
    return family
