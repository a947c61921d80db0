from actorrpc.pb import tls_pb2 as _tls_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConnectionSnapshot(_message.Message):
    __slots__ = ("format", "id", "peer", "session", "calls", "actors", "subscriptions", "turns", "moves", "age", "idle", "silent", "ping_unanswered", "max_age", "aged", "shutting_down", "taken_at", "load", "recent_load", "weighing_us", "freeze_ms", "caller", "shared_by", "keyed", "unsettled", "proxied", "tls", "secure", "clients")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    ACTORS_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    SILENT_FIELD_NUMBER: _ClassVar[int]
    PING_UNANSWERED_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_FIELD_NUMBER: _ClassVar[int]
    AGED_FIELD_NUMBER: _ClassVar[int]
    SHUTTING_DOWN_FIELD_NUMBER: _ClassVar[int]
    TAKEN_AT_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    RECENT_LOAD_FIELD_NUMBER: _ClassVar[int]
    WEIGHING_US_FIELD_NUMBER: _ClassVar[int]
    FREEZE_MS_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    SHARED_BY_FIELD_NUMBER: _ClassVar[int]
    KEYED_FIELD_NUMBER: _ClassVar[int]
    UNSETTLED_FIELD_NUMBER: _ClassVar[int]
    PROXIED_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    SECURE_FIELD_NUMBER: _ClassVar[int]
    CLIENTS_FIELD_NUMBER: _ClassVar[int]
    format: int
    id: str
    peer: str
    session: SessionSnapshot
    calls: _containers.RepeatedCompositeFieldContainer[CallSnapshot]
    actors: _containers.RepeatedCompositeFieldContainer[ActorSnapshot]
    subscriptions: _containers.RepeatedCompositeFieldContainer[SubscriptionSnapshot]
    turns: int
    moves: int
    age: float
    idle: float
    silent: float
    ping_unanswered: float
    max_age: float
    aged: bool
    shutting_down: float
    taken_at: float
    load: float
    recent_load: float
    weighing_us: int
    freeze_ms: float
    caller: bytes
    shared_by: str
    keyed: KeyedSnapshot
    unsettled: _containers.RepeatedCompositeFieldContainer[AnswersSnapshot]
    proxied: Proxied
    tls: _tls_pb2.TlsSnapshot
    secure: Secure
    clients: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, format: _Optional[int] = ..., id: _Optional[str] = ..., peer: _Optional[str] = ..., session: _Optional[_Union[SessionSnapshot, _Mapping]] = ..., calls: _Optional[_Iterable[_Union[CallSnapshot, _Mapping]]] = ..., actors: _Optional[_Iterable[_Union[ActorSnapshot, _Mapping]]] = ..., subscriptions: _Optional[_Iterable[_Union[SubscriptionSnapshot, _Mapping]]] = ..., turns: _Optional[int] = ..., moves: _Optional[int] = ..., age: _Optional[float] = ..., idle: _Optional[float] = ..., silent: _Optional[float] = ..., ping_unanswered: _Optional[float] = ..., max_age: _Optional[float] = ..., aged: bool = ..., shutting_down: _Optional[float] = ..., taken_at: _Optional[float] = ..., load: _Optional[float] = ..., recent_load: _Optional[float] = ..., weighing_us: _Optional[int] = ..., freeze_ms: _Optional[float] = ..., caller: _Optional[bytes] = ..., shared_by: _Optional[str] = ..., keyed: _Optional[_Union[KeyedSnapshot, _Mapping]] = ..., unsettled: _Optional[_Iterable[_Union[AnswersSnapshot, _Mapping]]] = ..., proxied: _Optional[_Union[Proxied, _Mapping]] = ..., tls: _Optional[_Union[_tls_pb2.TlsSnapshot, _Mapping]] = ..., secure: _Optional[_Union[Secure, _Mapping]] = ..., clients: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Secure(_message.Message):
    __slots__ = ("version", "cipher", "server_name", "peer_certificate", "intermediates", "admitted_by")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CIPHER_FIELD_NUMBER: _ClassVar[int]
    SERVER_NAME_FIELD_NUMBER: _ClassVar[int]
    PEER_CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    INTERMEDIATES_FIELD_NUMBER: _ClassVar[int]
    ADMITTED_BY_FIELD_NUMBER: _ClassVar[int]
    version: str
    cipher: str
    server_name: str
    peer_certificate: bytes
    intermediates: _containers.RepeatedScalarFieldContainer[bytes]
    admitted_by: bytes
    def __init__(self, version: _Optional[str] = ..., cipher: _Optional[str] = ..., server_name: _Optional[str] = ..., peer_certificate: _Optional[bytes] = ..., intermediates: _Optional[_Iterable[bytes]] = ..., admitted_by: _Optional[bytes] = ...) -> None: ...

class ClientFacts(_message.Message):
    __slots__ = ("secure", "proxied")
    SECURE_FIELD_NUMBER: _ClassVar[int]
    PROXIED_FIELD_NUMBER: _ClassVar[int]
    secure: Secure
    proxied: Proxied
    def __init__(self, secure: _Optional[_Union[Secure, _Mapping]] = ..., proxied: _Optional[_Union[Proxied, _Mapping]] = ...) -> None: ...

class Proxied(_message.Message):
    __slots__ = ("authority", "alpn", "unique_id", "tls", "tls_version", "cipher", "certificate", "verified", "common_name")
    AUTHORITY_FIELD_NUMBER: _ClassVar[int]
    ALPN_FIELD_NUMBER: _ClassVar[int]
    UNIQUE_ID_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    TLS_VERSION_FIELD_NUMBER: _ClassVar[int]
    CIPHER_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    COMMON_NAME_FIELD_NUMBER: _ClassVar[int]
    authority: str
    alpn: bytes
    unique_id: bytes
    tls: bool
    tls_version: str
    cipher: str
    certificate: bool
    verified: bool
    common_name: str
    def __init__(self, authority: _Optional[str] = ..., alpn: _Optional[bytes] = ..., unique_id: _Optional[bytes] = ..., tls: bool = ..., tls_version: _Optional[str] = ..., cipher: _Optional[str] = ..., certificate: bool = ..., verified: bool = ..., common_name: _Optional[str] = ...) -> None: ...

class SessionSnapshot(_message.Message):
    __slots__ = ("partial_input", "unsent_output", "preface_left", "settings_received", "hpack_entries", "hpack_max_size", "continuation_stream", "continuation_end_stream", "continuation_block", "send_window", "receive_window", "receive_unacknowledged", "peer_initial_window", "peer_max_frame_size", "last_stream", "goaway_sent", "last_refused", "goaway_received", "streams", "heads", "held", "waiting", "goaway_ping_sent", "flood_spent", "flood_unsettled", "free_updates", "ping_strikes", "last_ping", "window", "table_announced", "reset_streams")
    PARTIAL_INPUT_FIELD_NUMBER: _ClassVar[int]
    UNSENT_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    PREFACE_LEFT_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    HPACK_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    HPACK_MAX_SIZE_FIELD_NUMBER: _ClassVar[int]
    CONTINUATION_STREAM_FIELD_NUMBER: _ClassVar[int]
    CONTINUATION_END_STREAM_FIELD_NUMBER: _ClassVar[int]
    CONTINUATION_BLOCK_FIELD_NUMBER: _ClassVar[int]
    SEND_WINDOW_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_WINDOW_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_UNACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    PEER_INITIAL_WINDOW_FIELD_NUMBER: _ClassVar[int]
    PEER_MAX_FRAME_SIZE_FIELD_NUMBER: _ClassVar[int]
    LAST_STREAM_FIELD_NUMBER: _ClassVar[int]
    GOAWAY_SENT_FIELD_NUMBER: _ClassVar[int]
    LAST_REFUSED_FIELD_NUMBER: _ClassVar[int]
    GOAWAY_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    GOAWAY_PING_SENT_FIELD_NUMBER: _ClassVar[int]
    FLOOD_SPENT_FIELD_NUMBER: _ClassVar[int]
    FLOOD_UNSETTLED_FIELD_NUMBER: _ClassVar[int]
    FREE_UPDATES_FIELD_NUMBER: _ClassVar[int]
    PING_STRIKES_FIELD_NUMBER: _ClassVar[int]
    LAST_PING_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    TABLE_ANNOUNCED_FIELD_NUMBER: _ClassVar[int]
    RESET_STREAMS_FIELD_NUMBER: _ClassVar[int]
    partial_input: bytes
    unsent_output: bytes
    preface_left: int
    settings_received: bool
    hpack_entries: _containers.RepeatedScalarFieldContainer[str]
    hpack_max_size: int
    continuation_stream: int
    continuation_end_stream: bool
    continuation_block: bytes
    send_window: int
    receive_window: int
    receive_unacknowledged: int
    peer_initial_window: int
    peer_max_frame_size: int
    last_stream: int
    goaway_sent: bool
    last_refused: int
    goaway_received: bool
    streams: _containers.RepeatedCompositeFieldContainer[StreamSnapshot]
    heads: _containers.RepeatedScalarFieldContainer[bytes]
    held: int
    waiting: int
    goaway_ping_sent: bool
    flood_spent: float
    flood_unsettled: int
    free_updates: int
    ping_strikes: int
    last_ping: float
    window: int
    table_announced: bool
    reset_streams: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, partial_input: _Optional[bytes] = ..., unsent_output: _Optional[bytes] = ..., preface_left: _Optional[int] = ..., settings_received: bool = ..., hpack_entries: _Optional[_Iterable[str]] = ..., hpack_max_size: _Optional[int] = ..., continuation_stream: _Optional[int] = ..., continuation_end_stream: bool = ..., continuation_block: _Optional[bytes] = ..., send_window: _Optional[int] = ..., receive_window: _Optional[int] = ..., receive_unacknowledged: _Optional[int] = ..., peer_initial_window: _Optional[int] = ..., peer_max_frame_size: _Optional[int] = ..., last_stream: _Optional[int] = ..., goaway_sent: bool = ..., last_refused: _Optional[int] = ..., goaway_received: bool = ..., streams: _Optional[_Iterable[_Union[StreamSnapshot, _Mapping]]] = ..., heads: _Optional[_Iterable[bytes]] = ..., held: _Optional[int] = ..., waiting: _Optional[int] = ..., goaway_ping_sent: bool = ..., flood_spent: _Optional[float] = ..., flood_unsettled: _Optional[int] = ..., free_updates: _Optional[int] = ..., ping_strikes: _Optional[int] = ..., last_ping: _Optional[float] = ..., window: _Optional[int] = ..., table_announced: bool = ..., reset_streams: _Optional[_Iterable[int]] = ...) -> None: ...

class StreamSnapshot(_message.Message):
    __slots__ = ("id", "head", "remote_closed", "headers_sent", "send_window", "receive_window", "receive_unacknowledged", "partial_message", "unsent", "trailers", "held", "window", "encoding", "body_left", "work")
    ID_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    REMOTE_CLOSED_FIELD_NUMBER: _ClassVar[int]
    HEADERS_SENT_FIELD_NUMBER: _ClassVar[int]
    SEND_WINDOW_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_WINDOW_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_UNACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    UNSENT_FIELD_NUMBER: _ClassVar[int]
    TRAILERS_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    BODY_LEFT_FIELD_NUMBER: _ClassVar[int]
    WORK_FIELD_NUMBER: _ClassVar[int]
    id: int
    head: int
    remote_closed: bool
    headers_sent: bool
    send_window: int
    receive_window: int
    receive_unacknowledged: int
    partial_message: bytes
    unsent: bytes
    trailers: bytes
    held: int
    window: int
    encoding: str
    body_left: int
    work: int
    def __init__(self, id: _Optional[int] = ..., head: _Optional[int] = ..., remote_closed: bool = ..., headers_sent: bool = ..., send_window: _Optional[int] = ..., receive_window: _Optional[int] = ..., receive_unacknowledged: _Optional[int] = ..., partial_message: _Optional[bytes] = ..., unsent: _Optional[bytes] = ..., trailers: _Optional[bytes] = ..., held: _Optional[int] = ..., window: _Optional[int] = ..., encoding: _Optional[str] = ..., body_left: _Optional[int] = ..., work: _Optional[int] = ...) -> None: ...

class CallSnapshot(_message.Message):
    __slots__ = ("stream", "time_remaining", "cursor", "held", "held_end", "request", "initial_metadata", "trailing_metadata", "held_compressed", "request_compressed", "origin", "compression", "context", "unadmitted", "identity", "begun", "parsed", "relay", "answers", "incoming", "client")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    TIME_REMAINING_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    HELD_END_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    INITIAL_METADATA_FIELD_NUMBER: _ClassVar[int]
    TRAILING_METADATA_FIELD_NUMBER: _ClassVar[int]
    HELD_COMPRESSED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_COMPRESSED_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    UNADMITTED_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    BEGUN_FIELD_NUMBER: _ClassVar[int]
    PARSED_FIELD_NUMBER: _ClassVar[int]
    RELAY_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    INCOMING_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    stream: int
    time_remaining: float
    cursor: bytes
    held: _containers.RepeatedScalarFieldContainer[bytes]
    held_end: bool
    request: bytes
    initial_metadata: _containers.RepeatedScalarFieldContainer[bytes]
    trailing_metadata: _containers.RepeatedScalarFieldContainer[bytes]
    held_compressed: _containers.RepeatedScalarFieldContainer[bool]
    request_compressed: bool
    origin: TurnSnapshot
    compression: str
    context: _containers.RepeatedCompositeFieldContainer[ContextEntry]
    unadmitted: bool
    identity: str
    begun: bool
    parsed: int
    relay: RelaySnapshot
    answers: AnswersSnapshot
    incoming: bool
    client: int
    def __init__(self, stream: _Optional[int] = ..., time_remaining: _Optional[float] = ..., cursor: _Optional[bytes] = ..., held: _Optional[_Iterable[bytes]] = ..., held_end: bool = ..., request: _Optional[bytes] = ..., initial_metadata: _Optional[_Iterable[bytes]] = ..., trailing_metadata: _Optional[_Iterable[bytes]] = ..., held_compressed: _Optional[_Iterable[bool]] = ..., request_compressed: bool = ..., origin: _Optional[_Union[TurnSnapshot, _Mapping]] = ..., compression: _Optional[str] = ..., context: _Optional[_Iterable[_Union[ContextEntry, _Mapping]]] = ..., unadmitted: bool = ..., identity: _Optional[str] = ..., begun: bool = ..., parsed: _Optional[int] = ..., relay: _Optional[_Union[RelaySnapshot, _Mapping]] = ..., answers: _Optional[_Union[AnswersSnapshot, _Mapping]] = ..., incoming: bool = ..., client: _Optional[int] = ...) -> None: ...

class AnswersSnapshot(_message.Message):
    __slots__ = ("call", "caller", "head", "peer", "number", "kept", "over", "headers_sent", "calling", "waiting", "one_way", "origin", "caller_moves", "identity")
    CALL_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    OVER_FIELD_NUMBER: _ClassVar[int]
    HEADERS_SENT_FIELD_NUMBER: _ClassVar[int]
    CALLING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    ONE_WAY_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CALLER_MOVES_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    call: int
    caller: int
    head: bytes
    peer: str
    number: int
    kept: _containers.RepeatedScalarFieldContainer[bytes]
    over: bool
    headers_sent: bool
    calling: bytes
    waiting: _containers.RepeatedScalarFieldContainer[str]
    one_way: bool
    origin: str
    caller_moves: int
    identity: str
    def __init__(self, call: _Optional[int] = ..., caller: _Optional[int] = ..., head: _Optional[bytes] = ..., peer: _Optional[str] = ..., number: _Optional[int] = ..., kept: _Optional[_Iterable[bytes]] = ..., over: bool = ..., headers_sent: bool = ..., calling: _Optional[bytes] = ..., waiting: _Optional[_Iterable[str]] = ..., one_way: bool = ..., origin: _Optional[str] = ..., caller_moves: _Optional[int] = ..., identity: _Optional[str] = ...) -> None: ...

class KeyedSnapshot(_message.Message):
    __slots__ = ("service", "key", "epoch", "unsettled", "origin")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    UNSETTLED_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    service: str
    key: str
    epoch: int
    unsettled: _containers.RepeatedCompositeFieldContainer[AnswersSnapshot]
    origin: str
    def __init__(self, service: _Optional[str] = ..., key: _Optional[str] = ..., epoch: _Optional[int] = ..., unsettled: _Optional[_Iterable[_Union[AnswersSnapshot, _Mapping]]] = ..., origin: _Optional[str] = ...) -> None: ...

class RelaySnapshot(_message.Message):
    __slots__ = ("call", "service", "key", "hub", "received", "moves")
    CALL_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    HUB_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    call: int
    service: str
    key: str
    hub: int
    received: int
    moves: int
    def __init__(self, call: _Optional[int] = ..., service: _Optional[str] = ..., key: _Optional[str] = ..., hub: _Optional[int] = ..., received: _Optional[int] = ..., moves: _Optional[int] = ...) -> None: ...

class EndedCall(_message.Message):
    __slots__ = ("call", "head", "status", "message", "cancelled")
    CALL_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    call: CallSnapshot
    head: bytes
    status: int
    message: bytes
    cancelled: bool
    def __init__(self, call: _Optional[_Union[CallSnapshot, _Mapping]] = ..., head: _Optional[bytes] = ..., status: _Optional[int] = ..., message: _Optional[bytes] = ..., cancelled: bool = ...) -> None: ...

class ContextEntry(_message.Message):
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

class ActorSnapshot(_message.Message):
    __slots__ = ("service", "state", "connected", "state_version", "mailbox", "concurrent", "identity", "idle", "ended")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    STATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    MAILBOX_FIELD_NUMBER: _ClassVar[int]
    CONCURRENT_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    service: str
    state: bytes
    connected: bool
    state_version: int
    mailbox: _containers.RepeatedCompositeFieldContainer[TurnSnapshot]
    concurrent: _containers.RepeatedCompositeFieldContainer[TurnSnapshot]
    identity: str
    idle: float
    ended: _containers.RepeatedCompositeFieldContainer[EndedCall]
    def __init__(self, service: _Optional[str] = ..., state: _Optional[bytes] = ..., connected: bool = ..., state_version: _Optional[int] = ..., mailbox: _Optional[_Iterable[_Union[TurnSnapshot, _Mapping]]] = ..., concurrent: _Optional[_Iterable[_Union[TurnSnapshot, _Mapping]]] = ..., identity: _Optional[str] = ..., idle: _Optional[float] = ..., ended: _Optional[_Iterable[_Union[EndedCall, _Mapping]]] = ...) -> None: ...

class TurnSnapshot(_message.Message):
    __slots__ = ("kind", "stream", "payload", "topic", "type", "compressed")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REQUEST: _ClassVar[TurnSnapshot.Kind]
        MESSAGE: _ClassVar[TurnSnapshot.Kind]
        END: _ClassVar[TurnSnapshot.Kind]
        TOPIC: _ClassVar[TurnSnapshot.Kind]
        HELD: _ClassVar[TurnSnapshot.Kind]
        CALL_END: _ClassVar[TurnSnapshot.Kind]
    REQUEST: TurnSnapshot.Kind
    MESSAGE: TurnSnapshot.Kind
    END: TurnSnapshot.Kind
    TOPIC: TurnSnapshot.Kind
    HELD: TurnSnapshot.Kind
    CALL_END: TurnSnapshot.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    COMPRESSED_FIELD_NUMBER: _ClassVar[int]
    kind: TurnSnapshot.Kind
    stream: int
    payload: bytes
    topic: str
    type: str
    compressed: bool
    def __init__(self, kind: _Optional[_Union[TurnSnapshot.Kind, str]] = ..., stream: _Optional[int] = ..., payload: _Optional[bytes] = ..., topic: _Optional[str] = ..., type: _Optional[str] = ..., compressed: bool = ...) -> None: ...

class SubscriptionSnapshot(_message.Message):
    __slots__ = ("topic", "stream", "service", "epoch", "sequence", "identity")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    topic: str
    stream: int
    service: str
    epoch: str
    sequence: int
    identity: str
    def __init__(self, topic: _Optional[str] = ..., stream: _Optional[int] = ..., service: _Optional[str] = ..., epoch: _Optional[str] = ..., sequence: _Optional[int] = ..., identity: _Optional[str] = ...) -> None: ...
