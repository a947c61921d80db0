from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Scope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONNECTION: _ClassVar[Scope]
    KEY: _ClassVar[Scope]

class KeyFrom(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METADATA: _ClassVar[KeyFrom]
    IDENTITY: _ClassVar[KeyFrom]
CONNECTION: Scope
KEY: Scope
METADATA: KeyFrom
IDENTITY: KeyFrom
ACTOR_FIELD_NUMBER: _ClassVar[int]
actor: _descriptor.FieldDescriptor

class ActorOptions(_message.Message):
    __slots__ = ("state", "scope", "key", "key_from", "idle", "always")
    STATE_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    KEY_FROM_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    ALWAYS_FIELD_NUMBER: _ClassVar[int]
    state: str
    scope: Scope
    key: str
    key_from: KeyFrom
    idle: int
    always: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, state: _Optional[str] = ..., scope: _Optional[_Union[Scope, str]] = ..., key: _Optional[str] = ..., key_from: _Optional[_Union[KeyFrom, str]] = ..., idle: _Optional[int] = ..., always: _Optional[_Iterable[str]] = ...) -> None: ...
