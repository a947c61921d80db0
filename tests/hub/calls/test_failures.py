"""Whatever an app raises or passes, its call ends, the log says what was wrong, and nothing else ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import gevent
import grpc
import pytest

import actorrpc
from actorrpc import RpcError, StatusCode
from actorrpc.loop.duties import reason
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.hubs import Hubs, serving
from tests.support.processes import ROOT


def connect(hubs: Hubs) -> grpc.Channel:
    return grpc.insecure_channel(hubs.address, options=[("grpc.use_local_subchannel_pool", 1)])


class Unprintable:
    def __str__(self) -> str:
        raise SystemExit(3)


class Odd(RpcError):
    """An RpcError whose attributes have been set to something else."""

    def __init__(self, **attributes: object) -> None:
        super().__init__(StatusCode.NOT_FOUND, "not here", {"why": "asked for"})
        for name, value in attributes.items():
            setattr(self, name, value)


class Bare(RpcError):
    def __init__(self) -> None:
        pass


class Rude(RpcError):
    def __getattribute__(self, name: str) -> Any:
        if name == "code":
            raise KeyboardInterrupt
        return super().__getattribute__(name)


class Mute(ValueError):
    def __str__(self) -> str:
        raise ValueError("no words")


def rude() -> RpcError:
    error = Rude.__new__(Rude)
    error.message, error.metadata = "x", {}
    return error


def _details() -> None:
    raise RpcError(StatusCode.NOT_FOUND, "x", details=[1])  # type: ignore[list-item]


#: What is raised, the status that the client sees, and what the log says.
ERRORS: dict[str, tuple[Callable[[], BaseException], tuple[str, str], str]] = {
    "message": (lambda: Odd(message=KeyError("x")), ("NOT_FOUND", "'x'"), "the message is a KeyError"),
    "bytes": (lambda: Odd(message=b"x"), ("NOT_FOUND", "b'x'"), "the message is a bytes"),
    "unprintable": (lambda: Odd(message=Unprintable()), ("NOT_FOUND", "the handler failed"), "not text"),
    "code": (lambda: Odd(code="x"), ("UNKNOWN", "not here"), "the code is not a status"),
    "theirs": (lambda: Odd(code=grpc.StatusCode.OK), ("UNKNOWN", "not here"), "the code is not a status"),
    "no code": (lambda: Odd(code=None), ("UNKNOWN", "not here"), "the code is not a status"),
    "OK": (lambda: Odd(code=StatusCode.OK), ("UNKNOWN", "not here"), "the code is OK"),
    "an int": (lambda: Odd(code=5), ("NOT_FOUND", "not here"), ""),
    "metadata": (lambda: Odd(metadata=7), ("NOT_FOUND", "not here"), "the metadata cannot be sent"),
    "keys": (lambda: Odd(metadata={1: "x"}), ("NOT_FOUND", "not here"), "the metadata cannot be sent"),
    "bare": (Bare, ("UNKNOWN", "the handler failed"), "the code is not a status"),
    "property": (rude, ("UNKNOWN", "x"), "the code is not a status"),
    "mute": (Mute, ("UNKNOWN", "the handler failed"), "Mute"),
    "exit": (lambda: SystemExit(3), ("UNKNOWN", "the handler failed"), "SystemExit"),
    "interrupt": (KeyboardInterrupt, ("UNKNOWN", "the handler failed"), "KeyboardInterrupt"),
    "greenlet": (gevent.GreenletExit, ("UNKNOWN", "the handler failed"), "GreenletExit"),
    "generator": (GeneratorExit, ("UNKNOWN", "the handler failed"), "GeneratorExit"),
    "iteration": (StopIteration, ("UNKNOWN", "the handler failed"), "StopIteration"),
    "system": (SystemError, ("UNKNOWN", "the handler failed"), "SystemError"),
}
errors = pytest.mark.parametrize(("make", "expected", "said"), ERRORS.values(), ids=ERRORS)


def outcome(call: Any) -> tuple[str, str]:
    error = call.exception(10)
    return ("OK", "") if error is None else (error.code().name, error.details())


def check(app: actorrpc.App, expected: tuple[str, str], begin: str = "Unary") -> None:
    """A call fails as expected, nothing of it is left, others go on, and the connection can move."""
    with serving(app, 2) as hubs, connect(hubs) as channel, connect(hubs) as other:
        bystander = StatefulStub(other).Unary.future(Item(text="fine", sleep=0.05))
        stub = StatefulStub(channel)
        if begin == "Unary":
            assert outcome(stub.Unary.future(Item())) == expected
        else:
            replies = stub.Expand(Item())
            with pytest.raises(grpc.RpcError):
                list(replies)
            assert (replies.code().name, replies.details()) == expected
        assert outcome(bystander) == ("OK", "")
        assert stub.Unary(Item(text="fine"), timeout=10).text == "fine"
        connections = list(hubs.nodes[0].connections.values())
        assert [hubs.ask(lambda c=c: (dict(c.calls), dict(c.session.streams))) for c in connections] == (
            [({}, {})] * 2
        )
        assert [hubs.move(1, connection.id).why for connection in connections] == ["", ""]


@errors
def test_whatever_a_handler_raises_ends_its_call(make, expected, said, caplog):
    class Bad(StatefulBase):
        def Unary(self, request, call):
            gevent.sleep(request.sleep)
            if not request.text:
                raise make()
            return request

    check(actorrpc.App([Bad]), expected)
    assert said in caplog.text


@errors
@pytest.mark.parametrize("hook", ["on_call", "on_request", "on_reply", "on_error"])
def test_so_does_what_an_interceptor_raises(hook, make, expected, said, caplog):
    def run(self: Any, call: Any, message: Any) -> Any:
        if hook == "on_error" or not message.text:
            raise make()
        return message

    class Bad(StatefulBase):
        def Unary(self, request, call):
            gevent.sleep(request.sleep)
            if hook == "on_error" and not request.text:
                raise ValueError("for on_error")
            return request

    if hook == "on_call":
        first: list[object] = []

        def on_call(self: Any, call: Any) -> None:
            # Of the two calls that begin the test the second is the bad one.
            first.append(call)
            if len(first) == 2:
                raise make()

        each = type("Bad", (actorrpc.Interceptor,), {hook: on_call})()
        app = actorrpc.App([Bad], interceptors=[each])
        with serving(app, 2) as hubs, connect(hubs) as channel:
            stub = StatefulStub(channel)
            calls = [outcome(stub.Unary.future(Item(text="fine"))) for _ in range(3)]
            assert calls == [("OK", ""), expected, ("OK", "")]
            assert hubs.move(1).why == ""
    else:
        check(
            actorrpc.App([Bad], interceptors=[type("Bad", (actorrpc.Interceptor,), {hook: run})()]), expected
        )
    assert said in caplog.text


@errors
def test_so_does_what_an_iterable_raises(make, expected, said, caplog):
    if isinstance(make(), StopIteration):
        expected = ("UNKNOWN", "the handler failed")  # a RuntimeError, says Python

    class Bad(StatefulBase):
        def Unary(self, request, call):
            return request

        def Expand(self, request, call):
            yield request
            raise make()

    check(actorrpc.App([Bad]), expected, "Expand")
    assert said in caplog.text


def test_details_that_are_no_messages_end_the_call():
    class Bad(StatefulBase):
        def Unary(self, request, call):
            if not request.text:
                _details()
            return request

    check(actorrpc.App([Bad]), ("UNKNOWN", "the handler failed"))


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_what_hooks_and_iterables_raise_at_the_end_ends_nothing(error, caplog):
    """on_end, on_disconnect, an iterable's close, and one that cannot be asked for its close."""
    ran: list[str] = []

    class Ends(actorrpc.Interceptor):
        def on_end(self, call, status, message):
            ran.append("on_end")
            raise error

    class Iterable:
        def __iter__(self):
            return self

        def __next__(self):
            return Item(body=bytes(30_000))

        def __getattr__(self, name: str) -> Any:
            ran.append(name)
            raise error

    class Bad(StatefulBase):
        def Unary(self, request, call):
            return request

        def Expand(self, request, call):
            if request.text:
                return Iterable()
            return self.replies(ran)

        def replies(self, ran):
            try:
                while True:
                    yield Item(body=bytes(30_000))
            finally:
                ran.append("finally")
                raise error

        def on_disconnect(self):
            ran.append("on_disconnect")
            raise error

    with serving(actorrpc.App([Bad], interceptors=[Ends(), Ends()])) as hubs:
        with connect(hubs) as channel:
            stub = StatefulStub(channel)
            for text in ("", "x"):
                replies = stub.Expand(Item(text=text))
                next(replies)
                replies.cancel()
            connection = hubs.connection()
            hubs.wait_for(lambda: not connection.calls and ran.count("on_end") == 4)
        hubs.wait_for(lambda: "on_disconnect" in ran and not hubs.nodes[0].connections)
        assert "finally" in ran and "close" in ran
        with connect(hubs) as channel:
            assert StatefulStub(channel).Unary(Item(text="fine"), timeout=10).text == "fine"


def test_describing_an_error_raises_nothing():
    assert reason(ValueError("x")) == "ValueError: x"
    assert reason(Mute()) == "Mute: its text cannot be shown: ValueError"


# ---- a signal is no error of the app's


PROGRAM = """
import os, signal, sys, threading, time
import gevent.monkey
PATCH
import gevent, grpc
import actorrpc
from tests.apps.shapes_actorrpc import StatefulBase
from tests.apps.shapes_pb2 import Item

def ended(number, frame):
    ENDING

HANDLER

class Computes(StatefulBase):
    def Unary(self, request, call):
        if request.text == "raise":
            raise KeyboardInterrupt
        if request.text == "exit":
            self.offload(sys.exit, 3)
        if request.text == "offload":
            self.offload(self.interrupt)
        if request.text == "compute":
            os.write(1, b"computing\\n")
            while True:
                pass
        return request

    def interrupt(self):
        raise KeyboardInterrupt

server = actorrpc.Server(actorrpc.App([Computes]))
os.write(1, server.address.encode() + b"\\n")
try:
    server.wait()
except BaseException as error:
    os.write(1, f"ended by {error!r}\\n".encode())
    os._exit(0)
"""

ENDINGS = {
    "ctrl-c": ("", "pass", signal.SIGINT, "KeyboardInterrupt()"),
    "ctrl-c, patched": ("", "pass", signal.SIGINT, "KeyboardInterrupt()"),
    "a handler": (
        "signal.signal(signal.SIGINT, ended)",
        "raise KeyboardInterrupt",
        signal.SIGINT,
        "KeyboardInterrupt()",
    ),
    "SIGTERM": ("signal.signal(signal.SIGTERM, ended)", "sys.exit(5)", signal.SIGTERM, "SystemExit(5)"),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_a_signal_ends_the_program_and_nothing_that_a_handler_raises(name):
    handler, ending, number, expected = ENDINGS[name]
    default = "signal.signal(signal.SIGINT, signal.default_int_handler)"  # a test may run in the background
    program = textwrap.dedent(PROGRAM).replace("HANDLER", handler or default).replace("ENDING", ending)
    program = program.replace("PATCH", "gevent.monkey.patch_all()" if "patched" in name else "")
    server = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    try:
        with grpc.insecure_channel(server.stdout.readline().strip()) as channel:
            stub = StatefulStub(channel)
            for text in ("raise", "exit", "offload", "raise"):
                assert outcome(stub.Unary.future(Item(text=text))) == ("UNKNOWN", "the handler failed")
            assert stub.Unary(Item(text="fine"), timeout=10).text == "fine"
            computing = stub.Unary.future(Item(text="compute"))
            assert server.stdout.readline() == "computing\n", computing
            server.send_signal(number)
            assert server.stdout.readline() == f"ended by {expected}\n"
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


# ---- offload


def test_what_a_thread_raises_is_the_handlers_to_catch(capfd):
    class Offloads(StatefulBase):
        def Unary(self, request, call):
            try:
                self.offload(self.work, request.text)
            except (RpcError, SystemExit, KeyboardInterrupt, gevent.GreenletExit) as error:
                return Item(text=type(error).__name__)
            return Item(text="nothing")

        def work(self, name):
            kinds = {"exit": SystemExit, "interrupt": KeyboardInterrupt, "greenlet": gevent.GreenletExit}
            raise kinds[name](3) if name in kinds else RpcError(StatusCode.NOT_FOUND, "no such thing")

    with serving(actorrpc.App([Offloads])) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        found = [
            stub.Unary(Item(text=text), timeout=10).text for text in ("", "exit", "interrupt", "greenlet")
        ]
    assert found == ["RpcError", "SystemExit", "KeyboardInterrupt", "GreenletExit"]
    assert "Traceback" not in capfd.readouterr().err
