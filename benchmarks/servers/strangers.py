"""An app of tests/apps/strangers.py on actorrpc, in one process."""

# The standard library is patched before anything is imported that might keep a part of it.
# ruff: noqa: E402

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import sys

from gevent.socket import wait_read

import actorrpc
from tests.apps.strangers import guarded_app, open_app
from tests.support.priced_kinds import LIMITS


def main() -> None:
    app = guarded_app if sys.argv[1:] == ["guarded"] else open_app
    with actorrpc.Server(app, bind="127.0.0.1:0", config=actorrpc.Config(**LIMITS)) as server:
        print(f"ready {server.address}", flush=True)
        wait_read(sys.stdin.fileno())
        server.stop(drain_timeout=0)


if __name__ == "__main__":
    main()
