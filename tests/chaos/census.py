"""What a server holds when nobody uses it: descriptors, greenlets, watchers, objects, threads, processes.

Each keyed actor is moved to the hub where it is in every census. A census is taken over a connection of its
own, which the broker moves to each hub in turn. It waits until two counts are the same, so that what is still
ending has ended; it does not wait for a time.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from pathlib import Path

from tests.apps.peers import KEYS
from tests.apps.storm_pb2 import Number
from tests.chaos.mover import ACTORS
from tests.chaos.visitor import Visitor, visitor
from tests.support.server_process import ServerProcess

__all__ = ["Census", "leaks", "take_census"]

#: After how long a server that is not quiet is counted as it is.
PATIENCE = 30.0

#: Counts by process and kind: ``("hub 0", "fd socket")``.
Census = dict[tuple[str, str], int]

#: Resident memory is no count: only its growth beyond a limit is a leak.
RSS = "resident kB"


def take_census(server: ServerProcess) -> Census:
    """Count until nothing changes any more."""
    end = time.monotonic() + PATIENCE
    broker = server.process.pid
    with visitor(server) as guest:
        _place_actors(server)
        before = _count(broker, guest)
        while True:
            now = _count(broker, guest)
            if (_exact(now) == _exact(before) and not _timed(now)) or time.monotonic() > end:
                return now
            before = now


def _place_actors(server: ServerProcess) -> None:
    """Have each hub have those keyed actors that it has in every census."""
    hubs = len(server.status()["hubs"])
    for number, key in enumerate(KEYS):
        why = server.move(f"{ACTORS}/{key}", number % hubs)
        assert not why, why


def _timed(census: Census) -> bool:
    """Whether a hub's timer runs for TLS connections that have had something to do: it will not for long."""
    return any(count for (_, kind), count in census.items() if kind == "a timer for TLS connections")


def leaks(before: Census, after: Census, rss_limit: int) -> list[str]:
    """What there is more of than before. ``rss_limit`` is in kB, for each process."""
    return [
        f"{process}: {kind} {before.get((process, kind), 0)} before, {count} after"
        for (process, kind), count in after.items()
        if count - before.get((process, kind), 0) > (rss_limit if kind == RSS else 0)
    ]


def _exact(census: Census) -> Census:
    return {key: count for key, count in census.items() if key[1] != RSS}


def _count(broker: int, guest: Visitor) -> Census:
    census = _of_process("broker", broker)
    census["broker", "children"] = _children(broker)
    for hub in guest.hubs():
        name = f"hub {hub['id']}"
        answer = guest.inspector.Census(Number())
        assert answer.pid == hub["pid"]
        census.update({(name, kind): count for kind, count in answer.counts.items()})
        census.update(_of_process(name, hub["pid"]))
        census[name, "children"] = _children(hub["pid"])
        census[name, "restarts"] = hub["restarts"]
    return census


def _of_process(name: str, pid: int) -> Census:
    """What the kernel knows about a process."""
    census = {(name, f"fd {kind}"): count for kind, count in _descriptors(pid).items()}
    status = Path(f"/proc/{pid}/status").read_text()
    for kind, field in ((RSS, "VmRSS"), ("threads", "Threads")):
        found = re.search(rf"^{field}:\s+(\d+)", status, re.MULTILINE)
        assert found is not None
        census[name, kind] = int(found[1])
    census[name, "memfd maps"] = Path(f"/proc/{pid}/maps").read_text().count("/memfd:")
    return census


def _descriptors(pid: int) -> Counter[str]:
    """Open descriptors by kind: ``socket``, ``memfd``, ``[eventpoll]``, or a file's path."""
    kinds: Counter[str] = Counter()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(link)
        except FileNotFoundError:  # closed meanwhile
            continue
        kind, _, rest = target.partition(":")
        kind = rest if kind == "anon_inode" else "memfd" if kind == "/memfd" else kind
        kind = re.sub(r"hub-\d+\.(pid|log)$", r"hub-SERIAL.\1", kind)
        kinds[kind.replace(str(pid), "self")] += 1  # another process may have taken its place
    return kinds


def _children(pid: int) -> int:
    return sum(len(path.read_text().split()) for path in Path(f"/proc/{pid}/task").glob("*/children"))
