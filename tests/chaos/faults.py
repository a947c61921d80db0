"""The shapes app, in hubs that stumble at named points of a handoff.

A file ``PID.POINT`` in the folder that ``ACTORRPC_TEST_FAULTS`` names says what hub PID does when it first
comes to that point: ``kill N`` and ``stop N`` send SIGKILL or SIGSTOP to process N, ``break`` ends the link
to the other hub. Before, the fifo ``PID.POINT.reached`` gets a byte.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actorrpc.hub.moving import source, target
from actorrpc.hub.moving.states import SourceAction, TargetAction
from tests.apps.shapes import app

__all__ = ["app"]

FOLDER = Path(os.environ["ACTORRPC_TEST_FAULTS"])

# So that a test need not wait for five seconds.
source.READY_TIMEOUT = 1.0


def stumble(point: str, handoff: Any) -> None:
    file = FOLDER / f"{os.getpid()}.{point}"
    try:
        what, *pid = file.read_text().split()
    except FileNotFoundError:
        return
    file.unlink()
    with file.with_name(file.name + ".reached").open("wb", buffering=0) as fifo:
        fifo.write(b"!")
    if what == "break":
        handoff.link._end()
    else:
        os.kill(int(pid[0]), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[what])


def around(action: Callable[[Any], None], name: str) -> Callable[[Any], None]:
    def stumbling(handoff: Any) -> None:
        stumble(f"before_{name}", handoff)
        action(handoff)
        stumble(f"after_{name}", handoff)

    return stumbling


for _action in (SourceAction.FREEZE, SourceAction.COMMIT, SourceAction.RELEASE):
    source._ACTIONS[_action] = around(source._ACTIONS[_action], _action.name.lower())
for _step in (TargetAction.SAY_READY, TargetAction.SERVE):
    target._ACTIONS[_step] = around(target._ACTIONS[_step], _step.name.lower())
