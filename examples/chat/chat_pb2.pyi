from actorrpc import options_pb2 as _options_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JoinRequest(_message.Message):
    __slots__ = ("nick", "room")
    NICK_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    nick: str
    room: str
    def __init__(self, nick: _Optional[str] = ..., room: _Optional[str] = ...) -> None: ...

class SayRequest(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class SayReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WhoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WhoReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LeaveRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LeaveReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Event(_message.Message):
    __slots__ = ("welcome", "said", "joined", "left", "here")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    SAID_FIELD_NUMBER: _ClassVar[int]
    JOINED_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    HERE_FIELD_NUMBER: _ClassVar[int]
    welcome: Member
    said: Line
    joined: Member
    left: Member
    here: Member
    def __init__(self, welcome: _Optional[_Union[Member, _Mapping]] = ..., said: _Optional[_Union[Line, _Mapping]] = ..., joined: _Optional[_Union[Member, _Mapping]] = ..., left: _Optional[_Union[Member, _Mapping]] = ..., here: _Optional[_Union[Member, _Mapping]] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("id", "nick")
    ID_FIELD_NUMBER: _ClassVar[int]
    NICK_FIELD_NUMBER: _ClassVar[int]
    id: str
    nick: str
    def __init__(self, id: _Optional[str] = ..., nick: _Optional[str] = ...) -> None: ...

class Line(_message.Message):
    __slots__ = ("by", "text")
    BY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    by: Member
    text: str
    def __init__(self, by: _Optional[_Union[Member, _Mapping]] = ..., text: _Optional[str] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("nick", "room", "call", "named", "announced")
    NICK_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    NAMED_FIELD_NUMBER: _ClassVar[int]
    ANNOUNCED_FIELD_NUMBER: _ClassVar[int]
    nick: str
    room: str
    call: str
    named: bool
    announced: bool
    def __init__(self, nick: _Optional[str] = ..., room: _Optional[str] = ..., call: _Optional[str] = ..., named: bool = ..., announced: bool = ...) -> None: ...

class Claim(_message.Message):
    __slots__ = ("by",)
    BY_FIELD_NUMBER: _ClassVar[int]
    by: Member
    def __init__(self, by: _Optional[_Union[Member, _Mapping]] = ...) -> None: ...

class NickTaken(_message.Message):
    __slots__ = ("by",)
    BY_FIELD_NUMBER: _ClassVar[int]
    by: Member
    def __init__(self, by: _Optional[_Union[Member, _Mapping]] = ...) -> None: ...

class RollCall(_message.Message):
    __slots__ = ("by",)
    BY_FIELD_NUMBER: _ClassVar[int]
    by: Member
    def __init__(self, by: _Optional[_Union[Member, _Mapping]] = ...) -> None: ...
