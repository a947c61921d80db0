"""Stubs: what they ask of a channel, and that grpcio's channels are such."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import StringValue

from actorrpc.client import Stub
from actorrpc.service import Method, ServiceSpec, is_special
from tests.support.processes import python


class Recorder:
    """A channel whose callables are what they were made with."""

    def __getattr__(self, shape: str) -> Callable[..., Any]:
        return lambda path, **serializers: (shape, path, serializers)


class EchoStub(Stub):
    __rpc__ = ServiceSpec(
        "e.Echo",
        (
            Method("Say", StringValue, Empty),
            Method("class", Empty, StringValue, client_streaming=True, server_streaming=True),
        ),
    )


def test_a_stub_asks_its_channel_once_for_each_method() -> None:
    stub = EchoStub(Recorder())
    shape, path, serializers = vars(stub)["Say"]
    assert (shape, path) == ("unary_unary", "/e.Echo/Say")
    assert serializers.keys() == {"request_serializer", "response_deserializer"}
    assert serializers["request_serializer"](StringValue(value="x")) == b"\n\x01x"
    assert serializers["response_deserializer"](b"") == Empty()


def test_a_method_whose_name_is_a_keyword() -> None:
    assert getattr(EchoStub(Recorder()), "class")[:2] == ("stream_stream", "/e.Echo/class")


def test_a_method_whose_name_is_an_attribute_of_every_object() -> None:
    """``setattr(stub, "__class__", …)`` would raise TypeError."""

    class OddStub(Stub):
        __rpc__ = ServiceSpec("e.Odd", (Method("__class__", Empty, Empty, handler="__class___"),))

    stub = OddStub(Recorder())
    assert vars(stub)["__class___"][:2] == ("unary_unary", "/e.Odd/__class__")
    assert type(stub) is OddStub


def test_stubs_take_no_names_but_python_s_and_one_that_a_method_takes_from_them() -> None:
    assert [name for name in dir(Stub) if not is_special(name)] == ["ref"]

    class OddStub(Stub):
        __rpc__ = ServiceSpec("e.Odd", (Method("ref", Empty, Empty),))

    assert OddStub(Recorder()).ref[:2] == ("unary_unary", "/e.Odd/ref")  # type: ignore[index]


def test_a_stub_shows_what_it_is() -> None:
    assert repr(EchoStub(Recorder())) == "<EchoStub of e.Echo>"


def test_grpcio_channels(generated: Path) -> None:
    program = Path(__file__).with_name("call_echo.py")
    done = python("-W", "error", program, path=[generated])
    assert done.returncode == 0, done.stderr


def test_the_client_package_needs_no_runtime() -> None:
    done = python(
        "-c",
        "import sys, actorrpc.client\nassert not {'gevent', 'grpc'} & set(sys.modules)",
    )
    assert done.returncode == 0, done.stderr
