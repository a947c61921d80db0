"""The paragraph of `actorrpc why`, from what a broker has answered."""

from __future__ import annotations

from typing import Any

import pytest

from actorrpc.cli.why import paragraph

ROW: dict[str, Any] = {
    "kind": "connection", "id": "0-1001-17", "hub": 1, "generation": 2, "serial": 1004, "pid": 4121,
    "hub_state": "serving", "peer": "192.0.2.7:50412", "services": ["chat.Chat"], "calls": 0,
    "state_bytes": 214, "load": 0.032, "recent": 0.034, "movable": True, "why": "", "running": 0.0,
    "move_ms": 0.9, "age": 540.0, "identities": 0, "rank": 2, "of": 157, "policy": "steady",
    "stays": "hub 1 rests", "moved": 0, "moves": [],
}  # fmt: skip
MOVE: dict[str, Any] = {
    "at": "2026-12-01T14:02:11.123+00:00", "source": 0, "target": 1, "by": "steady",
    "reason": "hub 0 is busy", "outcome": "moved", "why": "", "pause_ms": 1.25, "generation": 2, "times": 1,
}  # fmt: skip


def said(**more: Any) -> str:
    return paragraph({**ROW, **more})


def test_all_of_it() -> None:
    assert said(moved=1, moves=[MOVE]) == (
        "Connection 0-1001-17 from 192.0.2.7:50412 is on hub 1 (generation 2, pid 4121), with actors of "
        "chat.Chat, with no open calls. Nothing keeps it from moving. The balancer (steady): hub 1 rests. It "
        "takes 3.2% of a core (3.4% in the last second), number 2 of the 157 on its hub; its states have 214 "
        "bytes, and a move would stop its two hubs for 0.9 ms in all. It was accepted 9 minutes ago and has "
        "moved once: at 2026-12-01 14:02:11 UTC from hub 0 to hub 1, steady: hub 0 is busy, with a pause of "
        "1.2 ms."
    )


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"calls": 1}, "with 1 open call."),
        ({"calls": 2}, "with 2 open calls."),
        ({"hub_state": "silent"}, "pid 4121, and silent)"),
        ({"peer": "", "services": []}, "Connection 0-1001-17 is on hub 1 (generation 2, pid 4121), with no"),
        ({"movable": False, "why": "handler A running", "running": 7.25},
         "It cannot move now: handler A running, for 7.2 s."),
        ({"movable": False, "why": "it is being closed"}, "It cannot move now: it is being closed. It takes"),
        ({"why": "no policy moves it: too heavy"}, "It can move by hand; no policy moves it: too heavy."),
        ({"stays": ""}, "Nothing keeps it from moving. It takes"),
        ({"rank": 1}, "in the last second), the most of the 157 on its hub;"),
        ({"rank": 0}, "too little for a place among the 157 on its hub;"),
        ({"rank": 1, "of": 1}, "the only one on its hub;"),
        ({"state_bytes": 3 * 2**20}, "its states have 3.0 MiB,"),
        ({"state_bytes": 1}, "its states have 1 byte,"),
        ({"age": 3.0}, "It was accepted 3.0 s ago and has not moved."),
        ({"age": 200_000.0}, "It was accepted 2 days ago"),
        ({"moved": 2}, "has moved twice. When, and from where, this broker does not know."),
        ({"moved": 12, "moves": [MOVE]}, "has moved 12 times, of late: at 2026-12-01 14:02:11 UTC from"),
        ({"moves": [{**MOVE, "source": 1, "by": "asked for", "reason": "reload to generation 2"}]},
         "UTC from hub 1 to its next process, reload to generation 2, with a pause of 1.2 ms."),
        ({"moves": [{**MOVE, "by": "asked for", "reason": ""}]}, "from hub 0 to hub 1, with a pause"),
        ({"moves": [{**MOVE, "outcome": "aborted", "why": "a handler runs", "times": 3, "pause_ms": None}]},
         "has not moved: at 2026-12-01 14:02:11 UTC not from hub 0 to hub 1 (3 times), steady: hub 0 is "
         "busy: a handler runs."),
        ({"peer": "\x1b[2J"}, "from \ufffd[2J is on"),
    ],
)  # fmt: skip
def test_each_case(more: dict[str, Any], words: str) -> None:
    assert words in said(**more)


def test_an_actor() -> None:
    actor = {"kind": "actor", "id": "chat.Room/a b", "service": "chat.Room", "key": "a b", "idle": 12.0}
    text = said(**actor)
    assert text.startswith(
        "Actor a b of chat.Room is on hub 1 (generation 2, pid 4121), with no open calls, idle"
    )
    assert "It was activated 9 minutes ago and has not moved." in text
    assert "idle" not in said(**actor, calls=1)
