"""Clients on real hubs, and what a probe at each hub waits."""

from __future__ import annotations

from time import monotonic
from typing import NamedTuple

from actorrpc.percentile import percentile
from benchmarks.accounting import core_wait
from benchmarks.capacity.population import population
from benchmarks.policy_hubs import policy_hubs
from benchmarks.processes import BenchmarkError

__all__ = ["Measured", "Setting", "measure"]

#: What a call takes of a hub's CPU. The client takes 0.05 ms for it, from the same cores.
_MICROSECONDS = 4000
#: Seconds between two calls of a probe, which take a hub and the client some hundredths of a core.
_PERIOD = 0.005


class Setting(NamedTuple):
    """What all measurements have in common. Times are in seconds."""

    hubs: int
    per_core: int
    settle: float
    seconds: float


class Measured(NamedTuple):
    """The p99 of the worst probe, in milliseconds; and what the machine has done to it.

    ``late`` is the p99 of how late the clients were to begin their calls, in milliseconds; ``waited`` is the
    share of the time in which a hub could have gone on and had no core, the worst of them.
    """

    probe: float
    late: float
    waited: float


def measure(setting: Setting, policy: str, clients: int, seed: int) -> Measured:
    """Let so many clients work under a policy, on hubs that are new. Raises BenchmarkError."""
    drawn = population(seed, clients, setting.hubs, setting.per_core)
    with policy_hubs(policy, setting.hubs, "--accept=reuseport") as hubs:
        # The hash puts each client where its seed says, sooner or later, so that all policies begin alike.
        pids = [hubs.pids[each.hub] for each in drawn]
        rates = [each.load / _MICROSECONDS * 1e6 for each in drawn]
        began, before = monotonic(), [core_wait(pid) for pid in hubs.pids]
        found = hubs.run_open_loop(
            {
                "seed": seed,
                "microseconds": _MICROSECONDS,
                "period": _PERIOD,
                "probes": list(hubs.pids),
                "clients": list(zip(pids, rates, strict=True)),
                "settle": setting.settle,
                "seconds": setting.seconds,
            }
        )
        after, seconds = [core_wait(pid) for pid in hubs.pids], monotonic() - began
    if not all(found["probes"]):
        raise BenchmarkError("a probe has not called: it takes more seconds")
    probe = max(percentile(took, 99) for took in found["probes"])
    waited = max(late - early for early, late in zip(before, after, strict=True)) / seconds
    return Measured(probe * 1e3, percentile(found["late"], 99) * 1e3, waited)
