"""The command line where no server is needed: what it refuses, and how it tells."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner

from actorrpc.broker.host.runtime_dir import RuntimeDir
from actorrpc.cli.commands import cli, main
from actorrpc.config import Config
from actorrpc.ipc import framing
from actorrpc.pb.admin_pb2 import Reply, Request

Broker = Callable[[Reply], list[Request]]


@pytest.fixture
def runtime_dir(tmp_path: Path) -> str:
    return str(tmp_path / "run")


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> None:
    """``serve`` has the log of its process for itself; here the process is that of other tests as well."""
    monkeypatch.setattr("actorrpc.log.log_as_told", lambda *given: None)
    monkeypatch.setattr("actorrpc.log.log_uncaught", lambda log: None)
    monkeypatch.setattr("actorrpc.titles._found", lambda: None)


@pytest.fixture
def broker(runtime_dir: str) -> Iterator[Broker]:
    """A broker that gives one reply."""
    with ExitStack() as opened:

        def start(reply: Reply) -> list[Request]:
            listener = opened.enter_context(
                opened.enter_context(RuntimeDir(runtime_dir).claim()).open_socket()
            )
            asked: list[Request] = []

            def answer() -> None:
                conn, _ = listener.accept()
                with conn:
                    reader = framing.FrameReader()
                    while not (frame := reader.next_frame()):
                        reader.receive(conn.recv(4096))
                    asked.append(Request.FromString(frame[0]))
                    conn.sendall(framing.encode(reply))

            thread = Thread(target=answer)
            thread.start()
            opened.callback(thread.join)
            return asked

        yield start


def run(*arguments: str) -> int:
    """Run the command line here. Returns its exit status."""
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    return int(raised.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), "Missing command. (see `actorrpc --help`)"),
        (("bogus",), "No such command 'bogus'."),
        (("serve",), "Missing argument 'APP'. (see `actorrpc serve --help`)"),
        (("serve", "a:b", "--hubs", "many"), "Invalid value for '--hubs': 'many' is not a valid integer"),
        (("serve", "a:b", "--hubs", "0"), "Invalid value for '--hubs': 0 is not in the range 1<="),
        (("serve", "a:b", "--bind", "nowhere"), "cannot bind to 'nowhere': write HOST:PORT"),
        (
            ("serve", "a:b", "--accept", "luck"),
            "Invalid value for '--accept': 'luck' is not one of 'reuseport', 'acceptor'.",
        ),
        (
            ("serve", "a:b", "--shared-connections", "allow"),
            "Invalid value for '--shared-connections': 'allow' is not one of 'warn', 'refuse'.",
        ),
        (("serve", "a:b", "--policy", "lucky"), "no policy 'lucky': choose none"),
        (
            ("serve", "a:b", "--drain-timeout", "nan"),
            "Invalid value for '--drain-timeout': 'nan' is not a number",
        ),
        (
            ("serve", "a:b", "--drain-timeout", "-1"),
            "Invalid value for '--drain-timeout': '-1' is not a number",
        ),
        (
            ("serve", "a:b", "--quiesce-timeout", "x"),
            "Invalid value for '--quiesce-timeout': 'x' is not a number",
        ),
        (
            ("serve", "a:b", "--max-connections", "-1"),
            "Invalid value for '--max-connections': -1 is not in the range",
        ),
        (("serve", "a:b", "--max-unsent-bytes", str(2**32)), "Invalid value for '--max-unsent-bytes'"),
        (
            ("serve", "a:b", "--stream-window-bytes", "1"),
            "Invalid value for '--stream-window-bytes': 1 is not in the range 65535<=",
        ),
        (("status",), "no broker runs in "),
        (("connections",), "no broker runs in "),
        (("stop",), "no broker runs in "),
        (("move", "0-1-1", "1"), "no broker runs in "),
        (("move", "0-1-1"), "Missing argument 'HUB'."),
        (("rebalance", "later"), "'later' is not one of 'pause', 'resume', 'now'."),
        (("moves", "--limit", "0"), "Invalid value for '--limit'"),
        (("moves", "--limit", str(2**32)), "Invalid value for '--limit'"),
        (("move", "0-1-1", "-1"), "No such option"),
        (("status", "--runtime-dir", f"/tmp/{'x' * 120}"), "too long for a unix socket"),
        (("protoc",), "Missing argument 'PROTO...'."),
    ],
)
def test_wrong_words_get_one_line(
    arguments: tuple[str, ...],
    error: str,
    runtime_dir: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", os.path.dirname(runtime_dir))
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("actorrpc: error: ")
    assert error in err
    assert err.count("\n") == 1


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (("--help",), ("serve", "-h"), ("protoc", "--help"), ("--version",)):
        assert run(*arguments) == 0
        out, err = capsys.readouterr()
        assert out.startswith(("Usage: actorrpc", "actorrpc"))
        assert err == ""


def test_every_limit_is_an_option() -> None:
    text = CliRunner().invoke(cli, ["serve", "--help"]).output
    for field in fields(Config):
        assert f"--{field.name.replace('_', '-')}" in text


def test_limits_reach_the_server(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    served = []

    def serve(app: str, **given: object) -> None:
        served.append((app, given))
        on_ready = given["on_ready"]
        assert callable(on_ready)
        on_ready("127.0.0.1:1")

    monkeypatch.setattr("actorrpc.broker.serve.serve", serve)
    assert run("serve", "a:b", "--hubs", "1", "--move-every", "3", "--drain-timeout", "0.5") == 0
    assert capfd.readouterr().out == "ready on 127.0.0.1:1 (1 hub)\n"
    ((app, given),) = served
    assert app == "a:b"
    assert (given["bind"], given["hubs"], given["runtime_dir"]) == ((), 1, None)
    assert given["accept"] is None
    assert given["config"] == Config(drain_timeout=0.5)
    assert given["move_every"] == 3


def test_the_command_line_comes_before_the_environment_and_that_before_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served: list[dict[str, object]] = []
    monkeypatch.setattr("actorrpc.broker.serve.serve", lambda app, **given: served.append(given))
    file = tmp_path / "server.toml"
    file.write_text('bind = "127.0.0.1:1"\nhubs = 1\nmax_mailbox = 1\ncompression = false\n')
    monkeypatch.setenv("ACTORRPC_CONFIG", str(file))
    monkeypatch.setenv("ACTORRPC_BIND", "127.0.0.1:2")
    monkeypatch.setenv("ACTORRPC_HUBS", "2")
    monkeypatch.setenv("ACTORRPC_RUNTIME_DIR", str(tmp_path / "run"))
    # What is typed counts, also where it is the default.
    assert run("serve", "a:b", "--bind", "127.0.0.1:50051") == 0
    (given,) = served
    assert (given["bind"], given["hubs"]) == (("127.0.0.1:50051",), 2)
    assert given["config"] == Config(max_mailbox=1, compression=False)
    assert given["runtime_dir"] == str(tmp_path / "run")


def test_several_addresses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    served: list[dict[str, object]] = []

    def serve(app: str, **given: Any) -> None:
        served.append(given)
        given["on_addresses"]([("127.0.0.1:1", False), ("unix:/a", False)])
        given["on_hubs"](2)
        given["on_ready"]("127.0.0.1:1")

    monkeypatch.setattr("actorrpc.broker.serve.serve", serve)
    file = tmp_path / "server.toml"
    file.write_text('bind = ["127.0.0.1:1", "unix:/a"]\nunix_mode = "0660"\nproxy_protocol = "unix"\n')
    typed = ("--bind", "127.0.0.1:1", "--bind", "unix:/a", "--unix-mode", "660", "--proxy-protocol", "unix")
    assert run("serve", "a:b", *typed) == 0
    assert run("serve", "a:b", "--config", str(file)) == 0
    for given in served:
        assert (given["bind"], given["unix_mode"]) == (("127.0.0.1:1", "unix:/a"), 0o660)
        assert given["config"] == Config(proxy_protocol=("unix",))
    lines = "ready on 127.0.0.1:1 (2 hubs)\nready on unix:/a (2 hubs)\n"
    assert capfd.readouterr().out == lines * 2


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("max_conections = 1", "max_conections is not known: did you mean max_connections?"),
        ("hubs = 'two'", "hubs must be a whole number, not 'two'"),
        ("hubs = 0", "hubs must be from 1 to 4,294,967,295: 0"),
        ("bind = 'nowhere'", "bind cannot be 'nowhere': write HOST:PORT, such as "),
        ("policy = 'lucky'", "policy cannot be 'lucky': choose none, "),
        ("hubs", "this is not TOML: "),
    ],
)
def test_a_fault_in_a_file_gets_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, error: str
) -> None:
    file = tmp_path / "server.toml"
    file.write_text(text)
    assert run("serve", "a:b", "--config", str(file)) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"actorrpc: error: {file}: {error}")
    assert told.count("\n") == 1


def test_who_asks_finds_a_server_by_the_environment_too(
    broker: Broker, runtime_dir: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broker(Reply(json="[]"))
    monkeypatch.setenv("ACTORRPC_RUNTIME_DIR", runtime_dir)
    assert run("connections", "--json") == 0
    assert capsys.readouterr().out == "[]\n"


def test_what_is_for_tests_is_no_business_of_operators() -> None:
    assert "move_every" not in {field.name for field in fields(Config)}
    assert "--move-every" not in CliRunner().invoke(cli, ["serve", "--help"]).output


def test_json_is_passed_on_and_warnings_go_to_standard_error(
    broker: Broker, runtime_dir: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = broker(Reply(json='[{"id": "0-1-1"}]', warnings=["hub 1 is silent"]))
    assert run("connections", "--json", "--runtime-dir", runtime_dir) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == [{"id": "0-1-1"}]
    assert err == "actorrpc: warning: hub 1 is silent\n"
    assert asked[0].WhichOneof("kind") == "connections"


def test_a_table(broker: Broker, runtime_dir: str, capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "id": "0-1-12", "hub": 0, "peer": "127.0.0.1:9", "services": ["a.A", "b.B"], "calls": 1,
        "state_bytes": 12, "cpu": 0.25, "movable": False, "why": "Lookup runs", "move_ms": 9.9,
    }  # fmt: skip
    slow = row | {"id": "0-1-14", "why": "handler Lookup running", "running": 3.2}
    heavy = row | {"id": "0-1-13", "movable": True, "why": "it is heavy", "move_ms": 340.2}
    broker(Reply(json=json.dumps([row, heavy, slow])))
    assert run("connections", "--runtime-dir", runtime_dir) == 0
    assert capsys.readouterr().out == (
        "id      hub  peer         services  calls  state_bytes  cpu   move_ms  movable  why\n"
        "0-1-12  0    127.0.0.1:9  a.A,b.B   1      12           0.25           no       Lookup runs\n"
        "0-1-13  0    127.0.0.1:9  a.A,b.B   1      12           0.25  340      yes      it is heavy\n"
        "0-1-14  0    127.0.0.1:9  a.A,b.B   1      12           0.25           no       "
        "handler Lookup running for 3.2 s\n"
    )


def test_status_names_the_hubs_whose_connections_seem_to_be_shared(
    broker: Broker, runtime_dir: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = {
        "connections": 2,
        "calls": 7,
        "refused": 3,
        "first": "/a.A/B: `x-envoy-\x1b` is what a proxy adds",
    }
    plain = {"connections": 0, "calls": 0, "refused": 0, "first": ""}
    hubs = [
        {
            "id": id, "pid": 1, "generation": 1, "serial": 1000 + id, "state": "serving", "connections": 3,
            "cpu": 0.0, "lag_ms": 0.0, "shared": seen,
        }
        for id, seen in enumerate((plain, shared))
    ]  # fmt: skip
    found = {
        "address": "127.0.0.1:1",
        "broker_pid": 1,
        "moves": {"done": 0, "aborted": 0, "pause_ms_p50": 0, "pause_ms_p99": 0},
        "rebalance": {"policy": "none", "paused": False},
        "hubs": hubs,
    }
    broker(Reply(json=json.dumps(found)))
    assert run("status", "--runtime-dir", runtime_dir) == 0
    assert capsys.readouterr().out.splitlines()[6:] == [
        "hub 1: 7 calls without an identity, 3 of them refused, for actors that several clients seem to "
        "share (/a.A/B: `x-envoy-\ufffd` is what a proxy adds): see docs/operate/proxies.md"
    ]


def test_a_table_shows_what_clients_chose_and_does_not_obey_it(
    broker: Broker, runtime_dir: str, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {
        "at": "2026-11-23T08:00:00.000+00:00", "kind": "move", "by": "steady", "what": "0-1-1", "source": 0,
        "target": 1, "load": 0.2512, "reason": "to others of \x1b[31mred\nroom", "outcome": "aborted",
        "why": "x" * 1000, "pause_ms": None, "times": 1,
    }  # fmt: skip
    asked = broker(Reply(json=json.dumps([row])))
    assert run("moves", "--limit", "7", "--runtime-dir", runtime_dir) == 0
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split() == [
        "at", "kind", "by", "what", "source", "target", "load", "outcome", "pause_ms", "times", "reason",
    ]  # fmt: skip
    assert "to others of \ufffd[31mred\ufffdroom; xxx" in line
    assert "0.251 " in line and len(line) < 400
    assert asked[0].moves.limit == 7


@pytest.mark.parametrize("wish", ("pause", "resume", "now"))
def test_rebalance(broker: Broker, runtime_dir: str, capsys: pytest.CaptureFixture[str], wish: str) -> None:
    asked = broker(Reply(done="done so"))
    assert run("rebalance", wish, "--runtime-dir", runtime_dir) == 0
    assert capsys.readouterr().out == "done so\n"
    assert Request.Rebalance.Wish.Name(asked[0].rebalance.wish) == wish.upper()


@pytest.mark.parametrize(
    ("reply", "status", "out", "err"),
    [
        (Reply(done="moved 0-1-7 to hub 1"), 0, "moved 0-1-7 to hub 1\n", ""),
        (Reply(error="a turn runs"), 1, "", "actorrpc: error: a turn runs\n"),
        (Reply(error="no such hub: 7", bad_request=True), 2, "", "actorrpc: error: no such hub: 7\n"),
    ],
)
def test_what_the_broker_says_of_a_move(
    broker: Broker, runtime_dir: str, capsys: pytest.CaptureFixture[str],
    reply: Reply, status: int, out: str, err: str,
) -> None:  # fmt: skip
    asked = broker(reply)
    assert run("move", "0-1-7", "1", "--runtime-dir", runtime_dir) == status
    assert capsys.readouterr() == (out, err)
    assert (asked[0].move.connection, asked[0].move.hub) == ("0-1-7", 1)


def test_a_broker_that_hangs_up(runtime_dir: str, capsys: pytest.CaptureFixture[str]) -> None:
    with RuntimeDir(runtime_dir).claim() as claim, claim.open_socket() as listener:
        claim.announce(0)
        thread = Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        assert run("status", "--runtime-dir", runtime_dir) == 1
        thread.join()
    assert f"the broker in {runtime_dir} (pid {os.getpid()}) does not answer" in capsys.readouterr().err


def test_a_broker_that_does_not_answer(
    runtime_dir: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actorrpc.broker.admin.ask.GRACE", 0.05)
    with RuntimeDir(runtime_dir).claim() as claim, claim.open_socket() as listener:
        claim.announce(0)
        assert isinstance(listener, socket.socket)
        assert run("stop", "--runtime-dir", runtime_dir) == 1
    assert capsys.readouterr().err == f"actorrpc: error: the broker in {runtime_dir} does not answer\n"


def test_asking_imports_no_gevent_and_no_grpc(runtime_dir: str) -> None:
    program = f"""
import sys
sys.argv = ["actorrpc", "status", "--runtime-dir", {runtime_dir!r}]
from actorrpc.cli.commands import main
try:
    main()
finally:
    print([name for name in ("gevent", "grpc") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "[]\n")
