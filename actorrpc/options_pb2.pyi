from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Scope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONNECTION: _ClassVar[Scope]
    KEY: _ClassVar[Scope]
CONNECTION: Scope
KEY: Scope
ACTOR_FIELD_NUMBER: _ClassVar[int]
actor: _descriptor.FieldDescriptor

class ActorOptions(_message.Message):
    __slots__ = ("state", "scope")
    STATE_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    state: str
    scope: Scope
    def __init__(self, state: _Optional[str] = ..., scope: _Optional[_Union[Scope, str]] = ...) -> None: ...
