"""``actorrpc simulate``. Imports what needs numpy only when it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from actorrpc.balancing.policies import NAMES, make_policy
from actorrpc.config import Config
from actorrpc.errors import ConfigError

if TYPE_CHECKING:
    from actorrpc.balancing.simulation.results import Progress, Run

__all__ = ["simulate"]


@click.command()
@click.option("--hubs", type=click.IntRange(2, 1024), default=8, show_default=True)
@click.option("--connections", type=click.IntRange(1, 10**7), default=512, show_default=True, help="In all.")
@click.option("--load", "loads", multiple=True, metavar="NAME",
    help="What clients do; repeat it for more, or say all.  [default: lognormal]")  # fmt: skip
@click.option("--policy", "policies", multiple=True, metavar="NAME",
    help="A name or package.module:Class; repeat it for more.  [default: all that have names]")  # fmt: skip
@click.option("--minutes", type=click.FloatRange(0.1, 10_000), default=10.0, show_default=True)
@click.option("--utilisation", type=click.FloatRange(0.01, 2), default=0.6, show_default=True,
    help="What all clients ask for together, over what all cores have.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--noise", type=click.FloatRange(0, 1), default=0.05, show_default=True,
    help="Relative error of what hubs report.")  # fmt: skip
@click.option("--stale", type=click.FloatRange(0, 60), default=0.1, show_default=True,
    help="How many seconds late reports are.")  # fmt: skip
@click.option("--abort", type=click.FloatRange(0, 1), default=0.01, show_default=True,
    help="The share of moves that is aborted.")  # fmt: skip
@click.option("--churn", type=click.FloatRange(0, 60), default=0.0, show_default=True,
    help="Hubs that go each minute; each comes back, empty, half a minute later.")  # fmt: skip
@click.option("--placement", type=click.Choice(["hash", "one"]), default="hash", show_default=True,
    help="Where connections begin: as the kernel hashes them, or the heavy ones all on one hub.")  # fmt: skip
@click.option("--max-move-time", type=click.FloatRange(0), default=Config.max_move_time, show_default=True,
    help="Seconds that a move may stop two hubs for, in all. 0: no limit.")  # fmt: skip
@click.option("--replay", metavar="FILE", help="Replay what `actorrpc serve --record FILE` has written.")
@click.option("--plot", "plot_path", metavar="FILE", help="Draw curves into a .png or .svg.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def simulate(
    loads: tuple[str, ...], policies: tuple[str, ...], replay: str | None, plot_path: str | None,
    as_json: bool, **numbers: Any,
) -> None:  # fmt: skip
    """Try balancing policies on hubs and connections that do not exist.

    The policies are those that a server runs. Equal options give equal figures.
    """
    _need("numpy")
    if plot_path is not None:
        _need("matplotlib")
        if not plot_path.endswith((".png", ".svg")):
            raise ConfigError(f"cannot draw {plot_path}: its name must end with .png or .svg")
    from actorrpc.balancing.simulation import results as runs

    found = _run_all(loads, policies or NAMES, replay, numbers)
    print(runs.document(found) if as_json else runs.table(found))
    if plot_path is not None:
        _plot(found, plot_path)


def _need(module: str) -> None:
    try:
        __import__(module)
    except ImportError as error:
        raise ConfigError(f"simulating needs {module}: pip install actorrpc[simulate]") from error


def _plot(found: list[Run], path: str) -> None:
    from actorrpc.balancing.simulation.plots import plot

    try:
        plot(found, path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _run_all(
    loads: tuple[str, ...], policies: tuple[str, ...], replay: str | None, numbers: dict[str, Any]
) -> list[Run]:
    from actorrpc.balancing.simulation.replay import Recording
    from actorrpc.balancing.simulation.results import run, run_recording
    from actorrpc.balancing.simulation.scenario import WORKLOADS, Scenario

    for policy in policies:
        make_policy(policy)
    if replay is not None:
        if loads:
            raise ConfigError("a replay brings its own load: leave out --load")
        recording = Recording.read(replay)
        scenario = Scenario(**numbers)
        return [
            _with_progress(
                "replay", each, recording.seconds, partial(run_recording, recording, scenario, each)
            )
            for each in policies
        ]
    for name in loads:
        if name not in WORKLOADS and name != "all":
            raise ConfigError(f"no load {name!r}: choose {', '.join(WORKLOADS)}, or all")
    names = list(WORKLOADS) if "all" in loads else list(dict.fromkeys(loads)) or ["lognormal"]
    scenarios = [Scenario(load=name, **numbers) for name in names]
    return [
        _with_progress(scenario.load, policy, scenario.seconds, partial(run, scenario, policy))
        for scenario in scenarios
        for policy in policies
    ]


def _with_progress(load: str, policy: str, seconds: float, start: Callable[[Progress], Run]) -> Run:
    """Run with a bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        return start(lambda now: None)
    with click.progressbar(length=int(seconds), label=f"{load}, {policy}", file=sys.stderr) as bar:
        return start(lambda now: bar.update(1))
