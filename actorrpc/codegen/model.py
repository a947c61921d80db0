"""What a ``.proto`` file declares, as plain data; what actorrpc cannot serve is refused here.

Nothing in it knows how the generated module looks: ``render`` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

from actorrpc import options_pb2
from actorrpc.codegen.handlers import handler_names
from actorrpc.codegen.keyed import Request, keyed_of
from actorrpc.codegen.names import is_plain, module_name
from actorrpc.codegen.source import CodegenError, Source
from actorrpc.service import Keyed, is_special

__all__ = ["MessageType", "Rpc", "Schema", "Service"]

_SERVICE = FileDescriptorProto.SERVICE_FIELD_NUMBER
_METHOD = ServiceDescriptorProto.METHOD_FIELD_NUMBER
_OPTIONS = ServiceDescriptorProto.OPTIONS_FIELD_NUMBER
_STATE = options_pb2.ActorOptions.STATE_FIELD_NUMBER
_MESSAGE = "a message"
_NOTHING = DescriptorProto()
_ACTOR: Any = options_pb2.actor  # protoc's stub types every extension as a plain FieldDescriptor


@dataclass(frozen=True)
class MessageType:
    """A message class of Python: ``path`` leads to it from ``module``, through the messages around it."""

    module: str
    path: tuple[str, ...]


@dataclass(frozen=True)
class Rpc:
    """A method. ``path`` is the ``:path`` of its calls, such as ``/chat.Chat/Join``.

    ``handlers`` are the methods of the base class: one for messages, and one for the end where they are a
    stream.
    """

    name: str
    path: str
    comment: str
    request: MessageType
    reply: MessageType
    client_streaming: bool
    server_streaming: bool
    handlers: tuple[str, ...]

    @property
    def attribute(self) -> str:
        """What the stub calls it: see ``actorrpc.service.Method.attribute``."""
        return self.handlers[0] if is_special(self.name) else self.name


@dataclass(frozen=True)
class Service:
    """A service; ``state`` is None if it is stateless, and ``keyed`` unless it has an actor for each key."""

    name: str
    full_name: str
    comment: str
    rpcs: tuple[Rpc, ...]
    state: MessageType | None
    keyed: Keyed | None


@dataclass(frozen=True)
class _Declared:
    """What a full name stands for. ``kind`` reads on from "X is"; ``message`` says what is in a message."""

    kind: str
    file: str
    type: MessageType
    message: DescriptorProto


class Schema:
    """All files that protoc read: those to generate, and all that they import."""

    def __init__(self, files: Iterable[FileDescriptorProto]) -> None:
        self._files = {file.name: file for file in files}
        self._declared = {
            _qualified(file, ".".join(path)): _Declared(
                kind, file.name, MessageType(module_name(file.name, "_pb2"), path), message
            )
            for file in self._files.values()
            for path, kind, message in _declarations(file)
        }

    def services(self, name: str) -> list[Service]:
        """Return the services of the file ``name``. Raise ``CodegenError`` for what cannot be served."""
        file = self._files[name]
        source = Source(file)
        return [self._service(file, source, index) for index in range(len(file.service))]

    def _service(self, file: FileDescriptorProto, source: Source, index: int) -> Service:
        service = file.service[index]
        full_name = _qualified(file, service.name)
        path = (_SERVICE, index)
        with source.blame(full_name, *path):
            if not is_plain(service.name + "Base"):
                raise CodegenError("Python mangles names that begin with `__`; rename this service")
        with source.blame(full_name, *path, _OPTIONS, options_pb2.ACTOR_FIELD_NUMBER):
            state, keyed = self._actor(file, service)
        handlers = handler_names({method.name: method.client_streaming for method in service.method})
        rpcs = [
            self._rpc(full_name, method, source.comment(*path, _METHOD, number), handlers[method.name])
            for number, method in enumerate(service.method)
        ]
        return Service(service.name, full_name, source.comment(*path), tuple(rpcs), state, keyed)

    def _rpc(
        self, service: str, method: MethodDescriptorProto, comment: str, handlers: tuple[str, ...]
    ) -> Rpc:
        return Rpc(
            name=method.name,
            path=f"/{service}/{method.name}",
            comment=comment,
            request=self._declared[method.input_type[1:]].type,  # protoc writes them as `.chat.Line`
            reply=self._declared[method.output_type[1:]].type,
            client_streaming=method.client_streaming,
            server_streaming=method.server_streaming,
            handlers=handlers,
        )

    def _actor(
        self, file: FileDescriptorProto, service: ServiceDescriptorProto
    ) -> tuple[MessageType | None, Keyed | None]:
        """What the option says: of the state, and of keys."""
        if not service.options.HasExtension(_ACTOR):
            return None, None
        option: options_pb2.ActorOptions = service.options.Extensions[_ACTOR]
        return self._state(file, option), keyed_of(option, self._requests(service))

    def _state(self, file: FileDescriptorProto, option: options_pb2.ActorOptions) -> MessageType:
        if not option.state:
            raise CodegenError(
                'the actor\'s state is missing; name a message, such as `state: "chat.Session"`'
            )
        declared = self._declared.get(option.state)
        if declared is None:
            raise CodegenError(f'unknown state type "{option.state}"; {self._advice(option.state)}', _STATE)
        if declared.kind != _MESSAGE:
            raise CodegenError(f'state type "{option.state}" is {declared.kind}, not {_MESSAGE}', _STATE)
        if declared.file not in self._imported(file):
            raise CodegenError(
                f'state type "{option.state}" is in {declared.file}, which {file.name} does not import',
                _STATE,
            )
        return declared.type

    def _requests(self, service: ServiceDescriptorProto) -> Iterator[Request]:
        for method in service.method:
            name = method.input_type[1:]
            yield Request(method.name, name, self._declared[name].message)

    def _advice(self, state: str) -> str:
        """Say what to do about a state type that does not exist: mostly, its package was left out."""
        end = f".{state.lstrip('.')}"
        messages = sorted(name for name, declared in self._declared.items() if declared.kind == _MESSAGE)
        meant = next((name for name in messages if f".{name}".endswith(end)), None)
        return f'did you mean "{meant}"?' if meant else "import its file and write its full name"

    def _imported(self, file: FileDescriptorProto) -> set[str]:
        """Name the file itself and all that it imports, directly or not."""
        names, waiting = {file.name}, [file]
        while waiting:
            new = set(waiting.pop().dependency) - names
            names |= new
            waiting += [self._files[name] for name in new]
        return names


def _qualified(file: FileDescriptorProto, name: str) -> str:
    return f"{file.package}.{name}" if file.package else name


def _declarations(file: FileDescriptorProto) -> Iterator[tuple[tuple[str, ...], str, DescriptorProto]]:
    """Yield the path and the kind of each type and service in a file, and what a message has."""
    yield from _types(file.message_type, file.enum_type, ())
    for service in file.service:
        yield (service.name,), "a service", _NOTHING


def _types(
    messages: Iterable[DescriptorProto], enums: Iterable[EnumDescriptorProto], outer: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str, DescriptorProto]]:
    for enum in enums:
        yield (*outer, enum.name), "an enum", _NOTHING
    for message in messages:
        path = (*outer, message.name)
        yield path, "the entry of a map field" if message.options.map_entry else _MESSAGE, message
        yield from _types(message.nested_type, message.enum_type, path)
