from actorrpc.pb import snapshot_pb2 as _snapshot_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Hello(_message.Message):
    __slots__ = ("version", "control", "links", "snapshots")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    version: str
    control: Formats
    links: Formats
    snapshots: Formats
    def __init__(self, version: _Optional[str] = ..., control: _Optional[_Union[Formats, _Mapping]] = ..., links: _Optional[_Union[Formats, _Mapping]] = ..., snapshots: _Optional[_Union[Formats, _Mapping]] = ...) -> None: ...

class Formats(_message.Message):
    __slots__ = ("oldest", "newest")
    OLDEST_FIELD_NUMBER: _ClassVar[int]
    NEWEST_FIELD_NUMBER: _ClassVar[int]
    oldest: int
    newest: int
    def __init__(self, oldest: _Optional[int] = ..., newest: _Optional[int] = ...) -> None: ...

class ToHub(_message.Message):
    __slots__ = ("start", "peer", "homes", "move", "list_connections", "stop", "drain", "listen", "unlisten", "list_stacks", "list_actors", "adopt", "keep", "directory", "renew_tls", "describe", "list_heaviest")
    START_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    HOMES_FIELD_NUMBER: _ClassVar[int]
    MOVE_FIELD_NUMBER: _ClassVar[int]
    LIST_CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    LISTEN_FIELD_NUMBER: _ClassVar[int]
    UNLISTEN_FIELD_NUMBER: _ClassVar[int]
    LIST_STACKS_FIELD_NUMBER: _ClassVar[int]
    LIST_ACTORS_FIELD_NUMBER: _ClassVar[int]
    ADOPT_FIELD_NUMBER: _ClassVar[int]
    KEEP_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    RENEW_TLS_FIELD_NUMBER: _ClassVar[int]
    DESCRIBE_FIELD_NUMBER: _ClassVar[int]
    LIST_HEAVIEST_FIELD_NUMBER: _ClassVar[int]
    start: Start
    peer: Peer
    homes: Homes
    move: Move
    list_connections: ListConnections
    stop: Stop
    drain: Drain
    listen: Listen
    unlisten: Unlisten
    list_stacks: ListStacks
    list_actors: ListActors
    adopt: Adopt
    keep: Keep
    directory: Directory
    renew_tls: RenewTls
    describe: Describe
    list_heaviest: ListHeaviest
    def __init__(self, start: _Optional[_Union[Start, _Mapping]] = ..., peer: _Optional[_Union[Peer, _Mapping]] = ..., homes: _Optional[_Union[Homes, _Mapping]] = ..., move: _Optional[_Union[Move, _Mapping]] = ..., list_connections: _Optional[_Union[ListConnections, _Mapping]] = ..., stop: _Optional[_Union[Stop, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., listen: _Optional[_Union[Listen, _Mapping]] = ..., unlisten: _Optional[_Union[Unlisten, _Mapping]] = ..., list_stacks: _Optional[_Union[ListStacks, _Mapping]] = ..., list_actors: _Optional[_Union[ListActors, _Mapping]] = ..., adopt: _Optional[_Union[Adopt, _Mapping]] = ..., keep: _Optional[_Union[Keep, _Mapping]] = ..., directory: _Optional[_Union[Directory, _Mapping]] = ..., renew_tls: _Optional[_Union[RenewTls, _Mapping]] = ..., describe: _Optional[_Union[Describe, _Mapping]] = ..., list_heaviest: _Optional[_Union[ListHeaviest, _Mapping]] = ...) -> None: ...

class Adopt(_message.Message):
    __slots__ = ("hello",)
    HELLO_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ...) -> None: ...

class Start(_message.Message):
    __slots__ = ("hub", "serial", "app", "config", "acceptor", "addresses", "until", "move_every", "hello", "directory", "server", "secret")
    HUB_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    ACCEPTOR_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    MOVE_EVERY_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    hub: int
    serial: int
    app: str
    config: _struct_pb2.Struct
    acceptor: bool
    addresses: _containers.RepeatedCompositeFieldContainer[Address]
    until: float
    move_every: int
    hello: Hello
    directory: str
    server: bytes
    secret: bytes
    def __init__(self, hub: _Optional[int] = ..., serial: _Optional[int] = ..., app: _Optional[str] = ..., config: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., acceptor: bool = ..., addresses: _Optional[_Iterable[_Union[Address, _Mapping]]] = ..., until: _Optional[float] = ..., move_every: _Optional[int] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., directory: _Optional[str] = ..., server: _Optional[bytes] = ..., secret: _Optional[bytes] = ...) -> None: ...

class Address(_message.Message):
    __slots__ = ("shared", "tls")
    SHARED_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    shared: bool
    tls: bool
    def __init__(self, shared: bool = ..., tls: bool = ...) -> None: ...

class Peer(_message.Message):
    __slots__ = ("hub", "serial", "hello", "number", "states")
    class StatesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    HUB_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    hub: int
    serial: int
    hello: Hello
    number: int
    states: _containers.ScalarMap[str, int]
    def __init__(self, hub: _Optional[int] = ..., serial: _Optional[int] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., number: _Optional[int] = ..., states: _Optional[_Mapping[str, int]] = ...) -> None: ...

class Homes(_message.Message):
    __slots__ = ("version", "homes", "terms", "origins", "living")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HOMES_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    ORIGINS_FIELD_NUMBER: _ClassVar[int]
    LIVING_FIELD_NUMBER: _ClassVar[int]
    version: int
    homes: _containers.RepeatedScalarFieldContainer[int]
    terms: _containers.RepeatedScalarFieldContainer[int]
    origins: _containers.RepeatedCompositeFieldContainer[Origin]
    living: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, version: _Optional[int] = ..., homes: _Optional[_Iterable[int]] = ..., terms: _Optional[_Iterable[int]] = ..., origins: _Optional[_Iterable[_Union[Origin, _Mapping]]] = ..., living: _Optional[_Iterable[int]] = ...) -> None: ...

class Origin(_message.Message):
    __slots__ = ("hub", "slots")
    HUB_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    hub: int
    slots: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, hub: _Optional[int] = ..., slots: _Optional[_Iterable[int]] = ...) -> None: ...

class Directory(_message.Message):
    __slots__ = ("version", "homes", "silent")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HOMES_FIELD_NUMBER: _ClassVar[int]
    SILENT_FIELD_NUMBER: _ClassVar[int]
    version: int
    homes: _containers.RepeatedScalarFieldContainer[int]
    silent: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, version: _Optional[int] = ..., homes: _Optional[_Iterable[int]] = ..., silent: _Optional[_Iterable[int]] = ...) -> None: ...

class Move(_message.Message):
    __slots__ = ("request", "connection", "target", "until", "by")
    class Asker(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PERSON: _ClassVar[Move.Asker]
        POLICY: _ClassVar[Move.Asker]
    PERSON: Move.Asker
    POLICY: Move.Asker
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    request: int
    connection: str
    target: int
    until: float
    by: Move.Asker
    def __init__(self, request: _Optional[int] = ..., connection: _Optional[str] = ..., target: _Optional[int] = ..., until: _Optional[float] = ..., by: _Optional[_Union[Move.Asker, str]] = ...) -> None: ...

class ListConnections(_message.Message):
    __slots__ = ("request", "after")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    request: int
    after: int
    def __init__(self, request: _Optional[int] = ..., after: _Optional[int] = ...) -> None: ...

class ListActors(_message.Message):
    __slots__ = ("request", "after")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    request: int
    after: int
    def __init__(self, request: _Optional[int] = ..., after: _Optional[int] = ...) -> None: ...

class Describe(_message.Message):
    __slots__ = ("request", "id")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    request: int
    id: str
    def __init__(self, request: _Optional[int] = ..., id: _Optional[str] = ...) -> None: ...

class ListHeaviest(_message.Message):
    __slots__ = ("request", "limit", "match")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    MATCH_FIELD_NUMBER: _ClassVar[int]
    request: int
    limit: int
    match: str
    def __init__(self, request: _Optional[int] = ..., limit: _Optional[int] = ..., match: _Optional[str] = ...) -> None: ...

class ListStacks(_message.Message):
    __slots__ = ("request", "after")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    request: int
    after: int
    def __init__(self, request: _Optional[int] = ..., after: _Optional[int] = ...) -> None: ...

class Stop(_message.Message):
    __slots__ = ("drain_timeout",)
    DRAIN_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    drain_timeout: float
    def __init__(self, drain_timeout: _Optional[float] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ("targets", "within", "hold")
    class TargetsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    WITHIN_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    targets: _containers.ScalarMap[int, int]
    within: float
    hold: bool
    def __init__(self, targets: _Optional[_Mapping[int, int]] = ..., within: _Optional[float] = ..., hold: bool = ...) -> None: ...

class Listen(_message.Message):
    __slots__ = ("queue", "spread")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    SPREAD_FIELD_NUMBER: _ClassVar[int]
    queue: int
    spread: bool
    def __init__(self, queue: _Optional[int] = ..., spread: bool = ...) -> None: ...

class Keep(_message.Message):
    __slots__ = ("queue", "more")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    queue: int
    more: bool
    def __init__(self, queue: _Optional[int] = ..., more: bool = ...) -> None: ...

class Unlisten(_message.Message):
    __slots__ = ("queue",)
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    queue: int
    def __init__(self, queue: _Optional[int] = ...) -> None: ...

class RenewTls(_message.Message):
    __slots__ = ("request", "config")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    request: int
    config: _struct_pb2.Struct
    def __init__(self, request: _Optional[int] = ..., config: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ToBroker(_message.Message):
    __slots__ = ("ready", "load", "move_result", "connections", "moved", "stopping", "settled", "dumps", "stacks", "retiring", "unlinked", "adopted", "actors", "tls_renewed", "described", "heaviest")
    READY_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    MOVE_RESULT_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    STOPPING_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    DUMPS_FIELD_NUMBER: _ClassVar[int]
    STACKS_FIELD_NUMBER: _ClassVar[int]
    RETIRING_FIELD_NUMBER: _ClassVar[int]
    UNLINKED_FIELD_NUMBER: _ClassVar[int]
    ADOPTED_FIELD_NUMBER: _ClassVar[int]
    ACTORS_FIELD_NUMBER: _ClassVar[int]
    TLS_RENEWED_FIELD_NUMBER: _ClassVar[int]
    DESCRIBED_FIELD_NUMBER: _ClassVar[int]
    HEAVIEST_FIELD_NUMBER: _ClassVar[int]
    ready: Ready
    load: Load
    move_result: MoveResult
    connections: Connections
    moved: Moved
    stopping: Stopping
    settled: Settled
    dumps: Dumps
    stacks: Stacks
    retiring: Retiring
    unlinked: Unlinked
    adopted: Adopted
    actors: Actors
    tls_renewed: TlsRenewed
    described: Described
    heaviest: Heaviest
    def __init__(self, ready: _Optional[_Union[Ready, _Mapping]] = ..., load: _Optional[_Union[Load, _Mapping]] = ..., move_result: _Optional[_Union[MoveResult, _Mapping]] = ..., connections: _Optional[_Union[Connections, _Mapping]] = ..., moved: _Optional[_Union[Moved, _Mapping]] = ..., stopping: _Optional[_Union[Stopping, _Mapping]] = ..., settled: _Optional[_Union[Settled, _Mapping]] = ..., dumps: _Optional[_Union[Dumps, _Mapping]] = ..., stacks: _Optional[_Union[Stacks, _Mapping]] = ..., retiring: _Optional[_Union[Retiring, _Mapping]] = ..., unlinked: _Optional[_Union[Unlinked, _Mapping]] = ..., adopted: _Optional[_Union[Adopted, _Mapping]] = ..., actors: _Optional[_Union[Actors, _Mapping]] = ..., tls_renewed: _Optional[_Union[TlsRenewed, _Mapping]] = ..., described: _Optional[_Union[Described, _Mapping]] = ..., heaviest: _Optional[_Union[Heaviest, _Mapping]] = ...) -> None: ...

class Described(_message.Message):
    __slots__ = ("request", "connection", "actor", "rank", "count")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    request: int
    connection: Connection
    actor: KeyedActor
    rank: int
    count: int
    def __init__(self, request: _Optional[int] = ..., connection: _Optional[_Union[Connection, _Mapping]] = ..., actor: _Optional[_Union[KeyedActor, _Mapping]] = ..., rank: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class Heaviest(_message.Message):
    __slots__ = ("request", "connections", "actors", "more")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    ACTORS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    request: int
    connections: _containers.RepeatedCompositeFieldContainer[Connection]
    actors: _containers.RepeatedCompositeFieldContainer[KeyedActor]
    more: bool
    def __init__(self, request: _Optional[int] = ..., connections: _Optional[_Iterable[_Union[Connection, _Mapping]]] = ..., actors: _Optional[_Iterable[_Union[KeyedActor, _Mapping]]] = ..., more: bool = ...) -> None: ...

class TlsRenewed(_message.Message):
    __slots__ = ("request", "error")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    request: int
    error: str
    def __init__(self, request: _Optional[int] = ..., error: _Optional[str] = ...) -> None: ...

class Ready(_message.Message):
    __slots__ = ("error", "hello", "trace", "states", "keyed")
    class StatesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ERROR_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    KEYED_FIELD_NUMBER: _ClassVar[int]
    error: str
    hello: Hello
    trace: str
    states: _containers.ScalarMap[str, int]
    keyed: bool
    def __init__(self, error: _Optional[str] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., trace: _Optional[str] = ..., states: _Optional[_Mapping[str, int]] = ..., keyed: bool = ...) -> None: ...

class Adopted(_message.Message):
    __slots__ = ("error", "hello", "homes", "queues", "stopping", "draining", "retiring", "load", "states", "links", "keyed")
    class StatesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class LinksEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    ERROR_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    HOMES_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    STOPPING_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    RETIRING_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    KEYED_FIELD_NUMBER: _ClassVar[int]
    error: str
    hello: Hello
    homes: int
    queues: _containers.RepeatedCompositeFieldContainer[Queue]
    stopping: bool
    draining: bool
    retiring: bool
    load: Load
    states: _containers.ScalarMap[str, int]
    links: _containers.ScalarMap[int, int]
    keyed: bool
    def __init__(self, error: _Optional[str] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., homes: _Optional[int] = ..., queues: _Optional[_Iterable[_Union[Queue, _Mapping]]] = ..., stopping: bool = ..., draining: bool = ..., retiring: bool = ..., load: _Optional[_Union[Load, _Mapping]] = ..., states: _Optional[_Mapping[str, int]] = ..., links: _Optional[_Mapping[int, int]] = ..., keyed: bool = ...) -> None: ...

class Queue(_message.Message):
    __slots__ = ("number", "accepting")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ACCEPTING_FIELD_NUMBER: _ClassVar[int]
    number: int
    accepting: bool
    def __init__(self, number: _Optional[int] = ..., accepting: bool = ...) -> None: ...

class Dumps(_message.Message):
    __slots__ = ("signal",)
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    signal: int
    def __init__(self, signal: _Optional[int] = ...) -> None: ...

class Stacks(_message.Message):
    __slots__ = ("request", "stacks", "more")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    STACKS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    request: int
    stacks: _containers.RepeatedCompositeFieldContainer[Stack]
    more: int
    def __init__(self, request: _Optional[int] = ..., stacks: _Optional[_Iterable[_Union[Stack, _Mapping]]] = ..., more: _Optional[int] = ...) -> None: ...

class Stack(_message.Message):
    __slots__ = ("kind", "count", "runs", "connections", "frames")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        GREENLET: _ClassVar[Stack.Kind]
        THREAD: _ClassVar[Stack.Kind]
    GREENLET: Stack.Kind
    THREAD: Stack.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    kind: Stack.Kind
    count: int
    runs: str
    connections: _containers.RepeatedScalarFieldContainer[str]
    frames: _containers.RepeatedCompositeFieldContainer[Frame]
    def __init__(self, kind: _Optional[_Union[Stack.Kind, str]] = ..., count: _Optional[int] = ..., runs: _Optional[str] = ..., connections: _Optional[_Iterable[str]] = ..., frames: _Optional[_Iterable[_Union[Frame, _Mapping]]] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("file", "line", "function")
    FILE_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    file: str
    line: int
    function: str
    def __init__(self, file: _Optional[str] = ..., line: _Optional[int] = ..., function: _Optional[str] = ...) -> None: ...

class Stopping(_message.Message):
    __slots__ = ("left_behind",)
    LEFT_BEHIND_FIELD_NUMBER: _ClassVar[int]
    left_behind: LeftBehind
    def __init__(self, left_behind: _Optional[_Union[LeftBehind, _Mapping]] = ...) -> None: ...

class LeftBehind(_message.Message):
    __slots__ = ("count", "first")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    count: int
    first: _containers.RepeatedCompositeFieldContainer[Stay]
    def __init__(self, count: _Optional[int] = ..., first: _Optional[_Iterable[_Union[Stay, _Mapping]]] = ...) -> None: ...

class Stay(_message.Message):
    __slots__ = ("connection", "why")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    connection: str
    why: str
    def __init__(self, connection: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class Retiring(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Settled(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class Unlinked(_message.Message):
    __slots__ = ("serial", "number")
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    serial: int
    number: int
    def __init__(self, serial: _Optional[int] = ..., number: _Optional[int] = ...) -> None: ...

class Load(_message.Message):
    __slots__ = ("connections", "cpu", "lag_ms", "turns", "busy", "lag_p99_ms", "runnable", "memory", "unsent_bytes", "heaviest", "others", "groups", "crowded", "shared", "draining", "over_memory", "largest", "calls")
    class GroupsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    CPU_FIELD_NUMBER: _ClassVar[int]
    LAG_MS_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    BUSY_FIELD_NUMBER: _ClassVar[int]
    LAG_P99_MS_FIELD_NUMBER: _ClassVar[int]
    RUNNABLE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    UNSENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    HEAVIEST_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    CROWDED_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    OVER_MEMORY_FIELD_NUMBER: _ClassVar[int]
    LARGEST_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    connections: int
    cpu: float
    lag_ms: float
    turns: int
    busy: float
    lag_p99_ms: float
    runnable: int
    memory: int
    unsent_bytes: int
    heaviest: _containers.RepeatedCompositeFieldContainer[ConnectionLoad]
    others: _containers.RepeatedCompositeFieldContainer[ConnectionLoad]
    groups: _containers.ScalarMap[str, float]
    crowded: bool
    shared: SharedConnections
    draining: Draining
    over_memory: bool
    largest: _containers.RepeatedCompositeFieldContainer[ConnectionLoad]
    calls: int
    def __init__(self, connections: _Optional[int] = ..., cpu: _Optional[float] = ..., lag_ms: _Optional[float] = ..., turns: _Optional[int] = ..., busy: _Optional[float] = ..., lag_p99_ms: _Optional[float] = ..., runnable: _Optional[int] = ..., memory: _Optional[int] = ..., unsent_bytes: _Optional[int] = ..., heaviest: _Optional[_Iterable[_Union[ConnectionLoad, _Mapping]]] = ..., others: _Optional[_Iterable[_Union[ConnectionLoad, _Mapping]]] = ..., groups: _Optional[_Mapping[str, float]] = ..., crowded: bool = ..., shared: _Optional[_Union[SharedConnections, _Mapping]] = ..., draining: _Optional[_Union[Draining, _Mapping]] = ..., over_memory: bool = ..., largest: _Optional[_Iterable[_Union[ConnectionLoad, _Mapping]]] = ..., calls: _Optional[int] = ...) -> None: ...

class SharedConnections(_message.Message):
    __slots__ = ("connections", "calls", "refused", "first")
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    connections: int
    calls: int
    refused: int
    first: str
    def __init__(self, connections: _Optional[int] = ..., calls: _Optional[int] = ..., refused: _Optional[int] = ..., first: _Optional[str] = ...) -> None: ...

class Draining(_message.Message):
    __slots__ = ("left", "moved", "stays")
    class StaysEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    LEFT_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    STAYS_FIELD_NUMBER: _ClassVar[int]
    left: int
    moved: int
    stays: _containers.ScalarMap[str, int]
    def __init__(self, left: _Optional[int] = ..., moved: _Optional[int] = ..., stays: _Optional[_Mapping[str, int]] = ...) -> None: ...

class ConnectionLoad(_message.Message):
    __slots__ = ("id", "load", "recent", "state_bytes", "freeze_ms", "age", "why", "group", "move_ms", "too_heavy")
    ID_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    RECENT_FIELD_NUMBER: _ClassVar[int]
    STATE_BYTES_FIELD_NUMBER: _ClassVar[int]
    FREEZE_MS_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    MOVE_MS_FIELD_NUMBER: _ClassVar[int]
    TOO_HEAVY_FIELD_NUMBER: _ClassVar[int]
    id: str
    load: float
    recent: float
    state_bytes: int
    freeze_ms: float
    age: float
    why: str
    group: str
    move_ms: float
    too_heavy: bool
    def __init__(self, id: _Optional[str] = ..., load: _Optional[float] = ..., recent: _Optional[float] = ..., state_bytes: _Optional[int] = ..., freeze_ms: _Optional[float] = ..., age: _Optional[float] = ..., why: _Optional[str] = ..., group: _Optional[str] = ..., move_ms: _Optional[float] = ..., too_heavy: bool = ...) -> None: ...

class MoveResult(_message.Message):
    __slots__ = ("request", "outcome", "why", "of_connection")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MOVED: _ClassVar[MoveResult.Outcome]
        ABORTED: _ClassVar[MoveResult.Outcome]
        UNKNOWN_CONNECTION: _ClassVar[MoveResult.Outcome]
        UNKNOWN_HUB: _ClassVar[MoveResult.Outcome]
    MOVED: MoveResult.Outcome
    ABORTED: MoveResult.Outcome
    UNKNOWN_CONNECTION: MoveResult.Outcome
    UNKNOWN_HUB: MoveResult.Outcome
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    OF_CONNECTION_FIELD_NUMBER: _ClassVar[int]
    request: int
    outcome: MoveResult.Outcome
    why: str
    of_connection: bool
    def __init__(self, request: _Optional[int] = ..., outcome: _Optional[_Union[MoveResult.Outcome, str]] = ..., why: _Optional[str] = ..., of_connection: bool = ...) -> None: ...

class Moved(_message.Message):
    __slots__ = ("connection", "target", "aborted", "pause_ms", "of_connection")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ABORTED_FIELD_NUMBER: _ClassVar[int]
    PAUSE_MS_FIELD_NUMBER: _ClassVar[int]
    OF_CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: str
    target: int
    aborted: str
    pause_ms: float
    of_connection: bool
    def __init__(self, connection: _Optional[str] = ..., target: _Optional[int] = ..., aborted: _Optional[str] = ..., pause_ms: _Optional[float] = ..., of_connection: bool = ...) -> None: ...

class Connections(_message.Message):
    __slots__ = ("request", "connections", "more")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    request: int
    connections: _containers.RepeatedCompositeFieldContainer[Connection]
    more: int
    def __init__(self, request: _Optional[int] = ..., connections: _Optional[_Iterable[_Union[Connection, _Mapping]]] = ..., more: _Optional[int] = ...) -> None: ...

class Connection(_message.Message):
    __slots__ = ("id", "peer", "services", "calls", "state_bytes", "cpu", "movable", "why", "actors", "load", "freeze_ms", "age", "identities", "move_ms", "running", "recent", "moves", "awaits")
    class ActorsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    STATE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CPU_FIELD_NUMBER: _ClassVar[int]
    MOVABLE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    ACTORS_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    FREEZE_MS_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    IDENTITIES_FIELD_NUMBER: _ClassVar[int]
    MOVE_MS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    RECENT_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    AWAITS_FIELD_NUMBER: _ClassVar[int]
    id: str
    peer: str
    services: _containers.RepeatedScalarFieldContainer[str]
    calls: int
    state_bytes: int
    cpu: float
    movable: bool
    why: str
    actors: _containers.ScalarMap[str, float]
    load: float
    freeze_ms: float
    age: float
    identities: int
    move_ms: float
    running: float
    recent: float
    moves: int
    awaits: str
    def __init__(self, id: _Optional[str] = ..., peer: _Optional[str] = ..., services: _Optional[_Iterable[str]] = ..., calls: _Optional[int] = ..., state_bytes: _Optional[int] = ..., cpu: _Optional[float] = ..., movable: bool = ..., why: _Optional[str] = ..., actors: _Optional[_Mapping[str, float]] = ..., load: _Optional[float] = ..., freeze_ms: _Optional[float] = ..., age: _Optional[float] = ..., identities: _Optional[int] = ..., move_ms: _Optional[float] = ..., running: _Optional[float] = ..., recent: _Optional[float] = ..., moves: _Optional[int] = ..., awaits: _Optional[str] = ...) -> None: ...

class Actors(_message.Message):
    __slots__ = ("request", "actors", "more")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    ACTORS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    request: int
    actors: _containers.RepeatedCompositeFieldContainer[KeyedActor]
    more: int
    def __init__(self, request: _Optional[int] = ..., actors: _Optional[_Iterable[_Union[KeyedActor, _Mapping]]] = ..., more: _Optional[int] = ...) -> None: ...

class KeyedActor(_message.Message):
    __slots__ = ("service", "key", "calls", "state_bytes", "load", "movable", "why", "running", "move_ms", "age", "idle", "recent", "moves")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    STATE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    MOVABLE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    MOVE_MS_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    RECENT_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    service: str
    key: str
    calls: int
    state_bytes: int
    load: float
    movable: bool
    why: str
    running: float
    move_ms: float
    age: float
    idle: float
    recent: float
    moves: int
    def __init__(self, service: _Optional[str] = ..., key: _Optional[str] = ..., calls: _Optional[int] = ..., state_bytes: _Optional[int] = ..., load: _Optional[float] = ..., movable: bool = ..., why: _Optional[str] = ..., running: _Optional[float] = ..., move_ms: _Optional[float] = ..., age: _Optional[float] = ..., idle: _Optional[float] = ..., recent: _Optional[float] = ..., moves: _Optional[int] = ...) -> None: ...

class HubToHub(_message.Message):
    __slots__ = ("prepare", "prepared", "refused", "commit", "abort", "subscribe", "subscribed", "unsubscribe", "publish", "published", "deliver", "accepted", "taken", "declined", "occupancy", "rejoined", "handover", "received", "released", "invoke", "attach", "withdraw", "answer", "answered", "begun", "absent", "parted", "find_connection", "connection_found", "locate", "release_key", "transfer_key", "directory_answer")
    PREPARE_FIELD_NUMBER: _ClassVar[int]
    PREPARED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    ABORT_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBED_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    DELIVER_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    DECLINED_FIELD_NUMBER: _ClassVar[int]
    OCCUPANCY_FIELD_NUMBER: _ClassVar[int]
    REJOINED_FIELD_NUMBER: _ClassVar[int]
    HANDOVER_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    INVOKE_FIELD_NUMBER: _ClassVar[int]
    ATTACH_FIELD_NUMBER: _ClassVar[int]
    WITHDRAW_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    BEGUN_FIELD_NUMBER: _ClassVar[int]
    ABSENT_FIELD_NUMBER: _ClassVar[int]
    PARTED_FIELD_NUMBER: _ClassVar[int]
    FIND_CONNECTION_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FOUND_FIELD_NUMBER: _ClassVar[int]
    LOCATE_FIELD_NUMBER: _ClassVar[int]
    RELEASE_KEY_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_KEY_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_ANSWER_FIELD_NUMBER: _ClassVar[int]
    prepare: Prepare
    prepared: Prepared
    refused: Refused
    commit: Commit
    abort: Abort
    subscribe: Subscribe
    subscribed: Subscribed
    unsubscribe: Unsubscribe
    publish: Publish
    published: Published
    deliver: Deliver
    accepted: Accepted
    taken: Taken
    declined: Declined
    occupancy: Occupancy
    rejoined: Rejoined
    handover: Handover
    received: Received
    released: Released
    invoke: Invoke
    attach: Attach
    withdraw: Withdraw
    answer: Answer
    answered: Answered
    begun: Begun
    absent: Absent
    parted: Parted
    find_connection: FindConnection
    connection_found: ConnectionFound
    locate: Locate
    release_key: ReleaseKey
    transfer_key: TransferKey
    directory_answer: DirectoryAnswer
    def __init__(self, prepare: _Optional[_Union[Prepare, _Mapping]] = ..., prepared: _Optional[_Union[Prepared, _Mapping]] = ..., refused: _Optional[_Union[Refused, _Mapping]] = ..., commit: _Optional[_Union[Commit, _Mapping]] = ..., abort: _Optional[_Union[Abort, _Mapping]] = ..., subscribe: _Optional[_Union[Subscribe, _Mapping]] = ..., subscribed: _Optional[_Union[Subscribed, _Mapping]] = ..., unsubscribe: _Optional[_Union[Unsubscribe, _Mapping]] = ..., publish: _Optional[_Union[Publish, _Mapping]] = ..., published: _Optional[_Union[Published, _Mapping]] = ..., deliver: _Optional[_Union[Deliver, _Mapping]] = ..., accepted: _Optional[_Union[Accepted, _Mapping]] = ..., taken: _Optional[_Union[Taken, _Mapping]] = ..., declined: _Optional[_Union[Declined, _Mapping]] = ..., occupancy: _Optional[_Union[Occupancy, _Mapping]] = ..., rejoined: _Optional[_Union[Rejoined, _Mapping]] = ..., handover: _Optional[_Union[Handover, _Mapping]] = ..., received: _Optional[_Union[Received, _Mapping]] = ..., released: _Optional[_Union[Released, _Mapping]] = ..., invoke: _Optional[_Union[Invoke, _Mapping]] = ..., attach: _Optional[_Union[Attach, _Mapping]] = ..., withdraw: _Optional[_Union[Withdraw, _Mapping]] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ..., answered: _Optional[_Union[Answered, _Mapping]] = ..., begun: _Optional[_Union[Begun, _Mapping]] = ..., absent: _Optional[_Union[Absent, _Mapping]] = ..., parted: _Optional[_Union[Parted, _Mapping]] = ..., find_connection: _Optional[_Union[FindConnection, _Mapping]] = ..., connection_found: _Optional[_Union[ConnectionFound, _Mapping]] = ..., locate: _Optional[_Union[Locate, _Mapping]] = ..., release_key: _Optional[_Union[ReleaseKey, _Mapping]] = ..., transfer_key: _Optional[_Union[TransferKey, _Mapping]] = ..., directory_answer: _Optional[_Union[DirectoryAnswer, _Mapping]] = ...) -> None: ...

class Prepare(_message.Message):
    __slots__ = ("connection", "snapshot", "snapshot_bytes", "number", "epoch")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_BYTES_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    connection: str
    snapshot: bytes
    snapshot_bytes: int
    number: int
    epoch: int
    def __init__(self, connection: _Optional[str] = ..., snapshot: _Optional[bytes] = ..., snapshot_bytes: _Optional[int] = ..., number: _Optional[int] = ..., epoch: _Optional[int] = ...) -> None: ...

class Prepared(_message.Message):
    __slots__ = ("connection", "number")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    connection: str
    number: int
    def __init__(self, connection: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class Refused(_message.Message):
    __slots__ = ("connection", "why", "number")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    connection: str
    why: str
    number: int
    def __init__(self, connection: _Optional[str] = ..., why: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class Commit(_message.Message):
    __slots__ = ("connection", "number", "freezes")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    FREEZES_FIELD_NUMBER: _ClassVar[int]
    connection: str
    number: int
    freezes: int
    def __init__(self, connection: _Optional[str] = ..., number: _Optional[int] = ..., freezes: _Optional[int] = ...) -> None: ...

class Abort(_message.Message):
    __slots__ = ("connection", "why", "number")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    connection: str
    why: str
    number: int
    def __init__(self, connection: _Optional[str] = ..., why: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class Subscribe(_message.Message):
    __slots__ = ("topic", "epoch", "sequence", "term", "request")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    topic: str
    epoch: str
    sequence: int
    term: int
    request: int
    def __init__(self, topic: _Optional[str] = ..., epoch: _Optional[str] = ..., sequence: _Optional[int] = ..., term: _Optional[int] = ..., request: _Optional[int] = ...) -> None: ...

class Subscribed(_message.Message):
    __slots__ = ("topic", "epoch", "sequence", "head", "kept", "term", "request")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    topic: str
    epoch: str
    sequence: int
    head: int
    kept: int
    term: int
    request: int
    def __init__(self, topic: _Optional[str] = ..., epoch: _Optional[str] = ..., sequence: _Optional[int] = ..., head: _Optional[int] = ..., kept: _Optional[int] = ..., term: _Optional[int] = ..., request: _Optional[int] = ...) -> None: ...

class Unsubscribe(_message.Message):
    __slots__ = ("topic", "term")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    topic: str
    term: int
    def __init__(self, topic: _Optional[str] = ..., term: _Optional[int] = ...) -> None: ...

class Publish(_message.Message):
    __slots__ = ("topic", "request", "type", "payload", "term")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    topic: str
    request: int
    type: str
    payload: bytes
    term: int
    def __init__(self, topic: _Optional[str] = ..., request: _Optional[int] = ..., type: _Optional[str] = ..., payload: _Optional[bytes] = ..., term: _Optional[int] = ...) -> None: ...

class Published(_message.Message):
    __slots__ = ("request", "term")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    request: int
    term: int
    def __init__(self, request: _Optional[int] = ..., term: _Optional[int] = ...) -> None: ...

class Deliver(_message.Message):
    __slots__ = ("topic", "epoch", "sequence", "type", "payload", "term")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    topic: str
    epoch: str
    sequence: int
    type: str
    payload: bytes
    term: int
    def __init__(self, topic: _Optional[str] = ..., epoch: _Optional[str] = ..., sequence: _Optional[int] = ..., type: _Optional[str] = ..., payload: _Optional[bytes] = ..., term: _Optional[int] = ...) -> None: ...

class Rejoined(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class Handover(_message.Message):
    __slots__ = ("version", "logs", "last")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LOGS_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    version: int
    logs: _containers.RepeatedCompositeFieldContainer[HandedLog]
    last: bool
    def __init__(self, version: _Optional[int] = ..., logs: _Optional[_Iterable[_Union[HandedLog, _Mapping]]] = ..., last: bool = ...) -> None: ...

class HandedLog(_message.Message):
    __slots__ = ("topic", "epoch", "kept", "entries", "numbered")
    class NumberedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NUMBERED_FIELD_NUMBER: _ClassVar[int]
    topic: str
    epoch: str
    kept: int
    entries: _containers.RepeatedCompositeFieldContainer[HandedEntry]
    numbered: _containers.ScalarMap[int, int]
    def __init__(self, topic: _Optional[str] = ..., epoch: _Optional[str] = ..., kept: _Optional[int] = ..., entries: _Optional[_Iterable[_Union[HandedEntry, _Mapping]]] = ..., numbered: _Optional[_Mapping[int, int]] = ...) -> None: ...

class HandedEntry(_message.Message):
    __slots__ = ("type", "payload", "age")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    type: str
    payload: bytes
    age: float
    def __init__(self, type: _Optional[str] = ..., payload: _Optional[bytes] = ..., age: _Optional[float] = ...) -> None: ...

class Received(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class Released(_message.Message):
    __slots__ = ("version", "home", "partial", "forgotten")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    version: int
    home: int
    partial: bool
    forgotten: bool
    def __init__(self, version: _Optional[int] = ..., home: _Optional[int] = ..., partial: bool = ..., forgotten: bool = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ("number", "peer", "proxied", "tls")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    PROXIED_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    number: int
    peer: str
    proxied: _snapshot_pb2.Proxied
    tls: bool
    def __init__(self, number: _Optional[int] = ..., peer: _Optional[str] = ..., proxied: _Optional[_Union[_snapshot_pb2.Proxied, _Mapping]] = ..., tls: bool = ...) -> None: ...

class Taken(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class Declined(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class Occupancy(_message.Message):
    __slots__ = ("connections", "busy", "room", "gives", "stopping", "over_memory")
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    BUSY_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    GIVES_FIELD_NUMBER: _ClassVar[int]
    STOPPING_FIELD_NUMBER: _ClassVar[int]
    OVER_MEMORY_FIELD_NUMBER: _ClassVar[int]
    connections: int
    busy: float
    room: int
    gives: bool
    stopping: bool
    over_memory: bool
    def __init__(self, connections: _Optional[int] = ..., busy: _Optional[float] = ..., room: _Optional[int] = ..., gives: bool = ..., stopping: bool = ..., over_memory: bool = ...) -> None: ...

class Invoke(_message.Message):
    __slots__ = ("call", "service", "key", "method", "metadata", "time_remaining", "request", "identity", "context", "peer", "waiting", "caller", "one_way", "origin", "attempt", "client")
    CALL_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TIME_REMAINING_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    ONE_WAY_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    call: int
    service: str
    key: str
    method: str
    metadata: _containers.RepeatedScalarFieldContainer[str]
    time_remaining: float
    request: bytes
    identity: str
    context: _containers.RepeatedCompositeFieldContainer[Note]
    peer: str
    waiting: _containers.RepeatedScalarFieldContainer[str]
    caller: bytes
    one_way: bool
    origin: str
    attempt: int
    client: bytes
    def __init__(self, call: _Optional[int] = ..., service: _Optional[str] = ..., key: _Optional[str] = ..., method: _Optional[str] = ..., metadata: _Optional[_Iterable[str]] = ..., time_remaining: _Optional[float] = ..., request: _Optional[bytes] = ..., identity: _Optional[str] = ..., context: _Optional[_Iterable[_Union[Note, _Mapping]]] = ..., peer: _Optional[str] = ..., waiting: _Optional[_Iterable[str]] = ..., caller: _Optional[bytes] = ..., one_way: bool = ..., origin: _Optional[str] = ..., attempt: _Optional[int] = ..., client: _Optional[bytes] = ...) -> None: ...

class Note(_message.Message):
    __slots__ = ("key", "text", "data", "passed_on")
    KEY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    PASSED_ON_FIELD_NUMBER: _ClassVar[int]
    key: str
    text: str
    data: bytes
    passed_on: bool
    def __init__(self, key: _Optional[str] = ..., text: _Optional[str] = ..., data: _Optional[bytes] = ..., passed_on: bool = ...) -> None: ...

class Attach(_message.Message):
    __slots__ = ("call", "service", "key", "received", "moves")
    CALL_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    call: int
    service: str
    key: str
    received: int
    moves: int
    def __init__(self, call: _Optional[int] = ..., service: _Optional[str] = ..., key: _Optional[str] = ..., received: _Optional[int] = ..., moves: _Optional[int] = ...) -> None: ...

class Withdraw(_message.Message):
    __slots__ = ("call", "service", "key", "unknown")
    CALL_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    call: int
    service: str
    key: str
    unknown: bool
    def __init__(self, call: _Optional[int] = ..., service: _Optional[str] = ..., key: _Optional[str] = ..., unknown: bool = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("call", "number", "initial_metadata", "message", "end")
    CALL_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    INITIAL_METADATA_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    call: int
    number: int
    initial_metadata: Fields
    message: bytes
    end: End
    def __init__(self, call: _Optional[int] = ..., number: _Optional[int] = ..., initial_metadata: _Optional[_Union[Fields, _Mapping]] = ..., message: _Optional[bytes] = ..., end: _Optional[_Union[End, _Mapping]] = ...) -> None: ...

class Fields(_message.Message):
    __slots__ = ("fields",)
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, fields: _Optional[_Iterable[bytes]] = ...) -> None: ...

class End(_message.Message):
    __slots__ = ("status", "message", "trailing_metadata", "reply")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TRAILING_METADATA_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    status: int
    message: str
    trailing_metadata: Fields
    reply: bytes
    def __init__(self, status: _Optional[int] = ..., message: _Optional[str] = ..., trailing_metadata: _Optional[_Union[Fields, _Mapping]] = ..., reply: _Optional[bytes] = ...) -> None: ...

class Answered(_message.Message):
    __slots__ = ("calls", "numbers")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedScalarFieldContainer[int]
    numbers: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, calls: _Optional[_Iterable[int]] = ..., numbers: _Optional[_Iterable[int]] = ...) -> None: ...

class Begun(_message.Message):
    __slots__ = ("calls", "epochs")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedScalarFieldContainer[int]
    epochs: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, calls: _Optional[_Iterable[int]] = ..., epochs: _Optional[_Iterable[int]] = ...) -> None: ...

class Absent(_message.Message):
    __slots__ = ("call", "unknown", "attempt")
    CALL_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    call: int
    unknown: bool
    attempt: int
    def __init__(self, call: _Optional[int] = ..., unknown: bool = ..., attempt: _Optional[int] = ...) -> None: ...

class Parted(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FindConnection(_message.Message):
    __slots__ = ("request", "connection", "known")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    request: int
    connection: str
    known: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, request: _Optional[int] = ..., connection: _Optional[str] = ..., known: _Optional[_Iterable[int]] = ...) -> None: ...

class ConnectionFound(_message.Message):
    __slots__ = ("request", "here", "moved", "unknown", "others")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    HERE_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    request: int
    here: int
    moved: KeyOwner
    unknown: bool
    others: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, request: _Optional[int] = ..., here: _Optional[int] = ..., moved: _Optional[_Union[KeyOwner, _Mapping]] = ..., unknown: bool = ..., others: _Optional[_Iterable[int]] = ...) -> None: ...

class Locate(_message.Message):
    __slots__ = ("version", "request", "service", "key", "may_own")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    MAY_OWN_FIELD_NUMBER: _ClassVar[int]
    version: int
    request: int
    service: str
    key: str
    may_own: bool
    def __init__(self, version: _Optional[int] = ..., request: _Optional[int] = ..., service: _Optional[str] = ..., key: _Optional[str] = ..., may_own: bool = ...) -> None: ...

class ReleaseKey(_message.Message):
    __slots__ = ("version", "request", "service", "key", "epoch")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    version: int
    request: int
    service: str
    key: str
    epoch: int
    def __init__(self, version: _Optional[int] = ..., request: _Optional[int] = ..., service: _Optional[str] = ..., key: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class TransferKey(_message.Message):
    __slots__ = ("version", "request", "service", "key", "epoch", "to")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    version: int
    request: int
    service: str
    key: str
    epoch: int
    to: int
    def __init__(self, version: _Optional[int] = ..., request: _Optional[int] = ..., service: _Optional[str] = ..., key: _Optional[str] = ..., epoch: _Optional[int] = ..., to: _Optional[int] = ...) -> None: ...

class DirectoryAnswer(_message.Message):
    __slots__ = ("request", "owner", "nobody", "not_home", "refused", "failed")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    NOBODY_FIELD_NUMBER: _ClassVar[int]
    NOT_HOME_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    request: int
    owner: KeyOwner
    nobody: bool
    not_home: bool
    refused: str
    failed: str
    def __init__(self, request: _Optional[int] = ..., owner: _Optional[_Union[KeyOwner, _Mapping]] = ..., nobody: bool = ..., not_home: bool = ..., refused: _Optional[str] = ..., failed: _Optional[str] = ...) -> None: ...

class KeyOwner(_message.Message):
    __slots__ = ("hub", "epoch")
    HUB_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    hub: int
    epoch: int
    def __init__(self, hub: _Optional[int] = ..., epoch: _Optional[int] = ...) -> None: ...
