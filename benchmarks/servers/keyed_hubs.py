"""The app of keyed.py in a few hubs, as `actorrpc serve` runs it, in the given runtime directory."""

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


def _end_with_stdin() -> None:
    wait_read(sys.stdin.fileno())
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runtime_dir")
    parser.add_argument("--hubs", type=int, default=2, metavar="N", help="how many hubs")
    options = parser.parse_args()
    log_to_stderr("broker")
    gevent.spawn(_end_with_stdin)
    serve(
        "benchmarks.servers.keyed:app",
        bind="127.0.0.1:0",
        hubs=options.hubs,
        config=Config(drain_timeout=0.2),
        runtime_dir=options.runtime_dir,
        policy="none",
        on_ready=lambda address: print(f"ready {address}", flush=True),
    )


if __name__ == "__main__":
    main()
