"""What no handoff can be faster than: a descriptor and 1 kB to another process, and its word that they came.

    python -m benchmarks.descriptor_passing 1000

Two processes, which do nothing else and block; each on a core of its own if two are given with --cores.
Prints the seconds of each round trip as a JSON list.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from collections.abc import Sequence
from time import perf_counter

from benchmarks.processes import python, run

__all__ = ["round_trips"]

_PAYLOAD = bytes(1024)
_ACK = b"+"
_WARM_UP = 100


def round_trips(count: int, cores: Sequence[int] | None) -> list[float]:
    """Seconds of so many round trips between two new processes."""
    options = [f"--cores={','.join(map(str, cores))}"] if cores else []
    found = json.loads(run(python("benchmarks.descriptor_passing", str(count), *options), timeout=60))
    assert isinstance(found, list)
    return found


def _give(link: socket.socket, count: int) -> list[float]:
    """Send the descriptor of a TCP connection ``count`` times."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        trips = []
        for _ in range(count):
            began = perf_counter()
            socket.send_fds(link, [_PAYLOAD], [client.fileno()])
            if link.recv(1) != _ACK:
                sys.exit("the other process has gone")
            trips.append(perf_counter() - began)
        return trips


def _take(link: socket.socket) -> None:
    while True:
        data, fds, _, _ = socket.recv_fds(link, len(_PAYLOAD), 1, socket.MSG_WAITALL)
        if not data:
            return
        link.send(_ACK)
        os.close(fds[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("count", type=int)
    parser.add_argument("--cores", help="two of them, with a comma between")
    options = parser.parse_args()
    cores = [int(core) for core in options.cores.split(",")] if options.cores else None
    ours, theirs = socket.socketpair()
    child = os.fork()
    if cores:
        os.sched_setaffinity(0, {cores[0 if child else 1]})
    if not child:
        ours.close()
        _take(theirs)
        os._exit(0)
    theirs.close()
    trips = _give(ours, _WARM_UP + options.count)[_WARM_UP:]
    ours.close()
    os.waitpid(child, 0)
    print(json.dumps(trips))


if __name__ == "__main__":
    main()
