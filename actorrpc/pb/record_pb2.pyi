from actorrpc.pb import control_pb2 as _control_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Server(_message.Message):
    __slots__ = ("format", "app", "bind", "address", "accept", "hubs", "generation", "last_generation", "members", "homes", "drained", "reload", "scale", "restarts", "moves", "paused", "made_directory", "directory", "server", "secret", "binds", "addresses", "tls_binds")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    BIND_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_FIELD_NUMBER: _ClassVar[int]
    HUBS_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    LAST_GENERATION_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    HOMES_FIELD_NUMBER: _ClassVar[int]
    DRAINED_FIELD_NUMBER: _ClassVar[int]
    RELOAD_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    MADE_DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    BINDS_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    TLS_BINDS_FIELD_NUMBER: _ClassVar[int]
    format: int
    app: str
    bind: str
    address: str
    accept: str
    hubs: int
    generation: Generation
    last_generation: int
    members: _containers.RepeatedCompositeFieldContainer[Process]
    homes: _control_pb2.Homes
    drained: _containers.RepeatedScalarFieldContainer[int]
    reload: Reload
    scale: Scale
    restarts: _containers.RepeatedScalarFieldContainer[int]
    moves: Moves
    paused: bool
    made_directory: bool
    directory: _control_pb2.Directory
    server: bytes
    secret: bytes
    binds: _containers.RepeatedScalarFieldContainer[str]
    addresses: _containers.RepeatedCompositeFieldContainer[Address]
    tls_binds: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, format: _Optional[int] = ..., app: _Optional[str] = ..., bind: _Optional[str] = ..., address: _Optional[str] = ..., accept: _Optional[str] = ..., hubs: _Optional[int] = ..., generation: _Optional[_Union[Generation, _Mapping]] = ..., last_generation: _Optional[int] = ..., members: _Optional[_Iterable[_Union[Process, _Mapping]]] = ..., homes: _Optional[_Union[_control_pb2.Homes, _Mapping]] = ..., drained: _Optional[_Iterable[int]] = ..., reload: _Optional[_Union[Reload, _Mapping]] = ..., scale: _Optional[_Union[Scale, _Mapping]] = ..., restarts: _Optional[_Iterable[int]] = ..., moves: _Optional[_Union[Moves, _Mapping]] = ..., paused: bool = ..., made_directory: bool = ..., directory: _Optional[_Union[_control_pb2.Directory, _Mapping]] = ..., server: _Optional[bytes] = ..., secret: _Optional[bytes] = ..., binds: _Optional[_Iterable[str]] = ..., addresses: _Optional[_Iterable[_Union[Address, _Mapping]]] = ..., tls_binds: _Optional[_Iterable[str]] = ...) -> None: ...

class Address(_message.Message):
    __slots__ = ("text", "shared", "tls", "device", "inode")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    INODE_FIELD_NUMBER: _ClassVar[int]
    text: str
    shared: bool
    tls: bool
    device: int
    inode: int
    def __init__(self, text: _Optional[str] = ..., shared: bool = ..., tls: bool = ..., device: _Optional[int] = ..., inode: _Optional[int] = ...) -> None: ...

class Generation(_message.Message):
    __slots__ = ("number", "config", "directory", "interpreter")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    INTERPRETER_FIELD_NUMBER: _ClassVar[int]
    number: int
    config: _struct_pb2.Struct
    directory: str
    interpreter: str
    def __init__(self, number: _Optional[int] = ..., config: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., directory: _Optional[str] = ..., interpreter: _Optional[str] = ...) -> None: ...

class Process(_message.Message):
    __slots__ = ("hub", "serial", "generation")
    HUB_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    hub: int
    serial: int
    generation: int
    def __init__(self, hub: _Optional[int] = ..., serial: _Optional[int] = ..., generation: _Optional[int] = ...) -> None: ...

class Reload(_message.Message):
    __slots__ = ("generation", "successors", "drain_timeout")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    SUCCESSORS_FIELD_NUMBER: _ClassVar[int]
    DRAIN_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    generation: Generation
    successors: _containers.RepeatedCompositeFieldContainer[Process]
    drain_timeout: float
    def __init__(self, generation: _Optional[_Union[Generation, _Mapping]] = ..., successors: _Optional[_Iterable[_Union[Process, _Mapping]]] = ..., drain_timeout: _Optional[float] = ...) -> None: ...

class Scale(_message.Message):
    __slots__ = ("hubs", "drain_timeout")
    HUBS_FIELD_NUMBER: _ClassVar[int]
    DRAIN_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    hubs: int
    drain_timeout: float
    def __init__(self, hubs: _Optional[int] = ..., drain_timeout: _Optional[float] = ...) -> None: ...

class Moves(_message.Message):
    __slots__ = ("done", "aborted")
    DONE_FIELD_NUMBER: _ClassVar[int]
    ABORTED_FIELD_NUMBER: _ClassVar[int]
    done: int
    aborted: int
    def __init__(self, done: _Optional[int] = ..., aborted: _Optional[int] = ...) -> None: ...

class PastMove(_message.Message):
    __slots__ = ("connection", "at", "source", "target", "by", "reason", "aborted", "pause_ms", "generation", "times")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ABORTED_FIELD_NUMBER: _ClassVar[int]
    PAUSE_MS_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    connection: str
    at: str
    source: int
    target: int
    by: str
    reason: str
    aborted: str
    pause_ms: float
    generation: int
    times: int
    def __init__(self, connection: _Optional[str] = ..., at: _Optional[str] = ..., source: _Optional[int] = ..., target: _Optional[int] = ..., by: _Optional[str] = ..., reason: _Optional[str] = ..., aborted: _Optional[str] = ..., pause_ms: _Optional[float] = ..., generation: _Optional[int] = ..., times: _Optional[int] = ...) -> None: ...
