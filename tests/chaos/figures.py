"""Times as the few figures that are worth printing, and what the kernel tells of processes and sockets."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from actorrpc.net.addresses import parse_address
from actorrpc.percentile import percentile

__all__ = ["cpu_seconds", "summary", "tcp_state"]

PERCENTILES = {"p50": 50, "p99": 99, "p999": 99.9, "max": 100}


def summary(times: Iterable[float]) -> dict[str, float]:
    """Count, and percentiles: seconds in, milliseconds out."""
    ordered = sorted(times)
    if not ordered:
        return {"count": 0, **dict.fromkeys(PERCENTILES, 0.0)}
    found = {name: round(percentile(ordered, at) * 1000, 2) for name, at in PERCENTILES.items()}
    return {"count": len(ordered), **found}


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, its own and the kernel's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tcp_state(address: str) -> str:
    """The state of the socket that is bound to an IPv4 address, as the kernel numbers it, and which processes
    have it; "" if there is none. Sockets of grpcio's are for IPv6, which maps the address."""
    host, port = parse_address(address)
    wanted = f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"
    tables = "".join(Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6"))
    for line in tables.splitlines():
        _, local, _, state, *_, inode = line.split()[:10]
        if local.endswith(wanted):
            return f"{state} of {sorted(_who_has(f'socket:[{inode}]'))}"
    return ""


def _who_has(file: str) -> set[int]:
    found = set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if os.readlink(descriptor) == file:
                found.add(int(descriptor.parts[2]))
    return found
