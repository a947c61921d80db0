from actorrpc import options_pb2 as _options_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class StatusRequest(_message.Message):
    __slots__ = ("feed",)
    FEED_FIELD_NUMBER: _ClassVar[int]
    feed: str
    def __init__(self, feed: _Optional[str] = ...) -> None: ...

class FeedState(_message.Message):
    __slots__ = ("line", "published")
    LINE_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    line: int
    published: int
    def __init__(self, line: _Optional[int] = ..., published: _Optional[int] = ...) -> None: ...

class Symbol(_message.Message):
    __slots__ = ("symbol",)
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    symbol: str
    def __init__(self, symbol: _Optional[str] = ...) -> None: ...

class Price(_message.Message):
    __slots__ = ("symbol", "number", "cents")
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CENTS_FIELD_NUMBER: _ClassVar[int]
    symbol: str
    number: int
    cents: int
    def __init__(self, symbol: _Optional[str] = ..., number: _Optional[int] = ..., cents: _Optional[int] = ...) -> None: ...
