"""A gevent program that serves, and starts children: ``python -m tests.forks.embedded patched|unpatched``.

It prints its address. A line on its standard input starts a child, in its main greenlet or in a thread; at
the end of the input it stops.
"""

from __future__ import annotations

import sys

if sys.argv[1] == "patched":
    from gevent import monkey

    monkey.patch_all()

import os

import gevent
from gevent.monkey import get_original
from gevent.os import tp_read

import actorrpc
from tests.forks.app import app
from tests.forks.ways import live


def start(fork: str, folder: str, manner: str) -> None:
    if fork == "main":
        if os.fork() == 0:
            live(folder, manner)
            sys.exit(0)  # out of the block in which the server serves
    elif fork == "thread":
        raw = get_original("os", "fork")

        def in_thread() -> None:
            if raw() == 0:
                live(folder, manner)
                os._exit(0)

        get_original("_thread", "start_new_thread")(in_thread, ())


def main() -> None:
    with actorrpc.Server(app) as server:
        print(server.address, flush=True)
        while line := tp_read(0, 1000):
            start(*line.decode().strip().split("\t"))
            gevent.sleep(0)
    print("stopped", os.getpid(), flush=True)


if __name__ == "__main__":
    main()
