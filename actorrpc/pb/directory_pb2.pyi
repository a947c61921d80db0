from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Entry(_message.Message):
    __slots__ = ("grant", "forget")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    FORGET_FIELD_NUMBER: _ClassVar[int]
    grant: Grant
    forget: Forget
    def __init__(self, grant: _Optional[_Union[Grant, _Mapping]] = ..., forget: _Optional[_Union[Forget, _Mapping]] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("service", "key", "owner", "epoch")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    service: str
    key: str
    owner: int
    epoch: int
    def __init__(self, service: _Optional[str] = ..., key: _Optional[str] = ..., owner: _Optional[int] = ..., epoch: _Optional[int] = ...) -> None: ...

class Forget(_message.Message):
    __slots__ = ("service", "key", "epoch")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    service: str
    key: str
    epoch: int
    def __init__(self, service: _Optional[str] = ..., key: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...
