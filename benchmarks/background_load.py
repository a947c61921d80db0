"""Clients that keep a hub as busy as they are told to: h2load, with calls that work and wait."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.gen.bench_pb2 import Share
from benchmarks.processes import on_core

__all__ = ["background_load"]


@contextmanager
def background_load(
    address: str, share: float, connections: int, core: int | None
) -> Iterator[subprocess.Popen[bytes]]:
    """Keep a call in flight on so many connections in the block, each call told of a share of one core.

    The client runs on ``core`` if that is given.
    """
    message = Share(of_a_core=share).SerializeToString()
    with TemporaryDirectory(prefix="actorrpc-benchmark-") as folder:
        body = Path(folder, "request")
        body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
        command = ["h2load", "-D3600", f"-c{connections}", "-m1", f"-d{body}"]
        command += ["-Hcontent-type: application/grpc", "-Hte: trailers"]
        with on_core(core):
            process = subprocess.Popen(
                [*command, f"http://{address}/bench.CpuLoad/Burn"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
