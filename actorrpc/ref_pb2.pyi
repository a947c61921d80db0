from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class ActorRef(_message.Message):
    __slots__ = ("service", "key", "connection", "server", "identity", "seal")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    SEAL_FIELD_NUMBER: _ClassVar[int]
    service: str
    key: str
    connection: str
    server: bytes
    identity: str
    seal: bytes
    def __init__(self, service: _Optional[str] = ..., key: _Optional[str] = ..., connection: _Optional[str] = ..., server: _Optional[bytes] = ..., identity: _Optional[str] = ..., seal: _Optional[bytes] = ...) -> None: ...
