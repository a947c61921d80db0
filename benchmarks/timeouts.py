"""Whether the calls of a load really carry deadlines that differ: it looks at them on the wire."""

from __future__ import annotations

from itertools import pairwise

from hpack import Decoder

from benchmarks.conversation import overheard
from benchmarks.http2 import END_HEADERS, Type
from benchmarks.processes import BenchmarkError, python, run

__all__ = ["changes"]

_CALLS = 200


def changes(server: str, core: int | None) -> float:
    """The share of calls with another ``grpc-timeout`` than the call before, on one recorded connection.

    Made with the client and the spread of deadlines of the deadlines load. Raises BenchmarkError if it is
    below nine tenths: then the load would not measure what it is for.
    """
    with overheard(server) as conversation:
        command = python("benchmarks.clients.grpcio_calls", conversation.address, "--deadlines")
        run([*command, "--in-flight=8", f"--calls={_CALLS}"], core, timeout=30)
    values = []
    decoder = Decoder()
    for frame in conversation.frames():
        if frame.type == Type.HEADERS:
            if not frame.flags & END_HEADERS:
                raise BenchmarkError("a header block in several frames, which this check does not read")
            fields = decoder.decode(frame.payload, raw=True)
            values += [value for name, value in fields if name == b"grpc-timeout"]
    if len(values) != _CALLS:
        raise BenchmarkError(f"{len(values)} of {_CALLS} calls had a grpc-timeout")
    share = sum(a != b for a, b in pairwise(values)) / (_CALLS - 1)
    if share < 0.9:
        raise BenchmarkError(f"only {share:.0%} of the calls had another grpc-timeout than the call before")
    return share
