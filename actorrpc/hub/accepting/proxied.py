"""What a proxy has said of a client, as a message between processes."""

from __future__ import annotations

from dataclasses import asdict, fields

from actorrpc.net.proxy_header import ProxyFacts
from actorrpc.pb import snapshot_pb2

__all__ = ["from_message", "to_message"]


def to_message(facts: ProxyFacts | None) -> snapshot_pb2.Proxied | None:
    """None: there is nothing to say."""
    return None if facts is None else snapshot_pb2.Proxied(**asdict(facts))


def from_message(message: snapshot_pb2.Proxied) -> ProxyFacts:
    """What ``to_message`` has made."""
    return ProxyFacts(**{each.name: getattr(message, each.name) for each in fields(ProxyFacts)})
