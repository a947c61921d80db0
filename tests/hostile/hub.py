"""A served hub under attack: what it costs the process, what it logs, and what its other client notices."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.hostile.bystander import Bystander
from tests.support.server_process import ServerProcess

MB = 1024 * 1024

#: What a test of an attack allows where it does not say otherwise: CPU seconds, bytes, lines.
CPU, MEMORY, LINES = 1.5, 48 * MB, 1

#: The calls of the bystander to compare, at least.
CALLS = 40

#: Its p50 may grow by this factor, or to so many seconds; no call may take longer than the last one.
SLOWER, SLOW, STARVED = 20, 0.05, 2.0


def lines_since(log: str, size: int) -> list[str]:
    """The lines since the log was of this size, without those that count what an earlier test has caused."""
    return [line for line in log[size:].splitlines() if ": and " not in line]


class Hub:
    """One hub process of a running server, with the bystander on it."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.address = server.address
        self.pid: int = server.status()["hubs"][0]["pid"]
        self.bystander = Bystander(server.address)

    @property
    def _proc(self) -> Path:
        return Path(f"/proc/{self.pid}")

    @property
    def lives(self) -> bool:
        """Whether the process is the one that it was when ``unharmed`` began."""
        return self._proc.exists()

    def cpu(self) -> float:
        """Seconds of CPU that the process has taken."""
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self, line: str = "VmRSS") -> int:
        """Bytes of memory, now or (``VmHWM``) at most since ``forget_peak``."""
        status = dict(entry.split(":", 1) for entry in (self._proc / "status").read_text().splitlines())
        return int(status[line].split()[0]) * 1024

    def forget_peak(self) -> None:
        (self._proc / "clear_refs").write_text("5")

    @contextmanager
    def unharmed(
        self,
        *,
        cpu: float = CPU,
        memory: int = MEMORY,
        lines: int = LINES,
        slow: float = SLOW,
        slowest: float = STARVED,
    ) -> Iterator[None]:
        """Whatever happens in the block costs the hub no more than this, and its other client hardly notices.

        ``cpu`` is in seconds, and includes what the bystander's own calls cost; ``memory`` is how far the
        process may grow, at its peak; ``lines`` of log. The bystander's median call may take ``slow``
        seconds, or ``SLOWER`` times what it took before, and its longest ``slowest``.
        """
        if not self.lives:
            self.pid = self.server.status()["hubs"][0]["pid"]
        self.bystander.take(0)
        before = self.bystander.take(CALLS)
        self.forget_peak()
        cpu_before, at_rest, logged = self.cpu(), self.resident(), len(self.server.log)
        try:
            yield
        finally:  # the figures are of most interest where the test fails
            assert self.lives, f"the hub has died: {self.server.log[-2000:]}"
            during = self.bystander.take(CALLS)
            spent, grown = self.cpu() - cpu_before, self.resident("VmHWM") - at_rest
            new = lines_since(self.server.log, logged)
            figures = (
                f"{spent:.2f} s of CPU, {grown / MB:.1f} MB, {len(new)} lines; {during}; before: {before}"
            )
            print(figures)
        assert not during.failures and not before.failures, figures
        assert during.p50 <= max(SLOWER * before.p50, slow), figures
        assert max(during.seconds) <= slowest, figures
        assert spent <= cpu, figures
        assert grown <= memory, figures
        assert len(new) <= lines, new[: lines + 3]
        assert self.lives

    def close(self) -> None:
        self.bystander.close()
