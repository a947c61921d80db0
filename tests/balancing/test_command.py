"""`actorrpc simulate`: what it prints, replays, draws and refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from actorrpc.balancing.policies import NAMES
from actorrpc.balancing.simulation.replay import Recording, Replayed
from actorrpc.cli.commands import main
from actorrpc.errors import ConfigError

QUICK = ("--hubs", "4", "--connections", "60", "--minutes", "0.2")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as raised:
        main(["simulate", *arguments])
    return int(raised.value.code or 0)


def test_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*QUICK, "--load", "equal", "--load", "fast", "--policy", "none", "--policy", "steady") == 0
    out, err = capsys.readouterr()
    head, *rows, note = out.splitlines()
    assert head.split() == [
        "load", "policy", "max/mean", "p99", "delay", "ms", "p99", "moves/min", "ping-pong", "aborted",
    ]  # fmt: skip
    assert [row.split()[:2] for row in rows] == [
        ["equal", "none"], ["equal", "steady"], ["fast", "none"], ["fast", "steady"],
    ]  # fmt: skip
    assert rows[0].split()[-3:] == ["0.0", "0.0%", "0"]
    assert note.startswith("Ping-pong:") and err == ""


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*QUICK, "--policy", "count", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["load"], row["policy"]) == ("lognormal", "count")
    assert row["imbalance"] >= 1 and row["moves"] >= 0


def test_it_is_the_same_whatever_the_hash_seed() -> None:
    command = [
        sys.executable,
        "-m",
        "actorrpc",
        "simulate",
        *QUICK,
        "--load",
        "all",
        "--policy",
        "steady",
        "--json",
    ]
    printed = {
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1 and len(json.loads(printed.pop())) == 12


@pytest.mark.parametrize("name", ["curves.png", "curves.svg"])
def test_plots(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = []
    for copy in ("1", "2"):
        path = tmp_path / f"{copy}{name}"
        assert run(*QUICK, "--policy", "none", "--policy", "steady", "--plot", str(path)) == 0
        drawn.append(path.read_bytes())
    assert drawn[0] == drawn[1] and len(drawn[0]) > 1000


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--load", "bogus"), "no load 'bogus': choose equal,"),
        (("--policy", "bogus"), "no policy 'bogus'"),
        (("--hubs", "1"), "Invalid value for '--hubs'"),
        (("--plot", "curves.gif"), "must end with .png or .svg"),
        (("--replay", "/no/such/file"), "cannot read /no/such/file: No such file"),
        (("--replay", "x", "--load", "fast"), "leave out --load"),
    ],
)
def test_wrong_words_get_one_line(
    arguments: tuple[str, ...], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and error in err and err.count("\n") == 1


@pytest.mark.parametrize("module", ["numpy", "matplotlib"])
def test_what_is_missing_is_named(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert run(*QUICK, "--plot", "x.png") == 2
    assert f"simulating needs {module}: pip install actorrpc[simulate]" in capsys.readouterr().err


def test_the_command_line_needs_no_numpy() -> None:
    program = "import sys, actorrpc.cli.commands; print(sorted({'numpy', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_server_does_not_import_the_simulation() -> None:
    """Neither the broker, with its recorder and all policies, nor a hub, nor the command that starts them."""
    program = """
import sys, actorrpc.cli.commands, actorrpc.broker.serve, actorrpc.broker.supervisor, actorrpc.hub.worker
from actorrpc.balancing.policies import NAMES, make_policy
[make_policy(name) for name in NAMES]
print([name for name in sys.modules if name.startswith("actorrpc.balancing.simulation")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_a_word_all_policies_are_tried(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--hubs", "2", "--connections", "4", "--minutes", "0.1", "--json") == 0
    assert [row["policy"] for row in json.loads(capsys.readouterr().out)] == list(NAMES)


def report(time: float, *hubs: tuple[int, float, dict[str, float]]) -> str:
    return json.dumps({
        "t": time,
        "hubs": [
            {"hub": hub, "busy": busy, "connections": len(named), "lag_ms": 0.1, "others": [],
             "heaviest": [{"id": id, "load": load, "recent": load, "state_bytes": 10, "freeze_ms": 0.1,
                           "age": 100.0, "why": "a turn runs" if id == "pinned" else "", "group": ""}
                          for id, load in named.items()]}
            for hub, busy, named in hubs
        ],
    })  # fmt: skip


@pytest.fixture
def recording(tmp_path: Path) -> str:
    """Two hubs; all the named load is on one, which has 0.1 besides."""
    named = {"a": 0.2, "b": 0.2, "c": 0.1, "pinned": 0.2}
    lines = [report(50 + at / 4, (0, 0.8, named), (1, 0.05, {})) for at in range(240)]
    moved = {"connection": "a", "source": 0, "target": 1, "aborted": "x"}
    lines.insert(5, json.dumps({"t": 51.0, "moved": moved}))
    path = tmp_path / "run.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_a_replay(recording: str, capsys: pytest.CaptureFixture[str]) -> None:
    policies = ("--policy", "none", "--policy", "steady")
    assert run("--replay", recording, *policies, "--noise", "0", "--abort", "0", "--json") == 0
    none, steady = json.loads(capsys.readouterr().out)
    assert none["load"] == "replay" and none["moves"] == 0
    assert none["imbalance"] == pytest.approx(0.8 / 0.425, rel=1e-3)
    assert 1 <= steady["moves"] <= 3 and steady["imbalance"] < 1.35


def test_what_a_recording_says(recording: str) -> None:
    found = Recording.read(recording)
    assert (found.hubs, found.names, found.homes) == ([0, 1], ["a", "b", "c", "pinned"], [0] * 4)
    assert found.seconds == 59.75
    assert found.reports[0][2] == pytest.approx([0.1, 0.05])


def test_what_moves_cost_is_recorded(tmp_path: Path) -> None:
    """Of an older recording, which does not say so, it is what the last freeze took, twice, and the state."""
    facts = [
        {"id": "new", "load": 0.1, "freeze_ms": 1.0, "move_ms": 7.0},
        {"id": "old", "load": 0.1, "freeze_ms": 1.0, "state_bytes": 10**6},
        {"id": "heavy", "load": 0.1, "move_ms": 340.0, "why": "it is heavy", "too_heavy": True},
        {"id": "pinned", "load": 0.1, "move_ms": 1.0, "why": "a turn runs"},
    ]
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps({"t": at, "hubs": [{"hub": 0, "busy": 0.4, "heaviest": facts}]}) + "\n"
                            for at in range(3)))  # fmt: skip
    connections = Replayed(Recording.read(str(path))).connections()
    assert connections.move_ms.tolist() == pytest.approx([7.0, 2.0 + 5.0, 340.0, 1.0])
    assert connections.why == {3: "a turn runs"}  # whether another is too heavy depends on the limit


def test_a_connection_that_is_not_named_any_more_weighs_nothing_at_last(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    gone = [report(0.0, (3, 0.5, {"a": 0.4})), *(report(float(at), (3, 0.1, {})) for at in range(1, 40))]
    path.write_text("\n".join(gone))
    found = Recording.read(str(path))
    assert [time for time, loads, _ in found.reports if loads.get(0) == 0.0] == [31.0]


def test_half_a_line_at_the_end_is_ignored(recording: str) -> None:
    whole = Recording.read(recording)
    path = Path(recording)
    path.write_text(path.read_text()[:-30])
    found = Recording.read(recording)
    assert found.reports == whole.reports[:-1]


LOADED = {"a": 0.2, "b": 0.1}
GOOD = [report(at, (0, 0.3, LOADED), (1, 0.0, {})) for at in (1.0, 2.0)]


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ([report(1, (0, 0.1, {})), report(2, (0, 0.1, {}))], "its 2 reports name no connections"),
        ([report(1), report(2)], "its 2 reports name no hubs"),
        ([GOOD[0], GOOD[0]], "line 2 is not a line of a recording: its t, 1, is not after 1,"),
        ([GOOD[1], GOOD[0]], "line 2 is not a line of a recording: its t, 1, is not after 2,"),
        ([GOOD[0], GOOD[1][:-30], GOOD[1]], "line 2 is not a line of a recording: it is not JSON"),
        (['{"t": NaN, "hubs": []}', *GOOD], "line 1 is not a line of a recording: something"),
        (['{"t": 0, "hubs": [{"hub": 1e999}]}', *GOOD], "line 1 is not a line of a recording"),
        (['{"t": 0, "hubs": ["0"]}', *GOOD], "line 1 is not a line of a recording: something"),
        (['{"t": 0, "hubs": [{"hub": 0}]}', *GOOD], "line 1 is not a line of a recording: 'busy' is missing"),
        ([GOOD[0], GOOD[1].replace("0.2", "null")], "line 2 is not a line of a recording: something"),
        (["[" * 100_000, *GOOD], "line 1 is not a line of a recording: it is not JSON"),
        (["\xff\xfe", *GOOD], "line 1 is not a line of a recording: it is not JSON"),
        (["\xff" * 100], "one has at least two reports"),
    ],
)
def test_what_cannot_be_replayed(
    lines: list[str], error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes("\n".join(lines).encode("latin-1"))
    assert run("--replay", str(path)) == 2
    out, err = capsys.readouterr()
    assert out == "" and error in err and str(path) in err and err.count("\n") == 1 and len(err) < 400


@pytest.mark.parametrize(
    "lines",
    [
        [report(0.0), *GOOD],
        [report(at, (0, 0.3, LOADED)) for at in (1.0, 2.0)],
        [GOOD[0], report(1.01, (0, 0.3, LOADED))],
        [report(float(at), (0, 0.0, {"a": 0.0}), (1, 0.0, {})) for at in range(7)],
    ],
    ids=["hubs that came later", "one hub", "no time at all", "no load"],
)
def test_what_is_odd_and_can_be_replayed(
    lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("\n".join([*lines, ""]))
    assert run("--replay", str(path), "--json", "--plot", str(tmp_path / "run.png")) == 0
    assert all(row["imbalance"] >= 1 for row in json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("text", ["", "no json", '{"t": 1}', '{"t": 1, "hubs": [{"hub": 0}]}', "[]\n[]"])
def test_what_is_not_a_recording(text: str, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"not a recording|not a line of a recording"):
        Recording.read(str(path))
