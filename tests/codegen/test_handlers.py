"""What handlers are called: never what is taken, and never two of a service the same."""

from __future__ import annotations

import inspect
import keyword

import pytest
from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.empty_pb2 import Empty
from hypothesis import example, given
from hypothesis import strategies as st

import actorrpc
from actorrpc.client import Stub
from actorrpc.codegen.handlers import handler_names, is_taken
from actorrpc.codegen.plugin import respond
from actorrpc.hub.calls.route import routes_of
from actorrpc.service import is_special

BASES = actorrpc.Actor.__mro__
ATTRIBUTES = {name for base in BASES for name in (*vars(base), *inspect.get_annotations(base))}
TO_COME = {"ref", "actor", "save", "timer", "timers", "join", "spawn", "ask", "tell", "on_anything"}
TAKEN = sorted(ATTRIBUTES | TO_COME | set(keyword.kwlist))


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        ({"Talk": False}, {"Talk": ["Talk"]}),
        ({"Talk": True}, {"Talk": ["Talk", "Talk_end"]}),
        ({"publish": False}, {"publish": ["publish_"]}),
        ({"publish": True}, {"publish": ["publish_", "publish_end"]}),
        ({"publish_": False}, {"publish_": ["publish__"]}),
        ({"publish": False, "publish_": False}, {"publish": ["publish_"], "publish_": ["publish__"]}),
        ({"import": False}, {"import": ["import_"]}),
        ({"on_talk": True}, {"on_talk": ["on_talk_", "on_talk_end_"]}),
        ({"__init__": False}, {"__init__": ["__init___"]}),
        ({"__mangled": True}, {"__mangled": ["__mangled", "__mangled_end"]}),
        ({"Talk_end": False}, {"Talk_end": ["Talk_end"]}),
        ({"Talk": False, "Talk_end": False}, {"Talk": ["Talk"], "Talk_end": ["Talk_end"]}),
        ({"Talk": True, "Talk_end": False}, {"Talk": ["Talk", "Talk_end"], "Talk_end": ["Talk_end_"]}),
        (
            {"Talk_end_": False, "Talk_end": True, "Talk": True},
            {
                "Talk": ["Talk", "Talk_end"],
                "Talk_end": ["Talk_end_", "Talk_end_end"],
                "Talk_end_": ["Talk_end__"],
            },
        ),
        (
            {"on_talk": True, "on_talk_end": False},
            {"on_talk": ["on_talk_", "on_talk_end_"], "on_talk_end": ["on_talk_end__"]},
        ),
    ],
)
def test_handler_names(methods: dict[str, bool], expected: dict[str, list[str]]) -> None:
    assert {name: list(handlers) for name, handlers in handler_names(methods).items()} == expected


@pytest.mark.parametrize("name", TAKEN)
def test_names_that_are_taken(name: str) -> None:
    assert is_taken(name)
    assert handler_names({name: False}) == {name: (f"{name}_",)}


def test_these_attributes_are_among_them() -> None:
    assert {
        *("state", "key", "calls", "publish", "subscribe", "offload", "connection_id", "on_connect"),
        *("__rpc__", "__init__", "_host"),
    } <= ATTRIBUTES


@pytest.mark.parametrize(
    "name", ["Publish", "State", "Import", "print", "match", "call", "on", "_", "__mangled"]
)
def test_names_that_are_free(name: str) -> None:
    assert not is_taken(name)
    assert handler_names({name: False}) == {name: (name,)}


def test_what_is_taken_ends_in_no_underscore() -> None:
    """With one at its end a name is a handler's, and so must never be an actor's."""
    assert not [name for name in ATTRIBUTES if name.endswith("_") and not name.endswith("__")]


STEMS = st.sampled_from(
    ["Talk", "Talk_end", "Talk_end_end", "state", "on_talk", "on_talk_end", "__init", "__a", "if", ""]
)
NAMES = st.builds(str.__add__, STEMS, st.sampled_from(["", "_", "__", "___"])).filter(bool)


@given(st.dictionaries(NAMES, st.booleans()))
@example({"on_talk": True, "on_talk_end": True, "on_talk_end_": False, "on_talk_end__": False})
def test_no_two_handlers_meet(methods: dict[str, bool]) -> None:
    names = [name for handlers in handler_names(methods).values() for name in handlers]
    assert len(set(names)) == len(names)
    assert not set(names) & (ATTRIBUTES | set(keyword.kwlist))


def service_with(*methods: str) -> CodeGeneratorRequest:
    file = FileDescriptorProto(name="a.proto", package="p", dependency=["google/protobuf/empty.proto"])
    service = file.service.add(name="S")
    for method in methods:
        empty = ".google.protobuf.Empty"
        service.method.add(
            name=method, input_type=empty, output_type=empty, client_streaming=method[0] == "s"
        )
    known = FileDescriptorProto(
        name="google/protobuf/empty.proto",
        package="google.protobuf",
        message_type=[DescriptorProto(name="Empty")],
    )
    return CodeGeneratorRequest(file_to_generate=["a.proto"], proto_file=[file, known])


class Recorder:
    """A channel whose callables are the paths that they were made with."""

    def __getattr__(self, shape: str) -> object:
        return lambda path, **serializers: path


def test_a_service_of_all_names_that_are_taken() -> None:
    (file,) = respond(service_with(*TAKEN)).file
    made: dict[str, type] = {}
    exec(compile(file.content, file.name, "exec", dont_inherit=True), made)

    def handle(self: actorrpc.Service, message: Empty, call: object) -> Empty:
        return message

    service = type("S", (made["SBase"],), {f"{name}_": handle for name in TAKEN})
    routes = routes_of(actorrpc.App([service]))
    assert routes.keys() == {f"/p.S/{name}" for name in TAKEN}
    assert all(route.handler is handle for route in routes.values())
    special = {name for name in TAKEN if is_special(name)}
    assert vars(made["SBase"]).keys() & set(TAKEN) - special == {"_settable"}  # of every class
    stub: Stub = made["SStub"](Recorder())
    assert vars(stub) == {f"{name}_" if name in special else name: f"/p.S/{name}" for name in TAKEN}


def made_of(*methods: str) -> type[actorrpc.Service]:
    (file,) = respond(service_with(*methods)).file
    made: dict[str, type[actorrpc.Service]] = {}
    exec(compile(file.content, file.name, "exec", dont_inherit=True), made)
    return made["SBase"]


def two(self: object, message: object, call: object) -> None:
    pass


@pytest.mark.parametrize("name", ["publish", "key", "import"])
def test_a_handler_by_a_name_that_is_taken(name: str) -> None:
    with pytest.raises(actorrpc.ConfigError) as raised:
        actorrpc.App([type("Mine", (made_of(name),), {name: two})])
    assert (
        str(raised.value) == f"Mine.{name} serves nothing, since the name `{name}` is taken: call it {name}_"
    )


@pytest.mark.parametrize("wrong", [lambda self: None, None])
def test_errors_name_the_handler(wrong: object) -> None:
    with pytest.raises(actorrpc.ConfigError, match=r"^Mine\.key_ "):
        actorrpc.App([type("Mine", (made_of("key"),), {"key_": wrong})])
    with pytest.raises(actorrpc.ConfigError, match=r"^Mine\.stop_end "):
        actorrpc.App([type("Mine", (made_of("stop"),), {"stop_end": wrong})])


@pytest.mark.parametrize(
    ("methods", "written"),
    [
        (["key"], {"key_": two, "key": two}),  # which is then a method of the user's own
        (["key", "key_"], {"key_": two}),
        (["stalk", "stalk_end"], {"stalk_end": lambda self, call: None}),
        (["state"], {"state": Empty()}),
        (["Talk", "key"], {"Talk": two}),
    ],
)
def test_names_that_mean_something_else(methods: list[str], written: dict[str, object]) -> None:
    assert actorrpc.App([type("Mine", (made_of(*methods),), written)])


def test_the_route_shows_its_handler() -> None:
    routes = routes_of(actorrpc.App([made_of("key")]))
    assert repr(routes["/p.S/key"]) == "<Route /p.S/key to SBase.key_>"
