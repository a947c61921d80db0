"""The pauses of a grpcio client's ping-pong whose connection moves between two hubs."""

from __future__ import annotations

import json

from benchmarks.pauses import Pauses, pauses_of
from benchmarks.processes import BenchmarkError, python, run
from benchmarks.two_hubs import TwoHubs

__all__ = ["ping_pong"]

_TIMEOUT = 600.0


def ping_pong(
    hubs: TwoHubs, size: int, moves: int, between: int, core: int | None = None, ca: str = ""
) -> Pauses:
    """Play it with a state of ``size`` bytes, ``between`` round trips from a move to the next.

    With the certificate of a CA the client speaks TLS. Raises BenchmarkError if a call or a move fails, or
    not each move shows.
    """
    address = hubs.tls_address if ca else hubs.address
    command = python("benchmarks.clients.grpcio_ping_pong", address, hubs.socket)
    command += [f"--bytes={size}", f"--moves={moves}", f"--between={between}", f"--ca={ca}"]
    trips = json.loads(run(command, core, timeout=_TIMEOUT))
    found = pauses_of([(seconds, pid) for seconds, pid in trips])
    if len(found.extra) != moves:
        raise BenchmarkError(f"{moves} moves were made, and {len(found.extra)} are seen in the replies")
    return found
