"""The app of movable.py in a few hubs, as `actorrpc serve` runs it, in the given runtime directory."""

from __future__ import annotations

import argparse
import os
import signal
import sys

import gevent
from gevent.socket import wait_read

from actorrpc.broker.serve import serve
from actorrpc.config import Config
from actorrpc.log import log_to_stderr
from actorrpc.tls.handshake.settings import Tls


def _end_with_stdin() -> None:
    wait_read(sys.stdin.fileno())
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runtime_dir")
    parser.add_argument("--prepares", metavar="FILE", help="where hubs note the bytes of each PREPARE")
    parser.add_argument("--hubs", type=int, default=2, metavar="N", help="how many hubs")
    parser.add_argument("--accept", default="reuseport", metavar="MODE", help="who accepts")
    parser.add_argument("--policy", default="none", help="what moves connections, besides the benchmark")
    parser.add_argument("--max-connections", type=int, default=0, metavar="N", help="for each hub")
    parser.add_argument("--drain-timeout", type=float, default=0.2, metavar="S", help="as `serve` has it")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"), help="have a second address, for TLS")
    options = parser.parse_args()
    addresses: list[str] = []
    if options.prepares:
        os.environ["BENCHMARK_PREPARES"] = options.prepares
    log_to_stderr("broker")
    gevent.spawn(_end_with_stdin)
    serve(
        "benchmarks.servers.movable:app",
        bind="127.0.0.1:0",
        tls_bind="127.0.0.1:0" if options.tls else None,
        tls=Tls(*options.tls) if options.tls else None,
        hubs=options.hubs,
        policy=options.policy,
        accept=options.accept,
        runtime_dir=options.runtime_dir,
        config=Config(drain_timeout=options.drain_timeout, max_connections=options.max_connections),
        on_addresses=lambda each: addresses.extend(address for address, _ in each),
        on_ready=lambda address: print("ready", *addresses, flush=True),
    )


if __name__ == "__main__":
    main()
