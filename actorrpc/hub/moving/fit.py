"""Which connections another hub would refuse, since it runs other code: known before anything is frozen.

During a reload, and where a hub has started again after its files were changed, hubs do not all run the same
code. States go from older code to newer, and not back.
"""

from __future__ import annotations

from collections.abc import Mapping

from actorrpc.actor import Actor, Service
from actorrpc.hub.actors.call_stage import CallStage

__all__ = ["known_states", "why_unfit"]


def known_states(services: Mapping[str, type[Service]]) -> dict[str, int]:
    """By service, up to which version its state is known here; 0 for a service without a state."""
    return {name: _version(service) for name, service in services.items()}


def why_unfit(connection: CallStage, known: Mapping[str, int], hub: int) -> str:
    """Why a hub that knows these states would refuse a connection; "" if it would not, or that is unknown."""
    if not known:
        return ""
    for cell in connection.cells.values():
        version = _version(cell.service)
        if cell.name not in known:
            return f"the code of hub {hub} does not serve {cell.name}"
        if version > known[cell.name]:
            return (
                f"the state of {cell.name} has version {version}, and the code of hub {hub} knows version "
                f"{known[cell.name]}"
            )
    return ""


def _version(service: type[Service]) -> int:
    return service.state_version if issubclass(service, Actor) else 0
