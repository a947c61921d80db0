"""The services on actorrpc, in one process as `actorrpc.Server` serves them.

With the files of a certificate and its key as arguments, it has a second address for TLS.
"""

# The standard library is patched before anything is imported that might keep a part of it.
# ruff: noqa: E402

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import sys

from gevent.socket import wait_read

import actorrpc
from benchmarks.gen.bench_actorrpc import CounterBase, EchoBase
from benchmarks.gen.bench_pb2 import Count, Note


class Echo(EchoBase):
    def Say(self, request: Note, call: actorrpc.Call[Note]) -> Note:
        return Note(number=request.number, text=request.text)


class Counter(CounterBase):
    def Add(self, request: Note, call: actorrpc.Call[Count]) -> Count:
        self.state.calls += 1
        return self.state


def main() -> None:
    app = actorrpc.App([Echo, Counter])
    files = sys.argv[1:]
    with actorrpc.Server(
        app,
        bind="127.0.0.1:0",
        tls_bind="127.0.0.1:0" if files else (),
        tls=actorrpc.Tls(*files) if files else None,
        config=actorrpc.Config(handshake_rate=0),
    ) as server:
        print("ready", *server.addresses, flush=True)
        wait_read(sys.stdin.fileno())
        server.stop(drain_timeout=0)


if __name__ == "__main__":
    main()
