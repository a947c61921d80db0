"""What `actorrpc why` is told of one connection or keyed actor."""

from __future__ import annotations

import json
import re
from typing import Any

from actorrpc.balancing.view import ConnectionLoad
from actorrpc.broker.moves.descriptions import Found, find
from actorrpc.broker.moves.rebalancer import Rebalancer
from actorrpc.broker.processes.hub_process import HubProcess
from actorrpc.broker.supervisor import Supervisor
from actorrpc.pb.admin_pb2 import Reply

__all__ = ["explain"]

#: An id of a connection: the hub and the process that accepted it, and which of its connections it was.
_CONNECTION = re.compile(r"\d+-\d+-\d+")


def explain(supervisor: Supervisor, rebalancer: Rebalancer, name: str) -> Reply:
    """All that is known of it, as JSON; an error that says what to do next if no hub has it."""
    if not _CONNECTION.fullmatch(name) and "/" not in name:
        return Reply(
            error=f"{name!r} is no connection's id, such as 0-1001-17, and no keyed actor's SERVICE and KEY: "
            "`actorrpc connections` and `actorrpc actors` list those that there are",
            bad_request=True,
        )
    places = supervisor.places
    found = find(supervisor.members.serving, name, places.guess(name), places.is_arriving(name))
    if found.process is None:
        return _missing(rebalancer, name, found)
    row = found.row
    past = rebalancer.journal.past
    row |= {
        "pid": found.process.pid,
        "hub_state": found.process.state,
        "policy": rebalancer.name,
        "stays": _stays(supervisor, rebalancer, found.process, row),
        "moves": past.rows(name),
    }
    return Reply(json=json.dumps(row))


def _stays(supervisor: Supervisor, rebalancer: Rebalancer, process: HubProcess, row: dict[str, Any]) -> str:
    """Why the balancer leaves it where it is, besides what keeps it from moving."""
    if row["why"]:
        return ""
    if cause := supervisor.deployment.why_leaving(process):
        return f"its hub gives all that it has to others ({cause})"
    load = ConnectionLoad(
        row["id"],
        row["load"],
        row["recent"],
        row["state_bytes"],
        row.get("freeze_ms", 0.0),
        row["age"],
        move_ms=row["move_ms"],
    )
    return rebalancer.why_stays(row["hub"], load)


def _missing(rebalancer: Rebalancer, name: str, found: Found) -> Reply:
    if found.silent:
        hubs = ", ".join(str(process.hub) for process in found.silent)
        return Reply(
            error=f"{name} is not on any hub that answers, and hub {hubs} does not answer: try again, or see "
            f"what holds it with `actorrpc stacks {found.silent[0].hub}`"
        )
    past = rebalancer.journal.past.of(name)
    last = ""
    if moved := [each for each in past if each.outcome == "moved"]:
        last = f"; it moved to hub {moved[-1].target} at {moved[-1].at}"
    if "/" in name:
        error = (
            f"no hub has the keyed actor {name}: it has been passivated, or nobody has called it{last}. "
            "`actorrpc actors` lists those that are active"
        )
    else:
        error = (
            f"no hub has the connection {name}: it has ended, or its hub has{last}. `actorrpc connections` "
            "lists those that there are"
        )
    return Reply(error=error, bad_request=True)
