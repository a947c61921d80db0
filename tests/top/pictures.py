"""Pictures for the tests of `top`: what a broker would have answered."""

from __future__ import annotations

import json
from typing import Any

from actorrpc.cli.top.picture import Picture
from actorrpc.pb.admin_pb2 import Reply

__all__ = ["connection", "hub", "picture", "reply"]


def hub(id: int, **more: Any) -> dict[str, Any]:
    return {
        "id": id, "pid": 4000 + id, "generation": 1, "serial": 1001 + id, "state": "serving",
        "connections": 10, "cpu": 0.25, "busy": 0.2, "lag_ms": 1.0, "lag_p99_ms": 2.5, "memory": 43_000_000,
        "over_memory": False, "calls": 0, "draining": None, **more,
    }  # fmt: skip


def connection(id: str, load: float = 0.0, **more: Any) -> dict[str, Any]:
    return {
        "kind": "connection", "id": id, "hub": 0, "peer": "192.0.2.1:4000", "services": ["chat.Chat"],
        "calls": 1, "state_bytes": 100, "load": load, "recent": load, "age": 90.0, "moved": 0,
        "movable": True, "why": "", "running": 0.0, **more,
    }  # fmt: skip


def actor(key: str, load: float = 0.0, **more: Any) -> dict[str, Any]:
    row = connection(f"chat.Room/{key}", load, kind="actor", service="chat.Room", key=key, **more)
    del row["peer"], row["services"]
    return row


def reply(*rows: dict[str, Any], hubs: list[dict[str, Any]] | None = None, **more: Any) -> Reply:
    """``at``, ``warnings``, ``more`` and what else the status has may be given."""
    at, warnings = more.pop("at", 1.0), more.pop("warnings", ())
    status = {
        "addresses": [{"address": "127.0.0.1:50051", "tls": False}], "broker_pid": 77,
        "rebalance": {"policy": "steady", "paused": more.pop("paused", False)},
        "moves": {"done": 12, "aborted": 3, "pause_ms_p50": 1.5, "pause_ms_p99": 4.25},
        "hubs": [hub(0), hub(1)] if hubs is None else hubs, "reload": None, "scale": None, **more,
    }  # fmt: skip
    found = {"at": at, "status": status, "heaviest": list(rows), "more": status.pop("more", False)}
    return Reply(json=json.dumps(found), warnings=warnings)


def picture(*rows: dict[str, Any], **more: Any) -> Picture:
    return Picture.of(reply(*rows, **more))
