"""The loads of unary.py: what a client does, and proof that each call succeeded."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.gen.bench_pb2 import Note
from benchmarks.processes import BenchmarkError, python, run

__all__ = ["LOADS", "Load", "check_h2load", "check_tools", "verify"]

#: Seconds that one batch of calls may take.
_TIMEOUT = 120.0

_REQUESTS = re.compile(r"^requests: (\d+) total, .* (\d+) succeeded, 0 failed, 0 errored, 0 timeout$", re.M)
_STATUSES = re.compile(r"^status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx$", re.M)
_DATA = re.compile(r"^traffic: .*\((\d+)\) data$", re.M)


def _framed(message: Note) -> bytes:
    """As gRPC frames it: not compressed, its length, itself."""
    payload = message.SerializeToString()
    return b"\0" + len(payload).to_bytes(4, "big") + payload


_TEXT = "hello"


def _echo(text_bytes: int) -> bytes:
    """Request and reply, which are the same."""
    text = (_TEXT * (text_bytes // len(_TEXT) + 1))[:text_bytes]
    return _framed(Note(number=7, text=text))


@dataclass(frozen=True)
class Load:
    """So many connections with so many calls in flight on each."""

    name: str
    connections: int
    in_flight: int
    #: Each call has a deadline of its own.
    deadlines: bool = False
    #: How long the text of the request is, and of the reply.
    text_bytes: int = len(_TEXT)

    @property
    def title(self) -> str:
        return f"{self.connections} × {self.in_flight}{', deadlines' if self.deadlines else ''}"

    @property
    def at_once(self) -> int:
        """Calls in flight on all connections."""
        return self.connections * self.in_flight

    def run(self, address: str, calls: int, core: int | None, *, tls: bool = False) -> None:
        """Make so many calls, on new connections. Raises BenchmarkError unless each was answered well.

        A load with deadlines does not speak TLS.
        """
        if self.deadlines:
            size = f"--channels={self.connections}", f"--in-flight={self.in_flight}", f"--calls={calls}"
            _client(address, core, "--deadlines", *size)
        else:
            self._h2load(f"{'https' if tls else 'http'}://{address}", calls, core)

    def _h2load(self, url: str, calls: int, core: int | None) -> None:
        echo = _echo(self.text_bytes)
        with TemporaryDirectory(prefix="actorrpc-benchmark-") as folder:
            body = Path(folder, "request")
            body.write_bytes(echo)
            command = ["h2load", f"-n{calls}", f"-c{self.connections}", f"-m{self.in_flight}", f"-d{body}"]
            command += ["-Hcontent-type: application/grpc", "-Hte: trailers"]
            done = run([*command, f"{url}/bench.Echo/Say"], core, timeout=_TIMEOUT)
            check_h2load(done, calls, len(echo))


LOADS = (
    Load("ping-pong", 50, 1),
    Load("pipelined", 8, 32),
    Load("deadlines", 16, 8, deadlines=True),
)


def check_tools(loads: Iterable[Load]) -> None:
    """Raise BenchmarkError if a program is missing that the loads need."""
    if shutil.which("h2load") is None and not all(load.deadlines for load in loads):
        raise BenchmarkError("h2load is missing: Debian and Ubuntu have it in the package nghttp2-client")


def verify(address: str, core: int | None, ca: str = "") -> None:
    """Make one call with a real client, which sees its gRPC status and its reply.

    With the certificate of a CA, it speaks TLS.
    """
    _client(address, core, f"--ca={ca}")


def check_h2load(report: str, calls: int, echo_bytes: int = len(_echo(len(_TEXT)))) -> None:
    """Raise BenchmarkError unless h2load's report says that each call was answered with the echo.

    h2load sees HTTP's status and not gRPC's, which is in the trailers. But the answer to a call that fails
    has no message: so the DATA received, which h2load counts to the byte, must be one echo for each call.
    """
    requests, statuses, data = _REQUESTS.search(report), _STATUSES.search(report), _DATA.search(report)
    wanted = str(calls)
    if not (requests and statuses and data) or {*requests.groups(), *statuses.groups()} != {wanted}:
        raise BenchmarkError(f"h2load did not get {calls} answers:\n{report}")
    if int(data[1]) != calls * echo_bytes:
        raise BenchmarkError(f"what h2load got is not {calls} echoes of {echo_bytes} bytes:\n{report}")


def _client(address: str, core: int | None, *arguments: str) -> None:
    command = python("benchmarks.clients.grpcio_calls", address, f"--text={_TEXT}", *arguments)
    run(command, core, timeout=_TIMEOUT)
