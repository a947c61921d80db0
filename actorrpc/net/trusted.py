"""Whose PROXY headers are believed."""

from __future__ import annotations

import socket
from collections.abc import Collection
from ipaddress import ip_address, ip_network
from typing import Any

from actorrpc.net.addresses import without_mapping

__all__ = ["UNIX", "Trusted"]

#: Stands for all clients of unix sockets.
UNIX = "unix"


class Trusted:
    """Addresses and networks, and ``UNIX``, as ``proxy_protocol`` names them."""

    def __init__(self, sources: Collection[str]) -> None:
        self._unix = UNIX in sources
        self._networks = [ip_network(each) for each in sources if each != UNIX]

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def __contains__(self, client: tuple[int, Any]) -> bool:
        """Whether a client is one of them, by its socket's family and its address."""
        family, address = client
        if family == socket.AF_UNIX:
            return self._unix
        host = ip_address(without_mapping(address[0]))
        return any(host in network for network in self._networks)

    def __repr__(self) -> str:
        return f"<Trusted {self._networks}{', unix' * self._unix}>"
