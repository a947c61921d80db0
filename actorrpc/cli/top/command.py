"""``actorrpc top`` as it is typed."""

from __future__ import annotations

import os
import signal
import sys

import click

from actorrpc.cli.ask import ask_broker
from actorrpc.cli.flags import runtime_dir_flag
from actorrpc.errors import ConfigError
from actorrpc.pb.admin_pb2 import Request

__all__ = ["top"]

#: The terminal has gone, as if by SIGHUP.
_HUNG_UP = 128 + signal.SIGHUP
#: In seconds. A hub takes a millisecond to answer.
_LEAST, _USUAL, _MOST = 0.25, 1.0, 60.0


@click.command(
    epilog="""\b
Examples:
  actorrpc top
  actorrpc top --interval 5 --runtime-dir /run/actorrpc
"""
)
@click.option(
    "--interval",
    type=click.FloatRange(_LEAST, _MOST),
    default=_USUAL,
    show_default=True,
    help="Seconds between two looks.",
)
@runtime_dir_flag
def top(interval: float, runtime_dir: str | None) -> None:
    """Watch the hubs and the heaviest connections and actors, live, in a terminal.

    Keys sort, filter, move, drain, pause and reload; ? shows them all.
    """
    _check()
    first = ask_broker(runtime_dir, Request(top=Request.Top(limit=1)))  # fails as other commands do
    assert first.json
    status = _run(interval, runtime_dir)
    if status == signal.SIGINT:
        raise click.Abort
    if status:
        signal.signal(status, signal.SIG_DFL)
        os.kill(os.getpid(), status)


def _check() -> None:
    """Raise ConfigError if it cannot be shown, with what to do instead."""
    instead = "`actorrpc status` and `actorrpc connections` print what it shows"
    if not (os.isatty(0) and os.isatty(1)):
        raise ConfigError(f"top needs a terminal on its standard input and output; {instead}")
    if os.environ.get("TERM", "dumb") in ("", "dumb", "unknown"):
        term = os.environ.get("TERM", "")
        raise ConfigError(f"top needs a terminal that can move its cursor, and TERM is {term!r}; {instead}")
    try:
        import rich  # noqa: F401
    except ImportError as error:
        raise ConfigError("top needs rich, which the extra `top` brings: pip install rich") from error


def _run(interval: float, runtime_dir: str | None) -> int:
    """Show it. Returns the signal that has ended it; 0: the user has."""
    from actorrpc.broker.host.runtime_dir import RuntimeDir
    from actorrpc.cli.top.loop import Loop
    from actorrpc.cli.top.model import Model
    from actorrpc.cli.top.terminal import Gone, Terminal
    from actorrpc.cli.top.view import View

    encoding = sys.stdout.encoding or "ascii"
    terminal, view = Terminal(1, encoding), View(_color(), encoding)
    try:
        with Loop(terminal, Model(), view, RuntimeDir(runtime_dir), interval) as loop:
            return loop.run()
    except Gone:
        raise SystemExit(_HUNG_UP) from None


def _color() -> str | None:
    """What rich calls the colors of the terminal; None: none are wanted (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "").startswith("vt"):
        return None
    return "standard"
