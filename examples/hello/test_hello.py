"""Hello's own tests: ``pytest``. The first needs no server; the second has one whose connections move."""

from __future__ import annotations

from hello_actorrpc import HelloStub
from hello_pb2 import HelloRequest, Session
from server import Hello, app

from actorrpc import testing


def test_greetings_are_counted() -> None:
    hello = testing.actor(Hello, state=Session(greetings=4))
    reply = hello.Greet(HelloRequest(name="Ada"), testing.call(hello.Greet))
    assert reply.text == "Hello Ada, greeting 5 on this connection"


def test_a_client_does_not_notice_a_move() -> None:
    with testing.serve(app) as server:
        hello = HelloStub(server.channel())
        assert "greeting 1" in hello.Greet(HelloRequest(name="Ada"), timeout=5).text
        server.move()
        assert "greeting 2" in hello.Greet(HelloRequest(name="Ada"), timeout=5).text
