"""Handlers that burn known shares of a core, and an account of what their connections were charged for it.

``Echo.Say`` answers with the account, as JSON: by the client's address, the share that its calls ask for, the
seconds of CPU that they have burnt, and the seconds that their connection was charged.
"""

# The standard library is patched before anything is imported that might keep a part of it.
# ruff: noqa: E402

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json
import sys
from collections import defaultdict
from time import monotonic, thread_time

import gevent
from gevent.lock import BoundedSemaphore
from gevent.socket import wait_read

import actorrpc
from benchmarks.gen.bench_actorrpc import CpuLoadBase, EchoBase
from benchmarks.gen.bench_pb2 import Done, Note, Share

#: Seconds of CPU that a call burns: half of it before it blocks, half after.
WORK = 0.01
#: Calls for a smaller share burn less, so that they come more often than once in a few seconds.
_LIGHT, _LIGHT_WORK = 0.02, 0.001

_claimed: dict[str, float] = {}
_burnt: defaultdict[str, float] = defaultdict(float)
_lock = BoundedSemaphore()


def _burn(peer: str, seconds: float) -> None:
    began = thread_time()
    while (spent := thread_time() - began) < seconds:
        pass
    _burnt[peer] += spent


class CpuLoad(CpuLoadBase):
    def Burn(self, request: Share, call: actorrpc.Call[Done]) -> Done:
        """Burn, wait, burn, so that all of it is the share of a core; then burn a little under a lock."""
        began = monotonic()
        _claimed[call.peer] = request.of_a_core
        work = WORK if request.of_a_core > _LIGHT else _LIGHT_WORK
        _burn(call.peer, work / 2)
        gevent.sleep(max(0.0, work / request.of_a_core - work - (monotonic() - began)))
        with _lock:
            _burn(call.peer, work / 4)
            gevent.sleep(0)
            _burn(call.peer, work / 4)
        return Done()


class Account(EchoBase):
    def Say(self, request: Note, call: actorrpc.Call[Note]) -> Note:
        peers = {each.peer: each for each in server._node.connections.values() if each.peer in _claimed}
        rows = {peer: (_claimed[peer], _burnt[peer], each.usage.taken) for peer, each in peers.items()}
        return Note(text=json.dumps(rows))


server = actorrpc.Server(actorrpc.App([Account, CpuLoad]), bind="127.0.0.1:0")

if __name__ == "__main__":
    with server:
        print(f"ready {server.address}", flush=True)
        wait_read(sys.stdin.fileno())
        server.stop(drain_timeout=0)
