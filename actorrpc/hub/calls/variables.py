"""Context variables (PEP 567): each call has a ``contextvars.Context`` of its own, made when it sets one.

All that runs for a call runs in it: its handler's turns, the steps and the close of what the handler
returned, the interceptors' hooks. A turn has it as its greenlet's ``gr_context``, which nobody enters; a call
without variables pays a comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from greenlet import getcurrent

from actorrpc.hub.calls.call import ServerCall

if TYPE_CHECKING:
    from actorrpc.hub.runtime.runners import Runner

__all__ = ["run_as_turn", "run_in"]

T = TypeVar("T")
P = ParamSpec("P")


def run_in(call: ServerCall[Any], function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function in the context of a call, wherever this is called: also outside of its turns, beside
    one that is blocked, and in the turn of another call."""
    here, runner = getcurrent(), call.runner
    if here is runner:
        return function(*args, **kwargs)
    outer = here.gr_context
    here.gr_context = call.variables if runner is None else runner.gr_context
    try:
        return function(*args, **kwargs)
    finally:
        if runner is None:
            call.variables = here.gr_context
        elif call.runner is runner:
            runner.gr_context = here.gr_context
        here.gr_context = outer


def run_as_turn(
    call: ServerCall[Any], runner: Runner, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs
) -> None:
    """Run a function for a call on its runner, as ``CallTurns`` runs the call's messages: in its context, and
    interrupted with it."""
    call.runner = runner
    runner.turn = call
    call.since = runner.since = monotonic()
    if call.variables is not None:
        runner.gr_context = call.variables
    try:
        function(*args, **kwargs)
    finally:
        call.variables, runner.gr_context = runner.gr_context, None
        call.runner = runner.turn = None
