"""What a terminal shows, as it would show it."""

from __future__ import annotations

import pyte
import pytest

from actorrpc.cli.top.model import Model
from actorrpc.cli.top.view import View
from tests.top.pictures import actor, connection, hub, picture

SIZES = [(72, 14), (80, 24), (81, 25), (132, 50), (300, 100)]


def screen(model: Model, width: int = 80, height: int = 24, view: View | None = None) -> list[str]:
    """The lines that a terminal of that size shows."""
    lines = (view or View("standard")).lines(model, width, height)
    assert len(lines) <= height
    shown = pyte.Screen(width, height + 1)  # a line that is too wide would make another
    stream = pyte.Stream(shown)
    for at, line in enumerate(lines):
        assert "\n" not in line
        stream.feed(f"\x1b[{at + 1};1H{line}")
    assert not shown.display[height].strip()
    return [line.rstrip() for line in shown.display[:height]]


def showing(*rows: object, **more: object) -> Model:
    model = Model()
    model.show(picture(*rows, **more))  # type: ignore[arg-type]
    return model


def test_a_small_server_at_80_by_24() -> None:
    model = showing(
        connection("0-1001-1", 0.512, moved=2, state_bytes=2048, hub=1),
        actor("lobby", 0.05, why="handler Post running", movable=False, running=3.0),
        hubs=[hub(0, calls=100), hub(1, state="silent", cpu=0.95, over_memory=True)],
    )
    lines = screen(model)
    assert lines[0] == "actorrpc 127.0.0.1:50051  broker 77  policy steady  20 connections, 0 calls/s"
    assert lines[1] == "moves: 12 done, 3 aborted, pause 1.5 ms (p99 4.25 ms)"
    assert lines[2].split() == [
        "hub",
        "gen",
        "pid",
        "state",
        "cpu",
        "busy",
        "lag",
        "ms",
        "conns",
        "calls/s",
        "memory",
    ]
    assert lines[3].split() == ["0", "1", "4000", "serving", "25.0%", "20.0%", "2.5", "10", "-", "41.0M"]
    assert lines[4].split()[3:5] == ["silent", "95.0%"]
    assert lines[5] == "connections and actors: 2"
    assert lines[6].split()[:9] == ["id", "hub", "load*", "1s", "state", "calls", "age", "moved", "why,"]
    assert lines[7].split()[:8] == ["0-1001-1", "1", "51.2%", "51.2%", "2.0k", "1", "90s", "2"]
    assert lines[7].split()[8].startswith("192.0.2.1")
    assert lines[8].split()[0] == "chat.Room/lobby"
    assert "handler Post" in lines[8]
    assert lines[23] == "q quit ? help enter why s sort / filter m move d drain u undo p pause R reload"


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("count", [0, 1, 500])
def test_any_size_is_filled_and_not_more(width: int, height: int, count: int) -> None:
    rows = [connection(f"{number}-{number}-{number}", number / 1000) for number in range(count)]
    model = showing(*rows, hubs=[hub(number) for number in range(64 if count else 1)])
    for part in range(3):
        model.part = part
        lines = screen(model, width, height)
        assert lines[0].startswith("actorrpc")
        assert lines[-1].startswith("q quit")
        if count == 500 and part != 1:
            assert sum("499-499-499" in line for line in lines) == 1
            assert lines[-3]  # all lines are used


def test_what_is_selected_is_always_seen() -> None:
    model = showing(*[connection(f"0-1-{number}", -number) for number in range(100)])
    for key in ("end", "home", "page down", "page down", *30 * ["down"], *40 * ["up"]):
        model.press(key)
        lines = screen(model)
        assert any(line.split()[:1] == [model.selected] for line in lines), key
        marked = View("standard").lines(model, 80, 24)
        (row,) = [line for line in marked if "\x1b[7m" in line]
        assert model.selected in row


def test_of_many_hubs_the_busiest() -> None:
    hubs = [hub(number, busy=0.9 if number in (7, 40) else 0.1) for number in range(64)]
    lines = screen(showing(hubs=hubs))
    shown = [line.split()[0] for line in lines if "serving" in line]
    assert {"7", "40"} <= set(shown)
    assert shown == sorted(shown, key=int)
    assert "the busiest" in lines[2] or "the" in lines[2]


@pytest.mark.parametrize(("width", "height"), [(71, 24), (80, 13), (20, 3), (5, 1), (1, 1)])
def test_too_small(width: int, height: int) -> None:
    text = " ".join(screen(showing(), width, height))
    if width >= 20:
        assert text.startswith(f"{width} x {height} is too small")


def test_drains_reloads_and_a_pause_are_told() -> None:
    draining = {"moved": 3, "left": 2, "stays": {"a handler runs": 2}, "empty": False}
    model = showing(
        hubs=[hub(0, state="draining", draining=draining)], paused=True,
        reload={"generation": 2, "phase": "moving", "moved": 5, "left": 7},
        scale={"hubs": 4, "phase": "starting"},
    )  # fmt: skip
    lines = screen(model, 160)
    assert "policy steady PAUSED" in lines[0]
    assert lines[1].endswith("reload to generation 2: moving, 5 moved, 7 left; scale to 4 hubs: starting")
    assert "3 moved, 2 left; 2 stay: a handler runs" in lines[3]
    model.show(picture(reload={"generation": 2, "phase": "abandoned", "error": "no", "moved": 0, "left": 0}))
    assert screen(model, 160)[1].endswith("generation 2 is abandoned: no")
    model.show(picture(reload={"generation": 2, "phase": "done", "moved": 0, "left": 0}))
    assert "reload" not in screen(model, 160)[1]


def test_the_line_above_the_keys() -> None:
    model = showing(warnings=["hub 1 does not answer; what it has is not listed"])
    assert screen(model)[22] == "hub 1 does not answer; what it has is not listed"
    model.tell("moved 0-1-1 to hub 1")
    assert screen(model)[22] == "moved 0-1-1 to hub 1"
    model.fail("no broker runs in /run/x")
    assert screen(model)[22] == "no broker runs in /run/x"
    model.press("/")
    for key in 300 * "x" + "end":
        model.press(key)
    assert screen(model)[22].endswith("xxx_")


def test_help_and_details() -> None:
    model = showing(connection("0-1-1"))
    model.press("?")
    lines = screen(model)
    assert lines[2].startswith("up, down")
    assert lines[21] == ""  # it has room
    assert not any("`actorrpc connections` lists all" in line for line in lines[22:])
    assert any("`actorrpc connections` lists all" in line for line in lines)
    model.press("x")
    model.detail = "Connection 0-1-1 " + 40 * "is somewhere "
    lines = screen(model)
    assert lines[2].startswith("Connection 0-1-1 is somewhere")
    assert "0-1-1" not in "".join(lines[10:])


def test_what_has_no_room_is_scrolled() -> None:
    model = showing(connection("0-1-1"))
    model.detail = "\n".join(f"line {number}" for number in range(30))
    lines = screen(model, 80, 14)
    assert (lines[2], lines[10], lines[11]) == ("line 0", "line 8", "... (down: more)")
    model.press("page down")
    lines = screen(model, 80, 14)
    assert (lines[2], lines[11]) == ("line 10", "... (down: more)")
    for _ in range(50):
        model.press("down")
    lines = screen(model, 80, 14)
    assert (lines[2], lines[11]) == ("line 20", "line 29")
    model.press("up")
    assert screen(model, 80, 14)[2] == "line 19"
    model.press("x")
    model.press("?")
    assert screen(model, 72, 14)[11] == "... (down: more)"


def test_what_clients_choose_steers_no_terminal() -> None:
    hostile = "\x1b[2J\x1b]0;title\x07\n\r\u202e[bold]:smile:"
    model = showing(
        connection("0-1-1", peer=hostile, services=[hostile], why=""),
        actor(hostile, why=hostile, movable=False),
    )
    model.tell(hostile)
    for width in (80, 200):
        for line in View("standard").lines(model, width, 24):
            assert "\x1b[2J" not in line and "\x1b]" not in line and "\r" not in line and "\x07" not in line
            assert "\u202e" not in line
        screen(model, width)
    model.detail = hostile
    assert not any("\x1b]" in line for line in View("standard").lines(model, 80, 24))
    assert any("[bold]:smile:" in line for line in screen(model, 200))


def test_wide_letters_do_not_shift_what_stands_beside_them() -> None:
    model = showing(actor("\u6771\u4eac" * 30, 0.25), connection("0-1-1", 0.2))
    lines = screen(model)
    assert "25.0%" in lines[7]
    assert "20.0%" in lines[8]


def test_a_terminal_without_unicode_or_colors() -> None:
    model = showing(actor("caf\u00e9 \u6771\u4eac", 0.25), hubs=[hub(0, cpu=0.99)])
    for line in View(None, "ascii").lines(model, 80, 24):
        assert line.isascii()
        assert "\x1b[3" not in line and ";3" not in line  # no color
    for key in ("?", "x", "d"):
        model.press(key)
        assert all(line.isascii() for line in View(None, "ascii").lines(model, 80, 24))
    assert "\x1b[1;31m" in "".join(View("standard").lines(model, 80, 24))
