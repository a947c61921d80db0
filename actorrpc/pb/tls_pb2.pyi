from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class TlsSnapshot(_message.Message):
    __slots__ = ("suite", "sending_secret", "sealed", "sending_epoch", "receiving_secret", "opened", "receiving_epoch", "partial_record", "partial_message", "unsent", "idle_updates", "answer_due", "ask", "asked", "ended", "closed", "freezes", "work", "max_content")
    SUITE_FIELD_NUMBER: _ClassVar[int]
    SENDING_SECRET_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    SENDING_EPOCH_FIELD_NUMBER: _ClassVar[int]
    RECEIVING_SECRET_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    RECEIVING_EPOCH_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_RECORD_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    UNSENT_FIELD_NUMBER: _ClassVar[int]
    IDLE_UPDATES_FIELD_NUMBER: _ClassVar[int]
    ANSWER_DUE_FIELD_NUMBER: _ClassVar[int]
    ASK_FIELD_NUMBER: _ClassVar[int]
    ASKED_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    FREEZES_FIELD_NUMBER: _ClassVar[int]
    WORK_FIELD_NUMBER: _ClassVar[int]
    MAX_CONTENT_FIELD_NUMBER: _ClassVar[int]
    suite: int
    sending_secret: bytes
    sealed: int
    sending_epoch: int
    receiving_secret: bytes
    opened: int
    receiving_epoch: int
    partial_record: bytes
    partial_message: bytes
    unsent: bytes
    idle_updates: int
    answer_due: bool
    ask: bool
    asked: bool
    ended: bool
    closed: bool
    freezes: int
    work: int
    max_content: int
    def __init__(self, suite: _Optional[int] = ..., sending_secret: _Optional[bytes] = ..., sealed: _Optional[int] = ..., sending_epoch: _Optional[int] = ..., receiving_secret: _Optional[bytes] = ..., opened: _Optional[int] = ..., receiving_epoch: _Optional[int] = ..., partial_record: _Optional[bytes] = ..., partial_message: _Optional[bytes] = ..., unsent: _Optional[bytes] = ..., idle_updates: _Optional[int] = ..., answer_due: bool = ..., ask: bool = ..., asked: bool = ..., ended: bool = ..., closed: bool = ..., freezes: _Optional[int] = ..., work: _Optional[int] = ..., max_content: _Optional[int] = ...) -> None: ...
