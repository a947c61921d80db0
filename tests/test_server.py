"""``actorrpc.Server``: what it does without a broker."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from tempfile import TemporaryDirectory

import gevent
import pytest
from gevent.event import Event

import actorrpc
from actorrpc.hub.metering.usage import Usage
from actorrpc.hub.node import Node
from tests.apps.shapes import app
from tests.support import raw
from tests.support.processes import ROOT, environment
from tests.support.raw_client import RawClient
from tests.support.waiting import PATIENCE

PATCHED = "from gevent.monkey import patch_all; patch_all()\n"
INITIALISED = "from grpc.experimental.gevent import init_gevent; init_gevent()\n"
SERVES = "import actorrpc; from tests.apps.shapes import app; actorrpc.Server(app).stop()\n"


def test_what_connections_spend_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    settled = Event()
    settle = Node.settle

    def watched(node: Node) -> None:
        settle(node)
        settled.set()

    monkeypatch.setattr(Node, "settle", watched)
    with actorrpc.Server(app) as server:
        meter = server._node.resources.meter
        usage, light = Usage(meter, "heavy"), Usage(meter, "light")
        usage.spend(meter.clock() - meter.charged - 0.1)
        light.spend(meter.clock() - meter.charged)
        assert meter.active == [usage, light]
        light.close()
        with gevent.Timeout(PATIENCE):
            settled.wait()
        assert meter.active == []
        assert usage.due == 0 < usage.load(meter.clock())
    assert not server._settler.active


def test_no_file_is_left_open_when_it_has_stopped() -> None:
    def use() -> int:
        with actorrpc.Server(app):
            pass
        return len(os.listdir("/proc/self/fd"))

    first = use()  # the loop has what it needs
    gc.disable()
    try:
        assert [use() for _ in range(3)] == [first] * 3
    finally:
        gc.enable()


def test_it_listens_on_several_addresses() -> None:
    with TemporaryDirectory(prefix="actorrpc-") as folder:
        path = f"{folder}/socket"
        with actorrpc.Server(app, ["127.0.0.1:0", f"unix:{path}"], unix_mode=0o600) as server:
            assert server.addresses == [server.address, f"unix:{path}"]
            assert os.stat(path).st_mode & 0o777 == 0o600
            for address in server.addresses:
                with RawClient(address, b"") as client:
                    client.send(raw.OPEN)
                    while not server.connection_count:
                        gevent.sleep(0)
                    (connection,) = server._node.connections.values()
                    connection.close()
        assert not os.path.exists(path)


def test_a_child_that_ends_leaves_the_socket_of_its_parent() -> None:
    """Also one that ends as a program does, and cleans up what it has of its parent's."""
    with TemporaryDirectory(prefix="actorrpc-") as folder:
        path = f"{folder}/socket"
        program = f"""
import os, sys, actorrpc
from tests.apps.shapes import app
server = actorrpc.Server(app, "unix:{path}")
child = os.fork()
if child == 0:
    del server
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
print(os.path.exists({path!r}))
server.stop()
print(os.path.exists({path!r}))
"""
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
    assert done.stdout.split() == ["True", "False"], done.stderr


def test_its_timer_does_not_keep_the_loop_alive() -> None:
    """A program that waits for what cannot come is told so by gevent, also while a timer runs."""
    before = gevent.get_hub().loop.activecnt
    with actorrpc.Server(app) as server:
        assert server._settler.active and not server._settler.ref
    assert gevent.get_hub().loop.activecnt == before


@pytest.mark.parametrize(
    ("program", "warned"),
    [
        (PATCHED + "import grpc\n", True),
        (PATCHED + "import grpc\n" + INITIALISED, False),
        (PATCHED, False),
        ("import grpc\n", False),  # its other threads may call as they like
    ],
    ids=["not initialised", "initialised", "no grpcio", "not patched"],
)
def test_a_gevent_program_is_told_if_grpcio_would_stop_it(program: str, warned: bool) -> None:
    command = [sys.executable, "-c", program + SERVES]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert ("init_gevent()" in done.stderr) == warned, done.stderr
