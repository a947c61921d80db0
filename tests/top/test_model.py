"""What keys do, without a terminal and without a server."""

from __future__ import annotations

import pytest

from actorrpc.cli.top.keys import PASTED
from actorrpc.cli.top.model import ORDERS, Model
from actorrpc.pb.admin_pb2 import Request
from tests.top.pictures import actor, connection, hub, picture

ROWS = (
    connection("0-1-1", 0.5, state_bytes=10, calls=3, age=5.0, moved=0, hub=1),
    connection("0-1-2", 0.1, state_bytes=30, calls=1, age=50.0, moved=2, hub=0, peer="198.51.100.7:1"),
    connection("0-1-3", 0.3, state_bytes=20, calls=2, age=500.0, moved=1, hub=2, services=["auth.Login"]),
    actor("Lobby", 0.2, state_bytes=40, calls=0, age=1.0, moved=5, hub=3),
)


@pytest.fixture
def model() -> Model:
    model = Model()
    model.show(picture(*ROWS))
    return model


def typed(model: Model, *keys: str) -> list[Request]:
    """What is asked of the broker when these keys are pressed; longer texts are typed key by key."""
    asked = []
    for key in keys:
        for each in [key] if key in NAMED or key.startswith(PASTED) else key:
            asked += [action.request for action in model.press(each)]
    return asked


NAMED = {
    "enter",
    "esc",
    "up",
    "down",
    "page up",
    "page down",
    "home",
    "end",
    "tab",
    "backspace",
    "clear",
    "redraw",
}


def ids(model: Model) -> list[str]:
    return [row.id for row in model.rows]


# ---- rows


@pytest.mark.parametrize(
    ("presses", "order"),
    [
        (0, ["0-1-1", "0-1-3", "chat.Room/Lobby", "0-1-2"]),
        (2, ["chat.Room/Lobby", "0-1-2", "0-1-3", "0-1-1"]),  # state
        (3, ["0-1-1", "0-1-3", "0-1-2", "chat.Room/Lobby"]),  # calls
        (4, ["0-1-3", "0-1-2", "0-1-1", "chat.Room/Lobby"]),  # age
        (5, ["chat.Room/Lobby", "0-1-2", "0-1-3", "0-1-1"]),  # moved
        (6, ["0-1-2", "0-1-1", "0-1-3", "chat.Room/Lobby"]),  # hub
        (7, ["0-1-1", "0-1-2", "0-1-3", "chat.Room/Lobby"]),  # id
        (8, ["0-1-1", "0-1-3", "chat.Room/Lobby", "0-1-2"]),  # load again
    ],
)
def test_each_order(model: Model, presses: int, order: list[str]) -> None:
    assert typed(model, presses * "s") == []
    assert ids(model) == order
    typed(model, "r")
    assert ids(model) == order[::-1]


def test_what_is_equal_has_an_order_too() -> None:
    model = Model()
    model.show(picture(*[connection(f"0-1-{number}") for number in (3, 1, 2)]))
    assert ids(model) == ["0-1-1", "0-1-2", "0-1-3"]


def test_kinds(model: Model) -> None:
    typed(model, "a")
    assert "chat.Room/Lobby" not in ids(model) and len(ids(model)) == 3
    typed(model, "a")
    assert ids(model) == ["chat.Room/Lobby"]
    typed(model, "a")
    assert len(ids(model)) == 4


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("198.51", ["0-1-2"]),
        ("LOGIN", ["0-1-3"]),
        ("lobby", ["chat.Room/Lobby"]),
        ("chat", ["0-1-1", "chat.Room/Lobby", "0-1-2"]),
        ("nobody", []),
    ],
)
def test_the_filter_takes_effect_while_it_is_typed(model: Model, text: str, found: list[str]) -> None:
    assert typed(model, "/", text) == []
    assert (ids(model), model.match) == (found, text.lower())
    typed(model, "enter")
    assert ids(model) == found
    typed(model, "/", "esc")
    assert len(ids(model)) == 4


def test_keys_are_text_while_something_is_typed(model: Model) -> None:
    assert typed(model, "/", "qRp", "backspace", "up", "redraw", f"{PASTED}xy") == []
    assert (model.match, model.over) == ("qrxy", False)
    typed(model, "clear", "enter")
    assert model.match == ""


# ---- the selection


def test_it_stays_with_the_row(model: Model) -> None:
    typed(model, "down")
    assert model.selected == "0-1-3"
    model.show(picture(*ROWS[:2], connection("0-1-3", 0.9), connection("0-1-9", 0.8)))
    assert (model.selected, ids(model)[0]) == ("0-1-3", "0-1-3")
    typed(model, "down")
    assert model.selected == "0-1-9"


def test_one_that_goes_leaves_it_to_what_is_in_its_place(model: Model) -> None:
    typed(model, "end")
    assert model.selected == "0-1-2"
    model.show(picture(ROWS[0]))
    assert model.selected == "0-1-1"
    model.show(picture())
    assert (model.selected, model.row) == ("", None)
    assert typed(model, "up", "down", "home", "end", "page up") == []
    model.show(picture(*ROWS))
    assert model.selected == "0-1-1"


def test_it_stops_at_both_ends(model: Model) -> None:
    model.page = 2
    for keys, wanted in (
        ("up", "0-1-1"), ("page down", "chat.Room/Lobby"), ("page down", "0-1-2"), ("down", "0-1-2"),
        ("page up", "0-1-3"), ("home", "0-1-1"),
    ):  # fmt: skip
        typed(model, keys)
        assert model.selected == wanted


# ---- what is asked of the broker


def test_why(model: Model) -> None:
    assert typed(model, "down", "enter") == [Request(why=Request.Why(name="0-1-3"))]


def test_move(model: Model) -> None:
    assert typed(model, "m", "1", "enter") == [Request(move=Request.Move(connection="0-1-1", hub=1))]
    assert typed(model, "m", "1", "esc") == []
    assert model.prompt is None


@pytest.mark.parametrize("text", ["7", "", "-1", "x", "\u0661", "1001"])
def test_no_such_hub(model: Model, text: str) -> None:
    assert typed(model, "m", text, "enter") == []
    assert model.failed
    assert model.message == f"no such hub: {text!r} (there are hubs 0 to 1)"


def test_what_is_moved_is_what_was_selected_when_it_was_asked(model: Model) -> None:
    typed(model, "m")
    model.show(picture(connection("0-1-8", 1.0)))
    assert typed(model, "0", "enter") == [Request(move=Request.Move(connection="0-1-1", hub=0))]


def test_nothing_is_selected() -> None:
    model = Model()
    assert typed(model, "m", "enter") == []
    assert (model.message, model.prompt) == ("nothing is selected", None)


def test_drain_is_confirmed(model: Model) -> None:
    wish = [Request(drain=Request.Drain(hub=1))]
    assert typed(model, "d", "enter") == []  # the hub of what is selected
    assert (
        model.prompt is not None and model.prompt.question == "move all that hub 1 has to the others? (y/n)"
    )
    assert typed(model, "y") == wish
    for other in ("n", "enter", "esc", " "):
        assert typed(model, "d", "enter", other) == []
        assert (model.message, model.prompt) == ("not done", None)
    assert typed(model, "d", "clear", "0", "enter", "Y") == [Request(drain=Request.Drain(hub=0))]


def test_undrain_names_the_hub_that_is_drained() -> None:
    model = Model()
    model.show(picture(hubs=[hub(0), hub(1, draining={"moved": 3, "left": 0, "stays": {}, "empty": True})]))
    assert typed(model, "u", "enter") == [Request(drain=Request.Drain(hub=1, undo=True))]


def test_reload_is_confirmed(model: Model) -> None:
    assert typed(model, "R", "n") == []
    assert typed(model, "R", "y") == [Request(reload=Request.Reload())]


def test_pause_and_resume(model: Model) -> None:
    pause, resume = Request.Rebalance.PAUSE, Request.Rebalance.RESUME
    assert typed(model, "p") == [Request(rebalance=Request.Rebalance(wish=pause))]
    model.show(picture(paused=True))
    assert typed(model, "p") == [Request(rebalance=Request.Rebalance(wish=resume))]


def test_what_is_pasted_does_nothing(model: Model) -> None:
    assert typed(model, f"{PASTED}Ryp") == []
    assert typed(model, "R", f"{PASTED}y") == []
    assert model.prompt is None


# ---- the rest


def test_a_picture_that_is_held_does_not_change(model: Model) -> None:
    typed(model, " ")
    model.show(picture())
    assert len(ids(model)) == 4
    typed(model, " ")
    model.show(picture())
    assert ids(model) == []


def test_another_broker_is_told_of_once(model: Model) -> None:
    model.fail("no broker runs in /run/x")
    assert model.trouble
    model.show(picture(*ROWS, broker_pid=99))
    assert (model.trouble, model.message) == ("", "another broker (pid 99) has the hubs now")
    model.tell("")
    model.show(picture(*ROWS, broker_pid=99))
    assert model.message == ""


@pytest.mark.parametrize("shown", ["help", "detail"])
def test_any_key_leads_back(model: Model, shown: str) -> None:
    if shown == "help":
        typed(model, "?")
        assert model.help
    else:
        model.detail = "Connection 0-1-1"
    assert typed(model, "R") == []
    assert (model.help, model.detail, model.prompt, model.over) == (False, "", None, False)
    typed(model, "?", "q")
    assert model.over


def test_details_are_scrolled(model: Model) -> None:
    model.detail, model.page = "Connection 0-1-1", 10
    for keys, at in (
        ("down", 1),
        ("j", 2),
        ("page down", 12),
        ("k", 11),
        ("page up", 1),
        ("up", 0),
        ("up", 0),
    ):
        assert typed(model, keys) == []
        assert (model.scrolled, bool(model.detail)) == (at, True)
    typed(model, "j", "x")
    assert (model.scrolled, model.detail) == (0, "")


def test_quit_and_unknown_keys(model: Model) -> None:
    assert typed(model, "xyz\u00e9") == []
    assert not model.over
    typed(model, "q")
    assert model.over


def test_every_order_has_a_name() -> None:
    assert len({name for name, _, _ in ORDERS}) == len(ORDERS)
