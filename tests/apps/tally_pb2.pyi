from actorrpc import options_pb2 as _options_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Ask(_message.Message):
    __slots__ = ("key", "call", "sleep", "hold", "replies")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    SLEEP_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    key: str
    call: int
    sleep: float
    hold: float
    replies: int
    def __init__(self, key: _Optional[str] = ..., call: _Optional[int] = ..., sleep: _Optional[float] = ..., hold: _Optional[float] = ..., replies: _Optional[int] = ...) -> None: ...

class Turn(_message.Message):
    __slots__ = ("activation", "number", "pid", "fault", "at")
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    activation: bytes
    number: int
    pid: int
    fault: str
    at: int
    def __init__(self, activation: _Optional[bytes] = ..., number: _Optional[int] = ..., pid: _Optional[int] = ..., fault: _Optional[str] = ..., at: _Optional[int] = ...) -> None: ...

class TallyState(_message.Message):
    __slots__ = ("activation", "turns", "serial")
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    activation: bytes
    turns: int
    serial: int
    def __init__(self, activation: _Optional[bytes] = ..., turns: _Optional[int] = ..., serial: _Optional[int] = ...) -> None: ...
