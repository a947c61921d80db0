"""Greets whom the command line names, or whom you type, over one connection: ``python client.py ada``."""

from __future__ import annotations

import sys

import grpc
from hello_actorrpc import HelloStub
from hello_pb2 import HelloRequest

with grpc.insecure_channel("127.0.0.1:50051") as channel:
    hello = HelloStub(channel)
    for name in sys.argv[1:] or map(str.strip, sys.stdin):
        print(hello.Greet(HelloRequest(name=name), timeout=5).text)
