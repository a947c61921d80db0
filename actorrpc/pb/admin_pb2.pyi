from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Request(_message.Message):
    __slots__ = ("status", "connections", "move", "stop", "rebalance", "moves", "reload", "drain", "scale", "stacks", "hand_over", "actors", "renew_tls", "why", "top")
    class Status(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Connections(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class RenewTls(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Actors(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Why(_message.Message):
        __slots__ = ("name",)
        NAME_FIELD_NUMBER: _ClassVar[int]
        name: str
        def __init__(self, name: _Optional[str] = ...) -> None: ...
    class Top(_message.Message):
        __slots__ = ("limit", "match")
        LIMIT_FIELD_NUMBER: _ClassVar[int]
        MATCH_FIELD_NUMBER: _ClassVar[int]
        limit: int
        match: str
        def __init__(self, limit: _Optional[int] = ..., match: _Optional[str] = ...) -> None: ...
    class Move(_message.Message):
        __slots__ = ("connection", "hub")
        CONNECTION_FIELD_NUMBER: _ClassVar[int]
        HUB_FIELD_NUMBER: _ClassVar[int]
        connection: str
        hub: int
        def __init__(self, connection: _Optional[str] = ..., hub: _Optional[int] = ...) -> None: ...
    class Stop(_message.Message):
        __slots__ = ("drain_timeout",)
        DRAIN_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
        drain_timeout: float
        def __init__(self, drain_timeout: _Optional[float] = ...) -> None: ...
    class Reload(_message.Message):
        __slots__ = ("drain_timeout",)
        DRAIN_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
        drain_timeout: float
        def __init__(self, drain_timeout: _Optional[float] = ...) -> None: ...
    class Drain(_message.Message):
        __slots__ = ("hub", "undo")
        HUB_FIELD_NUMBER: _ClassVar[int]
        UNDO_FIELD_NUMBER: _ClassVar[int]
        hub: int
        undo: bool
        def __init__(self, hub: _Optional[int] = ..., undo: bool = ...) -> None: ...
    class Scale(_message.Message):
        __slots__ = ("hubs", "drain_timeout")
        HUBS_FIELD_NUMBER: _ClassVar[int]
        DRAIN_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
        hubs: int
        drain_timeout: float
        def __init__(self, hubs: _Optional[int] = ..., drain_timeout: _Optional[float] = ...) -> None: ...
    class Rebalance(_message.Message):
        __slots__ = ("wish",)
        class Wish(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            PAUSE: _ClassVar[Request.Rebalance.Wish]
            RESUME: _ClassVar[Request.Rebalance.Wish]
            NOW: _ClassVar[Request.Rebalance.Wish]
        PAUSE: Request.Rebalance.Wish
        RESUME: Request.Rebalance.Wish
        NOW: Request.Rebalance.Wish
        WISH_FIELD_NUMBER: _ClassVar[int]
        wish: Request.Rebalance.Wish
        def __init__(self, wish: _Optional[_Union[Request.Rebalance.Wish, str]] = ...) -> None: ...
    class Moves(_message.Message):
        __slots__ = ("limit",)
        LIMIT_FIELD_NUMBER: _ClassVar[int]
        limit: int
        def __init__(self, limit: _Optional[int] = ...) -> None: ...
    class HandOver(_message.Message):
        __slots__ = ("pid",)
        PID_FIELD_NUMBER: _ClassVar[int]
        pid: int
        def __init__(self, pid: _Optional[int] = ...) -> None: ...
    class Stacks(_message.Message):
        __slots__ = ("hub",)
        HUB_FIELD_NUMBER: _ClassVar[int]
        hub: int
        def __init__(self, hub: _Optional[int] = ...) -> None: ...
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    MOVE_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    REBALANCE_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    RELOAD_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    STACKS_FIELD_NUMBER: _ClassVar[int]
    HAND_OVER_FIELD_NUMBER: _ClassVar[int]
    ACTORS_FIELD_NUMBER: _ClassVar[int]
    RENEW_TLS_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    status: Request.Status
    connections: Request.Connections
    move: Request.Move
    stop: Request.Stop
    rebalance: Request.Rebalance
    moves: Request.Moves
    reload: Request.Reload
    drain: Request.Drain
    scale: Request.Scale
    stacks: Request.Stacks
    hand_over: Request.HandOver
    actors: Request.Actors
    renew_tls: Request.RenewTls
    why: Request.Why
    top: Request.Top
    def __init__(self, status: _Optional[_Union[Request.Status, _Mapping]] = ..., connections: _Optional[_Union[Request.Connections, _Mapping]] = ..., move: _Optional[_Union[Request.Move, _Mapping]] = ..., stop: _Optional[_Union[Request.Stop, _Mapping]] = ..., rebalance: _Optional[_Union[Request.Rebalance, _Mapping]] = ..., moves: _Optional[_Union[Request.Moves, _Mapping]] = ..., reload: _Optional[_Union[Request.Reload, _Mapping]] = ..., drain: _Optional[_Union[Request.Drain, _Mapping]] = ..., scale: _Optional[_Union[Request.Scale, _Mapping]] = ..., stacks: _Optional[_Union[Request.Stacks, _Mapping]] = ..., hand_over: _Optional[_Union[Request.HandOver, _Mapping]] = ..., actors: _Optional[_Union[Request.Actors, _Mapping]] = ..., renew_tls: _Optional[_Union[Request.RenewTls, _Mapping]] = ..., why: _Optional[_Union[Request.Why, _Mapping]] = ..., top: _Optional[_Union[Request.Top, _Mapping]] = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ("error", "bad_request", "json", "done", "warnings")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    BAD_REQUEST_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    error: str
    bad_request: bool
    json: str
    done: str
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, error: _Optional[str] = ..., bad_request: bool = ..., json: _Optional[str] = ..., done: _Optional[str] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...
