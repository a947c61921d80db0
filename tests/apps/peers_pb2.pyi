from actorrpc import options_pb2 as _options_pb2
from actorrpc import ref_pb2 as _ref_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Way(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALL: _ClassVar[Way]
    FUTURE: _ClassVar[Way]
    STREAM: _ClassVar[Way]
CALL: Way
FUTURE: Way
STREAM: Way

class Ask(_message.Message):
    __slots__ = ("key", "caller", "call", "number", "body", "path", "way", "tells", "after", "last", "whose")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    WAY_FIELD_NUMBER: _ClassVar[int]
    TELLS_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    WHOSE_FIELD_NUMBER: _ClassVar[int]
    key: str
    caller: int
    call: int
    number: int
    body: bytes
    path: _containers.RepeatedScalarFieldContainer[str]
    way: Way
    tells: _containers.RepeatedScalarFieldContainer[str]
    after: int
    last: int
    whose: str
    def __init__(self, key: _Optional[str] = ..., caller: _Optional[int] = ..., call: _Optional[int] = ..., number: _Optional[int] = ..., body: _Optional[bytes] = ..., path: _Optional[_Iterable[str]] = ..., way: _Optional[_Union[Way, str]] = ..., tells: _Optional[_Iterable[str]] = ..., after: _Optional[int] = ..., last: _Optional[int] = ..., whose: _Optional[str] = ...) -> None: ...

class Turn(_message.Message):
    __slots__ = ("activation", "turn", "previous", "number", "body", "pid")
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    activation: int
    turn: int
    previous: int
    number: int
    body: bytes
    pid: int
    def __init__(self, activation: _Optional[int] = ..., turn: _Optional[int] = ..., previous: _Optional[int] = ..., number: _Optional[int] = ..., body: _Optional[bytes] = ..., pid: _Optional[int] = ...) -> None: ...

class Known(_message.Message):
    __slots__ = ("ref", "called", "told", "answered", "activation", "unsure")
    REF_FIELD_NUMBER: _ClassVar[int]
    CALLED_FIELD_NUMBER: _ClassVar[int]
    TOLD_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    UNSURE_FIELD_NUMBER: _ClassVar[int]
    ref: _ref_pb2.ActorRef
    called: int
    told: int
    answered: int
    activation: int
    unsure: bool
    def __init__(self, ref: _Optional[_Union[_ref_pb2.ActorRef, _Mapping]] = ..., called: _Optional[int] = ..., told: _Optional[int] = ..., answered: _Optional[int] = ..., activation: _Optional[int] = ..., unsure: bool = ...) -> None: ...

class PeerState(_message.Message):
    __slots__ = ("activation", "turns", "serial", "calls", "known", "called", "told", "thaws", "open")
    class KnownEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Known
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Known, _Mapping]] = ...) -> None: ...
    class CalledEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    class ToldEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    CALLED_FIELD_NUMBER: _ClassVar[int]
    TOLD_FIELD_NUMBER: _ClassVar[int]
    THAWS_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    activation: int
    turns: int
    serial: int
    calls: int
    known: _containers.MessageMap[str, Known]
    called: _containers.ScalarMap[int, int]
    told: _containers.ScalarMap[int, int]
    thaws: int
    open: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, activation: _Optional[int] = ..., turns: _Optional[int] = ..., serial: _Optional[int] = ..., calls: _Optional[int] = ..., known: _Optional[_Mapping[str, Known]] = ..., called: _Optional[_Mapping[int, int]] = ..., told: _Optional[_Mapping[int, int]] = ..., thaws: _Optional[int] = ..., open: _Optional[_Iterable[str]] = ...) -> None: ...
