"""How the model looks: lines for a terminal of a given size, made by rich.

Words and figures, no frames: so that it needs nothing but ASCII where the data have no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from actorrpc.cli.tables import cell, shown
from actorrpc.cli.top.layout import LEAST, lay_out
from actorrpc.cli.top.model import KINDS, ORDERS, PARTS, Model
from actorrpc.cli.top.picture import Hub, Row

__all__ = ["View"]

_HELP = """\
up, down, k, j   select (also page up, page down, home, end)
Enter            why: where it is, what keeps it, its cost, where it has been
s, r             sort by the next column; turn the order round
/                filter by part of an id, an address or a service; Esc: all
a                connections and actors; only connections; only actors
Tab              both tables; only hubs; only connections and actors
Space            hold the picture, and let it go on
m                move what is selected to another hub; its client goes on
d, u             drain a hub, after a question; have it take connections again
p                pause the balancer, or have it go on
R                reload the code, after a question
q, Ctrl-C        quit; the server goes on

load, 1s: share of a core, over 10 s and over 1 s. state: bytes of states.
busy: share of the time in which a hub could take up nothing else. lag: how
late its loop was, at worst, in 99 of 100 moments of the last ten seconds.
A hub names its 32 heaviest; `actorrpc connections` lists all."""

_KEYS = "q quit ? help enter why s sort / filter m move d drain u undo p pause R reload"

#: From these shares of a core on a figure stands out.
_BUSY, _FULL = 0.7, 0.9
_HUBS = (
    ("hub", 4), ("gen", 4), ("pid", 8), ("state", 10), ("cpu", 6), ("busy", 6), ("lag ms", 8), ("conns", 7),
    ("calls/s", 8), ("memory", 8),
)  # fmt: skip


class View:
    """``color``: None for a terminal without. ``encoding`` is what the terminal takes."""

    def __init__(self, color: str | None = None, encoding: str = "utf-8") -> None:
        self._color = color
        self._encoding = encoding

    def lines(self, model: Model, width: int, height: int) -> list[str]:
        """The lines of the screen, with the sequences that color them, none of them wider than it."""
        if width < LEAST[0] or height < LEAST[1]:
            return self._too_small(width, height)
        layout = lay_out(height, len(model.picture.hubs), PARTS[model.part])
        model.page = max(layout.rows, 1)
        body: list[str]
        room = height - 4
        if model.help or model.detail:
            body = self._text(_HELP if model.help else model.detail, width)
            model.page = room
            model.scrolled = min(model.scrolled, max(len(body) - room, 0))
            if len(body) > model.scrolled + room:
                body[model.scrolled + room - 1] = "... (down: more)"
            body = body[model.scrolled :]
        else:
            body = self._tables(model, width, layout.hubs, layout.rows)
        body = [*body, *[""] * room][:room]
        return [*self._head(model, width), *body, *self._foot(model, width)]

    def _too_small(self, width: int, height: int) -> list[str]:
        text = f"{width} x {height} is too small: top needs {LEAST[0]} x {LEAST[1]} (q quits)"
        return self._text(text, max(width, 1))[: max(height, 1)]

    # ---- parts

    def _head(self, model: Model, width: int) -> list[str]:
        picture = model.picture
        paused = Text(" PAUSED", "bold yellow") if picture.paused else Text()
        held = Text(" HELD", "bold yellow") if model.held else Text()
        where = " ".join(picture.addresses[:1]) + (" and others" if len(picture.addresses) > 1 else "")
        count = sum(hub.connections for hub in picture.hubs)
        who = f"  broker {picture.broker}  policy {cell(picture.policy)}"
        what = f"  {count} connection{'s' * (count != 1)}, {model.rates.total():.0f} calls/s"
        first = Text.assemble(("actorrpc ", "bold"), cell(where), who, paused, held, what)
        return [self._line(first, width), self._line(Text(self._progress(model)), width)]

    def _progress(self, model: Model) -> str:
        picture, moves = model.picture, model.picture.moves
        done = f"moves: {moves.get('done', 0)} done, {moves.get('aborted', 0)} aborted"
        parts = [f"{done}, pause {moves.get('pause_ms_p50', 0)} ms (p99 {moves.get('pause_ms_p99', 0)} ms)"]
        if picture.reload is not None and picture.reload["phase"] not in ("done", "abandoned"):
            reload = picture.reload
            how = f"{reload['phase']}, {reload['moved']} moved, {reload['left']} left"
            parts.append(f"reload to generation {reload['generation']}: {how}")
        elif picture.reload is not None and picture.reload["phase"] == "abandoned":
            parts.append(
                f"generation {picture.reload['generation']} is abandoned: {picture.reload.get('error')}"
            )
        if picture.scale is not None and picture.scale["phase"] not in ("done", "abandoned"):
            parts.append(f"scale to {picture.scale['hubs']} hubs: {picture.scale['phase']}")
        return shown("; ".join(parts))

    def _foot(self, model: Model, width: int) -> list[str]:
        if model.prompt is not None:
            typed = Text(shown(f"{model.prompt.question}{model.prompt.text}"), "bold")
            if not model.prompt.confirms:
                typed.append("_", "blink")
            # What is typed last is always seen.
            excess = max(typed.cell_len - width + 1, 0)
            message = typed[excess:]
        elif model.trouble:
            message = Text(shown(model.trouble), "bold red")
        elif model.message:
            message = Text(shown(model.message), "red" if model.failed else "green")
        else:
            message = Text(shown("; ".join(model.picture.warnings)), "yellow")
        return [self._line(message, width), self._line(Text(_KEYS, "dim"), width)]

    def _tables(self, model: Model, width: int, hubs: int, rows: int) -> list[str]:
        tables: list[str] = []
        if hubs:
            tables += self._hubs(model, width, hubs)
        if hubs and rows:
            tables.append(self._line(Text(_summary(model), "dim"), width))
        if rows:
            tables += self._rows(model, width, rows)
        return tables

    def _hubs(self, model: Model, width: int, room: int) -> list[str]:
        hubs = list(model.picture.hubs)
        if len(hubs) > room:  # the busiest, in their order
            busiest = sorted(hubs, key=lambda hub: hub.busy, reverse=True)[:room]
            hubs = [hub for hub in hubs if hub in busiest]
        names = [*(name for name, _ in _HUBS), "" if len(hubs) == len(model.picture.hubs) else "the busiest"]
        table = _table(names, [*(size for _, size in _HUBS), None], left={"state", "the busiest", ""})
        for hub in hubs:
            table.add_row(*_hub_cells(hub, model.rates.of(hub.serial)))
        return self._printed(table, width, room + 1)

    def _rows(self, model: Model, width: int, room: int) -> list[str]:
        rows = model.rows
        at = next((at for at, row in enumerate(rows) if row.id == model.selected), 0)
        first = min(max(at - room // 2, 0), max(len(rows) - room, 0))
        widest = max((cell_len(cell(row.id)) for row in rows[first : first + room]), default=0)
        id = min(max(widest, 12), max(width - 62, 12)) + 1
        order = ORDERS[model.order][0]
        names = ["id", "hub", "load", "1s", "state", "calls", "age", "moved"]
        marked = [f"{name}{'^' if model.reverse else '*'}" if name == order else name for name in names]
        table = _table(
            [*marked, "why, or who"], [id, 4, 7, 7, 8, 6, 5, 6, None], left={marked[0], "why, or who"}
        )
        for row in rows[first : first + room]:
            table.add_row(*_row_cells(row), style="reverse" if row.id == model.selected else "")
        return self._printed(table, width, room + 1)

    # ---- lines

    def _console(self, width: int) -> Console:
        return Console(
            file=StringIO(),
            force_terminal=True,
            color_system=self._color,  # type: ignore[arg-type]
            no_color=self._color is None,
            width=width,
            height=1000,
            legacy_windows=False,
            highlight=False,
            markup=False,
            emoji=False,
            _environ={},
        )

    def _printed(self, table: Table, width: int, room: int) -> list[str]:
        console = self._console(width)
        with console.capture() as captured:
            console.print(table, end="")
        return [self._encodable(line) for line in captured.get().split("\n")[:room]]

    def _line(self, text: Text, width: int) -> str:
        text.truncate(width, overflow="crop")
        console = self._console(width)
        with console.capture() as captured:
            console.print(text, end="", no_wrap=True, overflow="crop", crop=True)
        return self._encodable(captured.get().replace("\n", " "))

    def _text(self, text: str, width: int) -> list[str]:
        console = self._console(width)
        lines = Text("\n".join(map(shown, text.split("\n")))).wrap(console, width)
        return [self._encodable(set_cell_size(line.plain, width).rstrip()) for line in lines]

    def _encodable(self, line: str) -> str:
        return line.encode(self._encoding, "replace").decode(self._encoding)

    def __repr__(self) -> str:
        return f"<View in {self._encoding}, colors: {self._color}>"


def _table(names: Sequence[str], sizes: Sequence[int | None], left: set[str]) -> Table:
    """A table without frames; a column without a size has what is left over."""
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for name, size in zip(names, sizes, strict=True):
        table.add_column(
            name,
            justify="left" if name in left else "right",
            width=None if size is None else size - 1,
            ratio=1 if size is None else None,
            no_wrap=True,
            overflow="crop",
        )
    return table


def _summary(model: Model) -> str:
    """Which rows are shown."""
    match = f" with {cell(model.match)!r}" if model.match else ""
    more = ", and perhaps more" if model.picture.more and model.match else ""
    return f"{KINDS[model.kind][0]}{match}: {len(model.rows)}{more}"


def _hub_cells(hub: Hub, rate: float | None) -> list[Text]:
    state_style = {"serving": "green", "silent": "bold red", "restarting": "bold red"}.get(
        hub.state, "yellow"
    )
    draining = ""
    if hub.draining is not None:
        stays = "; ".join(f"{count} stay: {why}" for why, count in hub.draining["stays"].items())
        empty = "is empty" if hub.draining["empty"] else f"{hub.draining['left']} left"
        draining = f"{hub.draining['moved']} moved, {empty}{'; ' * bool(stays)}{stays}"
    return [
        Text(str(hub.id)),
        Text("-" if hub.generation is None else str(hub.generation)),
        Text("-" if hub.pid is None else str(hub.pid)),
        Text(cell(hub.state), state_style),
        _share(hub.cpu),
        _share(hub.busy),
        Text(f"{hub.lag_ms:.1f}"),
        Text(str(hub.connections)),
        Text("-" if rate is None else f"{rate:.0f}"),
        Text(_size(hub.memory), "bold red" if hub.over_memory else ""),
        Text(cell(draining)),
    ]


def _row_cells(row: Row) -> list[Text]:
    running = f" for {_time(row.running)}" if row.running else ""
    who = f"{row.peer} {','.join(row.services)}" if row.kind == "connection" else "keyed actor"
    about = Text(f"{cell(row.why)}{running}", "" if row.movable else "yellow") if row.why else Text(cell(who))
    return [
        Text(cell(row.id)),
        Text(str(row.hub)),
        _share(row.load),
        _share(row.recent),
        Text(_size(row.state_bytes)),
        Text(str(row.calls)),
        Text(_time(row.age)),
        Text(str(row.moved)),
        about,
    ]


def _share(share: float) -> Text:
    style = "bold red" if share >= _FULL else "yellow" if share >= _BUSY else ""
    return Text(f"{share * 100:.1f}%", style)


def _size(count: int) -> str:
    for unit, size in (("G", 2**30), ("M", 2**20), ("k", 2**10)):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)


def _time(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"
