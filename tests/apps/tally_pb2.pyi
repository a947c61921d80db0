from actorrpc import options_pb2 as _options_pb2
from actorrpc import ref_pb2 as _ref_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Ask(_message.Message):
    __slots__ = ("key", "call", "sleep", "hold", "replies", "path")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    SLEEP_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    key: str
    call: int
    sleep: float
    hold: float
    replies: int
    path: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, key: _Optional[str] = ..., call: _Optional[int] = ..., sleep: _Optional[float] = ..., hold: _Optional[float] = ..., replies: _Optional[int] = ..., path: _Optional[_Iterable[str]] = ...) -> None: ...

class Turn(_message.Message):
    __slots__ = ("activation", "number", "pid", "fault", "at", "next")
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    activation: bytes
    number: int
    pid: int
    fault: str
    at: int
    next: Turn
    def __init__(self, activation: _Optional[bytes] = ..., number: _Optional[int] = ..., pid: _Optional[int] = ..., fault: _Optional[str] = ..., at: _Optional[int] = ..., next: _Optional[_Union[Turn, _Mapping]] = ...) -> None: ...

class TallyState(_message.Message):
    __slots__ = ("activation", "turns", "serial", "refs")
    class RefsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _ref_pb2.ActorRef
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_ref_pb2.ActorRef, _Mapping]] = ...) -> None: ...
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    REFS_FIELD_NUMBER: _ClassVar[int]
    activation: bytes
    turns: int
    serial: int
    refs: _containers.MessageMap[str, _ref_pb2.ActorRef]
    def __init__(self, activation: _Optional[bytes] = ..., turns: _Optional[int] = ..., serial: _Optional[int] = ..., refs: _Optional[_Mapping[str, _ref_pb2.ActorRef]] = ...) -> None: ...
