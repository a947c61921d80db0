"""The services on grpcio's asyncio server, set up as grpcio's own examples do.

With the files of a certificate and its key as arguments, it has a second address for TLS.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc

from benchmarks.gen import bench_pb2_grpc
from benchmarks.gen.bench_pb2 import Count, Note


class Echo(bench_pb2_grpc.EchoServicer):
    async def Say(self, request: Note, context: grpc.aio.ServicerContext[Any, Any]) -> Note:
        return Note(number=request.number, text=request.text)


class Counter(bench_pb2_grpc.CounterServicer):
    async def Add(self, request: Note, context: grpc.aio.ServicerContext[Any, Any]) -> Count:
        return Count(calls=1)  # nothing is kept for a connection: the least that this server can need


async def main() -> None:
    server = grpc.aio.server()
    bench_pb2_grpc.add_EchoServicer_to_server(Echo(), server)
    bench_pb2_grpc.add_CounterServicer_to_server(Counter(), server)
    ports = [server.add_insecure_port("127.0.0.1:0")]
    if files := sys.argv[1:]:
        cert, key = (Path(file).read_bytes() for file in files)
        ports.append(server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, cert)])))
    await server.start()
    print("ready", *(f"127.0.0.1:{port}" for port in ports), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(grace=None)


if __name__ == "__main__":
    asyncio.run(main())
