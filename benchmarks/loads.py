"""The loads of unary.py: what a client does, and proof that each call succeeded.

``Load.run`` makes the calls and raises BenchmarkError unless every one of them was answered.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.gen.bench_pb2 import Note
from benchmarks.processes import BenchmarkError, python, run

__all__ = ["LOADS", "Load", "check_tools", "verify"]

_REQUEST = Note(number=7, text="hello")
_TIMEOUT = 120.0

_REQUESTS = re.compile(r"^requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, 0 failed, 0 errored, 0 timeout$", re.M)
_STATUSES = re.compile(r"^status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx$", re.M)
_DATA = re.compile(r"^traffic: .*\((\d+)\) data$", re.M)


@dataclass(frozen=True)
class Load:
    """So many connections with so many calls in flight on each."""

    name: str
    connections: int
    in_flight: int
    deadlines: bool = False

    @property
    def title(self) -> str:
        return f"{self.connections} × {self.in_flight}{' deadlines' if self.deadlines else ''}"

    def run(self, address: str, calls: int, core: int | None) -> None:
        """Make the calls, on new connections that are closed again."""
        if self.deadlines:
            self._grpcio(address, calls, core)
        else:
            self._h2load(address, calls, core)

    def _grpcio(self, address: str, calls: int, core: int | None) -> None:
        """Each call has a deadline of its own; the client checks each reply."""
        _client(
            address, core, "--deadlines", f"--channels={self.connections}", f"--in-flight={self.in_flight}", f"--calls={calls}"
        )

    def _h2load(self, address: str, calls: int, core: int | None) -> None:
        with TemporaryDirectory(prefix="actorrpc-bench-") as folder:
            body = Path(folder, "request")
            body.write_bytes(_framed(_REQUEST))
            command = ["h2load", f"-n{calls}", f"-c{self.connections}", f"-m{self.in_flight}", f"-d{body}"]
            command += ["-Hcontent-type: application/grpc", "-Hte: trailers", f"http://{address}/bench.Echo/Say"]
            report = run(command, core, _TIMEOUT)
        check_h2load(report, calls)


LOADS = (
    Load("ping-pong", 50, 1),
    Load("pipelined", 8, 32),
    Load("deadlines", 16, 8, deadlines=True),
)


def check_tools(loads: tuple[Load, ...]) -> None:
    """Raise BenchmarkError if a program is missing that the loads need."""
    if shutil.which("h2load") is None and not all(load.deadlines for load in loads):
        raise BenchmarkError("h2load is not installed: Debian and Ubuntu have it in the package nghttp2-client")


def verify(address: str, core: int | None) -> None:
    """Make one call with a real client, and look at its reply: what h2load cannot do."""
    _client(address, core)


def check_h2load(report: str, calls: int) -> None:
    """Raise BenchmarkError unless h2load's report says that each call was answered with the echo.

    h2load sees HTTP's status, not gRPC's, which is in the trailers. But a call that fails has no message
    in its answer: so the DATA received, which h2load counts to the byte, must be one reply for each call.
    """
    requests, statuses, data = _REQUESTS.search(report), _STATUSES.search(report), _DATA.search(report)
    expected = (str(calls),) * 3
    if not (requests and requests.groups() == expected and statuses and statuses[1] == str(calls)):
        raise BenchmarkError(f"h2load did not get {calls} answers:\n{report}")
    if not data or int(data[1]) != calls * len(_framed(_REQUEST)):
        raise BenchmarkError(f"the answers are not {calls} echoes of {len(_framed(_REQUEST))} bytes:\n{report}")


def _client(address: str, core: int | None, *arguments: str) -> None:
    run(python("benchmarks.clients.grpcio_calls", address, f"--text={_REQUEST.text}", *arguments), core, _TIMEOUT)


def _framed(message: Note) -> bytes:
    """As gRPC frames it: not compressed, its length, itself."""
    payload = message.SerializeToString()
    return b"\0" + len(payload).to_bytes(4, "big") + payload
