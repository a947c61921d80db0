"""The services on grpcio's asyncio server, set up as grpcio's own examples do."""

from __future__ import annotations

import asyncio
import sys
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
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"ready 127.0.0.1:{port}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(grace=None)


if __name__ == "__main__":
    asyncio.run(main())
