from actorrpc import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Number(_message.Message):
    __slots__ = ("number", "body", "replies", "pid")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    number: int
    body: bytes
    replies: int
    pid: int
    def __init__(self, number: _Optional[int] = ..., body: _Optional[bytes] = ..., replies: _Optional[int] = ..., pid: _Optional[int] = ...) -> None: ...

class Wish(_message.Message):
    __slots__ = ("replies", "size", "breathe_every", "raise_after")
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    BREATHE_EVERY_FIELD_NUMBER: _ClassVar[int]
    RAISE_AFTER_FIELD_NUMBER: _ClassVar[int]
    replies: int
    size: int
    breathe_every: int
    raise_after: int
    def __init__(self, replies: _Optional[int] = ..., size: _Optional[int] = ..., breathe_every: _Optional[int] = ..., raise_after: _Optional[int] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("what", "seconds")
    WHAT_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    what: str
    seconds: float
    def __init__(self, what: _Optional[str] = ..., seconds: _Optional[float] = ...) -> None: ...

class Post(_message.Message):
    __slots__ = ("room", "publisher", "number", "last", "late")
    ROOM_FIELD_NUMBER: _ClassVar[int]
    PUBLISHER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    room: str
    publisher: str
    number: int
    last: bool
    late: bool
    def __init__(self, room: _Optional[str] = ..., publisher: _Optional[str] = ..., number: _Optional[int] = ..., last: bool = ..., late: bool = ...) -> None: ...

class Oddity(_message.Message):
    __slots__ = ("publisher", "number", "due", "at")
    PUBLISHER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DUE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    publisher: str
    number: int
    due: int
    at: float
    def __init__(self, publisher: _Optional[str] = ..., number: _Optional[int] = ..., due: _Optional[int] = ..., at: _Optional[float] = ...) -> None: ...

class Ledger(_message.Message):
    __slots__ = ("counted", "uploaded", "talked", "published", "recited", "heard", "finals", "thaws", "freezes", "faults", "connection", "peer", "oddities", "late", "known")
    class HeardEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    COUNTED_FIELD_NUMBER: _ClassVar[int]
    UPLOADED_FIELD_NUMBER: _ClassVar[int]
    TALKED_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    RECITED_FIELD_NUMBER: _ClassVar[int]
    HEARD_FIELD_NUMBER: _ClassVar[int]
    FINALS_FIELD_NUMBER: _ClassVar[int]
    THAWS_FIELD_NUMBER: _ClassVar[int]
    FREEZES_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    ODDITIES_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    counted: int
    uploaded: int
    talked: int
    published: int
    recited: int
    heard: _containers.ScalarMap[str, int]
    finals: _containers.RepeatedScalarFieldContainer[str]
    thaws: int
    freezes: int
    faults: _containers.RepeatedScalarFieldContainer[str]
    connection: str
    peer: str
    oddities: _containers.RepeatedCompositeFieldContainer[Oddity]
    late: bool
    known: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, counted: _Optional[int] = ..., uploaded: _Optional[int] = ..., talked: _Optional[int] = ..., published: _Optional[int] = ..., recited: _Optional[int] = ..., heard: _Optional[_Mapping[str, int]] = ..., finals: _Optional[_Iterable[str]] = ..., thaws: _Optional[int] = ..., freezes: _Optional[int] = ..., faults: _Optional[_Iterable[str]] = ..., connection: _Optional[str] = ..., peer: _Optional[str] = ..., oddities: _Optional[_Iterable[_Union[Oddity, _Mapping]]] = ..., late: bool = ..., known: _Optional[_Iterable[int]] = ...) -> None: ...

class Counts(_message.Message):
    __slots__ = ("pid", "counts")
    class CountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    PID_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    pid: int
    counts: _containers.ScalarMap[str, int]
    def __init__(self, pid: _Optional[int] = ..., counts: _Optional[_Mapping[str, int]] = ...) -> None: ...

class Book(_message.Message):
    __slots__ = ("endings", "faults")
    class EndingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Endings
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Endings, _Mapping]] = ...) -> None: ...
    ENDINGS_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    endings: _containers.MessageMap[str, Endings]
    faults: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, endings: _Optional[_Mapping[str, Endings]] = ..., faults: _Optional[_Iterable[str]] = ...) -> None: ...

class Endings(_message.Message):
    __slots__ = ("calls", "cancelled", "streams", "requests")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    calls: int
    cancelled: int
    streams: int
    requests: int
    def __init__(self, calls: _Optional[int] = ..., cancelled: _Optional[int] = ..., streams: _Optional[int] = ..., requests: _Optional[int] = ...) -> None: ...
