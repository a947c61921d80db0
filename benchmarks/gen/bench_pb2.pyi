from actorrpc import options_pb2 as _options_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Note(_message.Message):
    __slots__ = ("number", "text")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    number: int
    text: str
    def __init__(self, number: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class Count(_message.Message):
    __slots__ = ("calls",)
    CALLS_FIELD_NUMBER: _ClassVar[int]
    calls: int
    def __init__(self, calls: _Optional[int] = ...) -> None: ...

class Payload(_message.Message):
    __slots__ = ("content",)
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    def __init__(self, content: _Optional[bytes] = ...) -> None: ...

class Size(_message.Message):
    __slots__ = ("bytes",)
    BYTES_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    def __init__(self, bytes: _Optional[int] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Place(_message.Message):
    __slots__ = ("pid", "peer")
    PID_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    pid: int
    peer: str
    def __init__(self, pid: _Optional[int] = ..., peer: _Optional[str] = ...) -> None: ...

class Share(_message.Message):
    __slots__ = ("of_a_core",)
    OF_A_CORE_FIELD_NUMBER: _ClassVar[int]
    of_a_core: float
    def __init__(self, of_a_core: _Optional[float] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Task(_message.Message):
    __slots__ = ("microseconds", "held_microseconds")
    MICROSECONDS_FIELD_NUMBER: _ClassVar[int]
    HELD_MICROSECONDS_FIELD_NUMBER: _ClassVar[int]
    microseconds: int
    held_microseconds: int
    def __init__(self, microseconds: _Optional[int] = ..., held_microseconds: _Optional[int] = ...) -> None: ...
