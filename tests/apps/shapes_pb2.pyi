from actorrpc import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Item(_message.Message):
    __slots__ = ("number", "text", "body", "sleep", "status")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    SLEEP_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    number: int
    text: str
    body: bytes
    sleep: float
    status: int
    def __init__(self, number: _Optional[int] = ..., text: _Optional[str] = ..., body: _Optional[bytes] = ..., sleep: _Optional[float] = ..., status: _Optional[int] = ...) -> None: ...

class Tally(_message.Message):
    __slots__ = ("count", "notes")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    count: int
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, count: _Optional[int] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...
