from actorrpc import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Drawer(_message.Message):
    __slots__ = ("things",)
    THINGS_FIELD_NUMBER: _ClassVar[int]
    things: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, things: _Optional[_Iterable[str]] = ...) -> None: ...

class PutRequest(_message.Message):
    __slots__ = ("thing",)
    THING_FIELD_NUMBER: _ClassVar[int]
    thing: str
    def __init__(self, thing: _Optional[str] = ...) -> None: ...

class PutReply(_message.Message):
    __slots__ = ("owner", "things")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    THINGS_FIELD_NUMBER: _ClassVar[int]
    owner: str
    things: int
    def __init__(self, owner: _Optional[str] = ..., things: _Optional[int] = ...) -> None: ...
