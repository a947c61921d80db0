"""The services on grpcio's synchronous server, set up as grpcio's own examples do.

With the files of a certificate and its key as arguments, it has a second address for TLS.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from benchmarks.gen import bench_pb2_grpc
from benchmarks.gen.bench_pb2 import Count, Note


class Echo(bench_pb2_grpc.EchoServicer):
    def Say(self, request: Note, context: grpc.ServicerContext) -> Note:
        return Note(number=request.number, text=request.text)


class Counter(bench_pb2_grpc.CounterServicer):
    def Add(self, request: Note, context: grpc.ServicerContext) -> Count:
        return Count(calls=1)  # nothing is kept for a connection: the least that this server can need


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(max_workers=10))
    bench_pb2_grpc.add_EchoServicer_to_server(Echo(), server)
    bench_pb2_grpc.add_CounterServicer_to_server(Counter(), server)
    ports = [server.add_insecure_port("127.0.0.1:0")]
    if files := sys.argv[1:]:
        cert, key = (Path(file).read_bytes() for file in files)
        ports.append(server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, cert)])))
    server.start()
    print("ready", *(f"127.0.0.1:{port}" for port in ports), flush=True)
    sys.stdin.read()
    server.stop(grace=None).wait()


if __name__ == "__main__":
    main()
