"""Commands that move what a running server has, and show how that goes on: reload, drain and scale."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import click

from actorrpc.cli.ask import Failure, ask_broker
from actorrpc.cli.flags import NUMBER, runtime_dir_flag
from actorrpc.pb.admin_pb2 import Request

__all__ = ["COMMANDS"]

#: Between two looks at the status, and between two lines where there is no terminal, in seconds.
LOOK, LINE = 0.1, 5.0
#: What becomes of the old hubs of a reload as long as no new one serves.
_STALLED = "the old ones serve on until one does, or another `actorrpc reload` replaces the new ones"
#: Listing the connections of a large server takes a while.
BEGIN_TIMEOUT = 30.0


@click.command()
@click.option(
    "--drain-timeout",
    type=click.FloatRange(min=0),
    help="For this reload: how many seconds connections may take to move, and then calls to end.",
)
@runtime_dir_flag
def reload(drain_timeout: float | None, runtime_dir: str | None) -> None:
    """Run the code that is there now, while clients go on.

    New hubs are started; once all are ready, every connection moves to them, and the old ones end. If they
    cannot start, or none of them serves for longer than the drain timeout, the old ones serve on, and the
    exit status is 1.
    """
    question = Request(reload=Request.Reload(drain_timeout=drain_timeout))
    begun = json.loads(ask_broker(runtime_dir, question, BEGIN_TIMEOUT).json)
    for why, count in begun["pinned"].items():
        print(f"{count} of {begun['connections']} connections cannot move now: {why}")
    print(f"generation {begun['generation']} starts", flush=True)
    last = _show(_reloads(runtime_dir, begun["generation"]))
    if last["phase"] in ("moving", "ending"):
        why = "another reload has begun" if not last["stalled"] else f"none of its hubs serves: {_STALLED}"
        raise Failure(f"generation {begun['generation']} does not serve for all: {why}")
    if last["phase"] != "done":
        abandoned = f"generation {begun['generation']} is abandoned: {last.get('error')}"
        raise Failure(abandoned, last.get("trace", ""))
    moved = f"{last['moved']} moved in {last['seconds']} s"
    print(f"generation {begun['generation']} serves: {moved}{_describe_ended(last)}")


@click.command()
@click.argument("hub", type=NUMBER)
@click.option("--undo", is_flag=True, help="Have it take connections again.")
@runtime_dir_flag
def drain(hub: int, undo: bool, runtime_dir: str | None) -> None:
    """Move all that HUB has to the others. It lives, and takes nothing until --undo or a reload."""
    done = ask_broker(runtime_dir, Request(drain=Request.Drain(hub=hub, undo=undo))).done
    if undo:
        print(done)
        return
    last = _show(_drains(runtime_dir, hub))
    if last["phase"] != "done":
        raise Failure(f"hub {hub} is not drained: {last['phase']}")
    print(f"hub {hub} is drained: {last['moved']} moved")


@click.command()
@click.argument("hubs", type=NUMBER)
@click.option(
    "--drain-timeout",
    type=click.FloatRange(min=0),
    help="For this: how many seconds connections may take to move, and then calls to end.",
)
@runtime_dir_flag
def scale(hubs: int, drain_timeout: float | None, runtime_dir: str | None) -> None:
    """Have so many HUBS from now on, until the next `serve`.

    More: all new ones are started, and serve once all are ready; if one cannot start, none is added, and the
    exit status is 1. Fewer: what the highest have moves to the others, while clients go on.
    """
    wish = Request(scale=Request.Scale(hubs=hubs, drain_timeout=drain_timeout))
    begun = json.loads(ask_broker(runtime_dir, wish, BEGIN_TIMEOUT).json)
    print(f"from {begun['before']} hubs to {hubs}", flush=True)
    last = _show(_scales(runtime_dir, begun))
    if last["phase"] != "done":
        raise Failure(f"there are still {last['before']} hubs: {last['error']}", last.get("trace", ""))
    moved = f"{last['moved']} moved in {last['seconds']} s"
    print(f"{hubs} hub{'s' * (hubs != 1)} serve{'s' * (hubs == 1)}: {moved}{_describe_ended(last)}")


COMMANDS: tuple[click.Command, ...] = (reload, drain, scale)


def _reloads(runtime_dir: str | None, generation: int) -> Iterator[Mapping[str, Any]]:
    """How a reload goes on, until it is over, or has been stalled for longer than its drain timeout."""
    while True:
        state = _status(runtime_dir)["reload"]
        if state is None or state["generation"] != generation:
            return
        yield state
        if state["phase"] in ("done", "abandoned") or state["stalled"] > state["drain_timeout"]:
            return


def _scales(runtime_dir: str | None, begun: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """How a change of the number of hubs goes on, until it is over, or another one has begun."""
    while True:
        state = _status(runtime_dir)["scale"]
        if state is None or (state["before"], state["hubs"]) != (begun["before"], begun["hubs"]):
            return
        yield state
        if state["phase"] in ("done", "abandoned"):
            return


def _drains(runtime_dir: str | None, hub: int) -> Iterator[Mapping[str, Any]]:
    """How the drain of a hub goes on, until it is over, or undone."""
    while True:
        row = _status(runtime_dir)["hubs"][hub]
        draining = row["draining"]
        if draining is None:
            yield {"phase": f"hub {hub} is {row['state']}", "moved": 0, "left": 0, "stays": {}}
            return
        yield {**draining, "phase": "done" if draining["empty"] else "moving"}
        if draining["empty"]:
            return


def _status(runtime_dir: str | None) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(ask_broker(runtime_dir, Request(status=Request.Status())).json)
    return status


def _show(states: Iterator[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Show how it goes on, as a bar on a terminal, else as a line now and then. Returns the last state.

    Raises Failure if there is none: the server has forgotten what it was asked.
    """
    last = None
    for state in (_draw_bar if sys.stdout.isatty() else _print_lines)(states):
        last = state
        time.sleep(LOOK)
    if last is None:
        raise Failure("the server does not know of it any more")
    return last


def _draw_bar(states: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    with click.progressbar(length=1, show_eta=False, label="moved", show_pos=True) as bar:
        for state in states:
            bar.label = "moved (no new hub serves)" if state.get("stalled") else "moved"
            bar.length = max(state["moved"] + state["left"], 1)
            bar.update(state["moved"] - bar.pos)
            bar.render_progress()  # by itself it would only do so for a step
            yield state


def _print_lines(states: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    said, before = 0.0, ("", False, False)
    for state in states:
        now = time.monotonic()
        phase, stalled, waits = state["phase"], bool(state.get("stalled")), bool(state.get("stays"))
        if (phase, stalled, waits) != before or now - said >= LINE:
            said, before = now, (phase, stalled, waits)
            if phase in ("moving", "ending"):
                done = f"{state['moved']} moved, {state['left']} left"
                print(f"{phase}: {done}{_describe_stays(state)}", flush=True)
            if stalled:
                print(f"no new hub serves: {_STALLED}", flush=True)
        yield state


def _describe_stays(state: Mapping[str, Any]) -> str:
    if not (state["left"] and state["stays"]):
        return ""
    return "; " + "; ".join(f"{count} stay: {why}" for why, count in state["stays"].items())


def _describe_ended(state: Mapping[str, Any]) -> str:
    """Who could not move in time: the first ones by their ids."""
    count, first = state["ended"]["count"], state["ended"]["first"]
    if not count:
        return ""
    named = ", ".join(f"{each['id']} ({each['why']})" for each in first)
    more = f" and {count - len(first)} more" if count > len(first) else ""
    return f"; {count} ended: {named}{more}"
