"""How many replies share a record of TLS, as a proxy between client and server sees it."""

from __future__ import annotations

import struct

from benchmarks.loads import Load
from benchmarks.processes import BenchmarkError
from tests.support.proxy import proxied

__all__ = ["application_records", "replies_in_a_record"]

#: Type, version, length.
_HEADER = struct.Struct(">BHH")
_APPLICATION_DATA = 23


def replies_in_a_record(tls_address: str, load: Load, calls: int) -> float:
    """The mean, over all that the server has sent: what the handshakes had sealed counts as records, too."""
    with proxied(tls_address) as proxy:
        load.run(proxy.address, calls, None, tls=True)
    if len(proxy.connections) != load.connections:
        raise BenchmarkError(f"{len(proxy.connections)} connections of {load.connections} went by the proxy")
    return calls / sum(application_records(bytes(answered)) for _, answered in proxy.connections)


def application_records(said: bytes) -> int:
    """Sealed records in what one side has said."""
    count = at = 0
    while at + _HEADER.size <= len(said):
        type_, _, length = _HEADER.unpack_from(said, at)
        count += type_ == _APPLICATION_DATA
        at += _HEADER.size + length
    return count
