from actorrpc import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Optional as _Optional

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

class Trip(_message.Message):
    __slots__ = ("key", "calls")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    key: str
    calls: int
    def __init__(self, key: _Optional[str] = ..., calls: _Optional[int] = ...) -> None: ...

class Took(_message.Message):
    __slots__ = ("seconds", "cpu", "each")
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    CPU_FIELD_NUMBER: _ClassVar[int]
    EACH_FIELD_NUMBER: _ClassVar[int]
    seconds: float
    cpu: float
    each: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, seconds: _Optional[float] = ..., cpu: _Optional[float] = ..., each: _Optional[_Iterable[float]] = ...) -> None: ...
