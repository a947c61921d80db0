from actorrpc import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Line(_message.Message):
    __slots__ = ("room", "text", "number", "sleep", "status")
    ROOM_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SLEEP_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    room: str
    text: str
    number: int
    sleep: float
    status: int
    def __init__(self, room: _Optional[str] = ..., text: _Optional[str] = ..., number: _Optional[int] = ..., sleep: _Optional[float] = ..., status: _Optional[int] = ...) -> None: ...

class RoomState(_message.Message):
    __slots__ = ("lines", "notes")
    LINES_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    lines: int
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, lines: _Optional[int] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...
