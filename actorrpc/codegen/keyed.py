"""What the option of a keyed service says, checked: where its key is, when it is passivated, what is always
active."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from actorrpc import options_pb2
from actorrpc.codegen.source import CodegenError
from actorrpc.errors import RpcError
from actorrpc.keys import check_key
from actorrpc.log import escape
from actorrpc.service import Keyed, KeyFrom

__all__ = ["Request", "keyed_of"]

_SCOPE = options_pb2.ActorOptions.SCOPE_FIELD_NUMBER
_KEY = options_pb2.ActorOptions.KEY_FIELD_NUMBER
_KEY_FROM = options_pb2.ActorOptions.KEY_FROM_FIELD_NUMBER
_ALWAYS = options_pb2.ActorOptions.ALWAYS_FIELD_NUMBER
#: What is for keyed actors only.
_OURS = (_KEY, _KEY_FROM, options_pb2.ActorOptions.IDLE_FIELD_NUMBER, _ALWAYS)


@dataclass(frozen=True)
class Request:
    """What a method of the service is sent: ``name`` is the full name of the message type."""

    method: str
    name: str
    message: DescriptorProto


def keyed_of(option: options_pb2.ActorOptions, requests: Iterable[Request]) -> Keyed | None:
    """Return what makes a service's actors keyed; None if they are of connections.

    Raises ``CodegenError`` for options that do not fit each other, or the requests.
    """
    if option.scope not in options_pb2.Scope.values():
        raise CodegenError(f"this version of actorrpc does not know `scope: {option.scope}`", _SCOPE)
    if option.scope == options_pb2.CONNECTION:
        _refuse_ours(option)
        return None
    key_from = _key_from(option)
    if option.key:
        _check_field(option.key, requests)
    _check_always(option.always)
    return Keyed(
        option.key,
        key_from,
        float(option.idle) if option.HasField("idle") else Keyed.idle,
        tuple(option.always),
    )


def _refuse_ours(option: options_pb2.ActorOptions) -> None:
    for field, _ in option.ListFields():
        if field.number in _OURS:
            raise CodegenError(
                f"`{field.name}` is for keyed actors only; add `scope: KEY`, or remove `{field.name}`",
                field.number,
            )


def _key_from(option: options_pb2.ActorOptions) -> KeyFrom:
    if option.key_from not in options_pb2.KeyFrom.values():
        raise CodegenError(f"this version of actorrpc does not know `key_from: {option.key_from}`", _KEY_FROM)
    if option.key and option.key_from == options_pb2.IDENTITY:
        raise CodegenError(
            "`key` and `key_from: IDENTITY` contradict each other; remove one of them", _KEY_FROM
        )
    return KeyFrom[options_pb2.KeyFrom.Name(option.key_from)]


def _check_field(name: str, requests: Iterable[Request]) -> None:
    """Refuse a request without the key, which is a string field of each of them."""
    key = f'key "{escape(name)}"'
    for request in requests:
        field = next((each for each in request.message.field if each.name == name), None)
        which = f"{request.name}, the request of {request.method}"
        if field is None:
            raise CodegenError(f"{key}: {which}, has no such field; every request needs the key", _KEY)
        kind = _kind(field, request)
        if kind != "string":
            raise CodegenError(f"{key}: in {which}, it is a field of type {kind}; a key is a string", _KEY)


def _kind(field: FieldDescriptorProto, request: Request) -> str:
    """The type of a field, as one says it: protoc has a map as a repeated message of a type of its own."""
    maps = {
        f".{request.name}.{nested.name}" for nested in request.message.nested_type if nested.options.map_entry
    }
    if field.type_name in maps:
        return "map"
    kind = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    return f"repeated {kind}" if field.label == FieldDescriptorProto.LABEL_REPEATED else kind


def _check_always(keys: Collection[str]) -> None:
    seen: set[str] = set()
    for key in keys:
        try:
            check_key(key)
        except RpcError as error:
            raise CodegenError(f"`always`: {error.message}", _ALWAYS) from None
        if key in seen:
            raise CodegenError(f'`always` has "{escape(key)}" twice; remove one of them', _ALWAYS)
        seen.add(key)
