"""Two hubs and their broker, each hub on a core of its own, and what makes both of them busy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import NamedTuple

from actorrpc.broker.admin import ask
from actorrpc.broker.host.runtime_dir import RuntimeDir
from actorrpc.errors import ConfigError
from benchmarks.accounting import cpu_seconds
from benchmarks.background_load import background_load
from benchmarks.broker_client import BrokerClient
from benchmarks.certificate import Files
from benchmarks.processes import BenchmarkError, pin, server

__all__ = ["BUSY", "Placement", "TwoHubs", "busy", "two_hubs"]

#: The share of its core that a busy hub takes, with all it does.
BUSY = 0.7
#: How far the reached share may be off when it is measured to begin with, and how long that may take.
_NEAR = 0.05
_APPROACH = 10.0
_READING = 0.5

#: Connections that keep both hubs busy, with a call in flight on each.
_LOADED = 16
_MOVE_WINDOW = 8
_CONNECT_TIMEOUT = 10.0


class Placement(NamedTuple):
    """The cores that things run on; None: wherever the kernel puts them."""

    hubs: tuple[int, int] | None
    broker: int | None
    client: int | None

    @classmethod
    def choose(cls) -> Placement:
        """A core for each hub; if there are more than three, one for the client and one for the rest."""
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) < 2:
            return cls(None, None, None)
        hubs = usable[-2], usable[-1]
        return cls(hubs, usable[1], usable[0]) if len(usable) > 3 else cls(hubs, None, None)

    def __str__(self) -> str:
        if self.hubs is None:
            return "one core, for which hubs, broker and client compete"
        hubs = f"hubs on cores {self.hubs[0]} and {self.hubs[1]}"
        if self.client is None:
            return f"{hubs}, which broker and client share"
        return f"{hubs}, broker on {self.broker}, client on {self.client}"


class TwoHubs(NamedTuple):
    """Hubs 0 and 1, which serve."""

    address: str
    #: The path of the broker's socket.
    socket: str
    broker: BrokerClient
    pids: list[int]
    #: Where clients speak TLS; "": nowhere.
    tls_address: str = ""

    def cpu_seconds(self) -> list[float]:
        """CPU that each hub has used so far."""
        return [cpu_seconds(pid) for pid in self.pids]

    def connections(self, service: str) -> list[tuple[str, int]]:
        """The connections that have called a service, with their hubs."""
        rows = self.broker.connections()
        return [(row["id"], row["hub"]) for row in rows if service in row["services"]]


@contextmanager
def two_hubs(
    placement: Placement,
    *,
    prepares: Path | None = None,
    drain_timeout: float | None = None,
    tls: Files | None = None,
) -> Iterator[TwoHubs]:
    """Start two hubs, and stop them at the end of the block; nothing is left of them then.

    With ``prepares`` they note there how many bytes each PREPARE has. ``drain_timeout`` is in seconds. With
    ``tls`` they have a second address, whose clients speak TLS.
    """
    with TemporaryDirectory(prefix="actorrpc-benchmark-") as folder:
        directory = RuntimeDir(os.path.join(folder, "run"))
        options = [] if prepares is None else [f"--prepares={prepares}"]
        options += [] if drain_timeout is None else [f"--drain-timeout={drain_timeout}"]
        options += [] if tls is None else ["--tls", tls.cert, tls.key]
        try:
            with (
                server("actorrpc_hubs", placement.broker, directory.path, *options) as running,
                BrokerClient(directory.socket_path) as broker,
            ):
                pids = [hub["pid"] for hub in broker.status()["hubs"]]
                for pid, core in zip(pids, placement.hubs or (), strict=bool(placement.hubs)):
                    pin(pid, core)
                yield TwoHubs(running.address, directory.socket_path, broker, pids, running.tls_address)
        finally:
            with suppress(ConfigError, ask.NoAnswer):  # there is none, which is the rule
                ask.stop(directory)


@contextmanager
def busy(hubs: TwoHubs, placement: Placement) -> Iterator[None]:
    """Keep both hubs busy in the block, with calls of h2load that work and wait."""
    with background_load(hubs.address, BUSY, _LOADED, placement.broker) as process:
        _share_out(hubs)
        _await_load(hubs)
        yield
        if process.poll() is not None:
            raise BenchmarkError("h2load has ended before it was told to")


def _share_out(hubs: TwoHubs) -> None:
    """Have half of the loaded connections on each hub, whatever SO_REUSEPORT made of them."""
    deadline = monotonic() + _CONNECT_TIMEOUT
    while len(loaded := hubs.connections("bench.CpuLoad")) < _LOADED:
        if monotonic() > deadline:
            raise BenchmarkError(f"h2load has {len(loaded)} of its {_LOADED} connections")
        sleep(0.05)
    on_hub = [[id for id, hub in loaded if hub == each] for each in (0, 1)]
    fuller = 0 if len(on_hub[0]) > len(on_hub[1]) else 1
    excess = on_hub[fuller][_LOADED // 2 :]
    hubs.broker.move_all(((id, 1 - fuller) for id in excess), _MOVE_WINDOW)


def _await_load(hubs: TwoHubs) -> None:
    """Wait until the load is what it should be, or as near as this machine gets."""
    deadline = monotonic() + _APPROACH
    while monotonic() < deadline:
        before, began = hubs.cpu_seconds(), monotonic()
        sleep(_READING)
        elapsed = monotonic() - began
        shares = [(b - a) / elapsed for a, b in zip(before, hubs.cpu_seconds(), strict=True)]
        if all(abs(share - BUSY) <= _NEAR for share in shares):
            return
