"""Greets everybody named on the command line, over one connection: ``python client.py ada bob``."""

from __future__ import annotations

import sys

import grpc
from hello_actorrpc import HelloStub
from hello_pb2 import HelloRequest

with grpc.insecure_channel("127.0.0.1:50051") as channel:
    hello = HelloStub(channel)
    for name in sys.argv[1:] or ["world"]:
        print(hello.Greet(HelloRequest(name=name), timeout=5).text)
