"""What is shown, and what keys do. Pure: it asks nobody, and knows no terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from actorrpc.cli.top.keys import PASTED
from actorrpc.cli.top.picture import Picture, Row
from actorrpc.cli.top.rates import Rates
from actorrpc.pb.admin_pb2 import Request

__all__ = ["KINDS", "ORDERS", "Action", "Model", "Prompt"]

#: By what rows can be sorted: a name, what is compared, and whether the largest comes first.
ORDERS: Sequence[tuple[str, Callable[[Row], Any], bool]] = (
    ("load", lambda row: row.load, True),
    ("1s", lambda row: row.recent, True),
    ("state", lambda row: row.state_bytes, True),
    ("calls", lambda row: row.calls, True),
    ("age", lambda row: row.age, True),
    ("moved", lambda row: row.moved, True),
    ("hub", lambda row: row.hub, False),
    ("id", lambda row: row.id, False),
)
#: What rows are shown: a name, and the kind of a row.
KINDS = (("connections and actors", ""), ("connections", "connection"), ("actors", "actor"))
#: What the screen shows: both tables, or one of them.
PARTS = ("both", "hubs", "rows")
#: The longest text that is typed into a prompt.
LONGEST = 200


@dataclass(frozen=True)
class Action:
    """Something to ask the broker, and what is being done meanwhile, in words."""

    request: Request
    told: str


@dataclass(frozen=True)
class Prompt:
    """What is being typed, or to be confirmed: ``then`` is given the text."""

    question: str
    text: str
    then: Callable[[str], list[Action]]
    #: It takes one key, y or another.
    confirms: bool = False
    #: Each change of the text is given to ``then``, too.
    live: bool = False


class Model:
    """``page`` is how many rows there is room for; whoever shows them sets it."""

    def __init__(self) -> None:
        self.picture = Picture()
        self.rates = Rates()
        #: Why there is no newer picture; "" if there is.
        self.trouble = ""
        self.order, self.reverse = 0, False
        self.kind = 0
        self.part = 0
        #: Of what is shown, in lower case.
        self.match = ""
        #: The picture does not change while it is held.
        self.held = False
        #: The id of the row that keys are about; "" if there is none.
        self.selected = ""
        self._at = 0
        self.page = 10
        self.prompt: Prompt | None = None
        self.help = False
        #: What is shown instead of the tables; "": nothing.
        self.detail = ""
        #: The first line of help or details that is shown. Whoever shows them knows where they end.
        self.scrolled = 0
        #: What the last action has come to, and whether that is bad.
        self.message, self.failed = "", False
        self.over = False

    # ---- what is heard

    def show(self, picture: Picture) -> None:
        """Take an answer of the broker."""
        self.rates.learn(picture)
        self.trouble = ""
        if self.held:
            return
        if self.picture.broker not in (0, picture.broker):
            self.tell(f"another broker (pid {picture.broker}) has the hubs now")
        self.picture = picture
        self._keep_selection()

    def fail(self, trouble: str) -> None:
        """The broker has not answered; the last picture stays."""
        self.trouble = trouble

    def tell(self, message: str, *, failed: bool = False) -> None:
        """Show a line."""
        self.message, self.failed = message, failed

    # ---- what is shown

    @property
    def rows(self) -> list[Row]:
        """Those that are shown, in their order."""
        kind = KINDS[self.kind][1]
        _, key, largest = ORDERS[self.order]
        found = [row for row in self.picture.rows if kind in ("", row.kind) and row.has(self.match)]
        found.sort(key=lambda row: row.id)
        found.sort(key=key, reverse=largest != self.reverse)
        return found

    @property
    def row(self) -> Row | None:
        """The one that keys are about."""
        return next((row for row in self.rows if row.id == self.selected), None)

    def _keep_selection(self) -> None:
        """What was selected stays selected; if it is not there any more, what is in its place is."""
        rows = self.rows
        ids = [row.id for row in rows]
        if self.selected in ids:
            self._at = ids.index(self.selected)
        elif rows:
            self._at = min(self._at, len(rows) - 1)
            self.selected = ids[self._at]
        else:
            self.selected = ""

    def _select(self, at: int) -> None:
        rows = self.rows
        if rows:
            self._at = min(max(at, 0), len(rows) - 1)
            self.selected = rows[self._at].id

    # ---- keys

    def press(self, key: str) -> list[Action]:
        """A key has been pressed. Returns what is to be asked of the broker."""
        if self.prompt is not None:
            return self._answer(self.prompt, key)
        if key.startswith(PASTED):
            return []
        if self.help or self.detail:
            self._read_on(key)
            return []
        self.tell("")
        handler = _KEYS.get(key)
        return [] if handler is None else handler(self)

    def _read_on(self, key: str) -> None:
        """Scroll what is shown instead of the tables; any other key leads back to them."""
        if key in _SCROLLS:
            self.scrolled = max(self.scrolled + _SCROLLS[key] * (self.page if "page" in key else 1), 0)
        else:
            self.help, self.detail, self.scrolled = False, "", 0
            self.over = key == "q"

    def _answer(self, prompt: Prompt, key: str) -> list[Action]:
        if prompt.confirms:
            self.prompt = None
            if key in ("y", "Y"):
                return prompt.then("")
            self.tell("not done")
            return []
        if key == "esc":
            self.prompt = None
            return prompt.then("") if prompt.live else []
        if key == "enter":
            self.prompt = None
            return prompt.then(prompt.text)
        self.prompt = replace(prompt, text=_typed(prompt.text, key))
        return prompt.then(self.prompt.text) if prompt.live else []

    def _ask(self, question: str, then: Callable[[str], list[Action]], text: str = "") -> list[Action]:
        self.prompt = Prompt(question, text, then)
        return []

    def _confirm(self, question: str, action: Action) -> list[Action]:
        self.prompt = Prompt(f"{question} (y/n)", "", lambda _: [action], confirms=True)
        return []

    def _hub(self, text: str) -> int | None:
        """The hub that was typed; None, and it is told, if it is none."""
        ids = {hub.id for hub in self.picture.hubs}
        if text.isascii() and text.isdigit() and int(text) in ids:
            return int(text)
        self.tell(f"no such hub: {text!r} (there are hubs {_listed(ids)})", failed=True)
        return None

    # ---- what keys do

    def quit(self) -> list[Action]:
        self.over = True
        return []

    def show_help(self) -> list[Action]:
        self.help = True
        return []

    def up(self) -> list[Action]:
        self._select(self._at - 1)
        return []

    def down(self) -> list[Action]:
        self._select(self._at + 1)
        return []

    def page_up(self) -> list[Action]:
        self._select(self._at - self.page)
        return []

    def page_down(self) -> list[Action]:
        self._select(self._at + self.page)
        return []

    def first(self) -> list[Action]:
        self._select(0)
        return []

    def last(self) -> list[Action]:
        self._select(len(self.picture.rows))
        return []

    def sort(self) -> list[Action]:
        self.order, self.reverse = (self.order + 1) % len(ORDERS), False
        self._keep_selection()
        self.tell(f"sorted by {ORDERS[self.order][0]}")
        return []

    def turn_round(self) -> list[Action]:
        self.reverse = not self.reverse
        self._keep_selection()
        return []

    def choose_kind(self) -> list[Action]:
        self.kind = (self.kind + 1) % len(KINDS)
        self._keep_selection()
        self.tell(f"shows {KINDS[self.kind][0]}")
        return []

    def choose_part(self) -> list[Action]:
        self.part = (self.part + 1) % len(PARTS)
        return []

    def hold(self) -> list[Action]:
        self.held = not self.held
        self.tell("held: the space bar lets it go on" if self.held else "goes on")
        return []

    def filter(self) -> list[Action]:
        def then(text: str) -> list[Action]:
            self.match = text.lower()
            self._keep_selection()
            return []

        self.prompt = Prompt("filter (id, address or service): ", self.match, then, live=True)
        return []

    def why(self) -> list[Action]:
        row = self.row
        if row is None:
            self.tell("nothing is selected", failed=True)
            return []
        return [Action(Request(why=Request.Why(name=row.id)), f"asking about {row.id}")]

    def move(self) -> list[Action]:
        row = self.row
        if row is None:
            self.tell("nothing is selected", failed=True)
            return []

        def then(text: str) -> list[Action]:
            if (hub := self._hub(text)) is None:
                return []
            request = Request(move=Request.Move(connection=row.id, hub=hub))
            return [Action(request, f"moving {row.id} to hub {hub}")]

        return self._ask(f"move {row.id}, which is on hub {row.hub}, to hub: ", then)

    def drain(self) -> list[Action]:
        def then(text: str) -> list[Action]:
            if (hub := self._hub(text)) is None:
                return []
            action = Action(Request(drain=Request.Drain(hub=hub)), f"draining hub {hub}")
            return self._confirm(f"move all that hub {hub} has to the others?", action)

        return self._ask("drain hub: ", then, "" if self.row is None else str(self.row.hub))

    def undrain(self) -> list[Action]:
        def then(text: str) -> list[Action]:
            if (hub := self._hub(text)) is None:
                return []
            request = Request(drain=Request.Drain(hub=hub, undo=True))
            return [Action(request, f"having hub {hub} take connections again")]

        drained = [hub.id for hub in self.picture.hubs if hub.draining is not None]
        return self._ask("undo the drain of hub: ", then, str(drained[0]) if drained else "")

    def pause(self) -> list[Action]:
        wish = Request.Rebalance.RESUME if self.picture.paused else Request.Rebalance.PAUSE
        told = "resuming" if self.picture.paused else "pausing"
        return [Action(Request(rebalance=Request.Rebalance(wish=wish)), f"{told} rebalancing")]

    def reload(self) -> list[Action]:
        action = Action(Request(reload=Request.Reload()), "beginning a reload")
        return self._confirm("reload: run the code that is there now?", action)

    def __repr__(self) -> str:
        return f"<Model of {len(self.picture.rows)} rows, {len(self.picture.hubs)} hubs>"


def _typed(text: str, key: str) -> str:
    """A text after a key."""
    if key == "backspace":
        return text[:-1]
    if key == "clear":
        return ""
    if key.startswith(PASTED):
        key = key[len(PASTED) :]
    elif len(key) > 1:
        return text
    return (text + key)[:LONGEST]


def _listed(numbers: set[int]) -> str:
    return f"{min(numbers)} to {max(numbers)}" if numbers else "none"


_SCROLLS = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -1, "page down": 1}

_KEYS: dict[str, Callable[[Model], list[Action]]] = {
    "q": Model.quit,
    "?": Model.show_help,
    "h": Model.show_help,
    "up": Model.up,
    "k": Model.up,
    "down": Model.down,
    "j": Model.down,
    "page up": Model.page_up,
    "page down": Model.page_down,
    "home": Model.first,
    "end": Model.last,
    "s": Model.sort,
    "r": Model.turn_round,
    "a": Model.choose_kind,
    "tab": Model.choose_part,
    " ": Model.hold,
    "/": Model.filter,
    "enter": Model.why,
    "m": Model.move,
    "d": Model.drain,
    "u": Model.undrain,
    "p": Model.pause,
    "R": Model.reload,
}
