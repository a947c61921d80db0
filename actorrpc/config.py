"""The limits and times that a server keeps to, each with its default."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from actorrpc.errors import ConfigError
from actorrpc.pb import control_pb2

__all__ = ["Config"]


@dataclass(frozen=True)
class Config:
    """What a server is told. Sizes are in bytes, times in seconds."""

    #: Connections that one hub serves; more go to hubs with room, or wait in the listening socket's queue.
    #: 0: no limit.
    max_connections: int = 0
    #: How long a client waits while all hubs are full, before its calls end with UNAVAILABLE. Most clients
    #: wait 20 seconds for a connection, and would then not learn why they have none. 0: for ever.
    full_timeout: float = 10.0
    #: Open calls on one connection (SETTINGS_MAX_CONCURRENT_STREAMS, RFC 9113, 6.5.2).
    max_concurrent_streams: int = 1000
    #: The largest message a client may send, also once it is decompressed; gRPC's usual default.
    max_receive_message_bytes: int = 4 * 1024 * 1024
    #: What the incomplete messages of all calls of a connection may take; the call that exceeds it ends with
    #: RESOURCE_EXHAUSTED. One message of the largest size always may.
    max_incomplete_bytes: int = 64 * 1024 * 1024
    #: What the messages that handlers have may take, parsed (``actorrpc.weight``) and as they came: those of
    #: one connection, and those of a hub. The call that would exceed it ends with RESOURCE_EXHAUSTED; so does
    #: one with which its connection would have more of the hub's than it leaves. 0: no limit.
    max_parsed_bytes: int = 256 * 1024 * 1024
    max_parsed_hub_bytes: int = 1024 * 1024 * 1024
    #: Messages may be compressed, in both directions. A call that names an encoding ends with UNIMPLEMENTED
    #: otherwise.
    compression: bool = True
    #: The largest message that is sent; the call of a larger one ends. 0: no limit.
    max_send_message_bytes: int = 0
    #: What may wait on one call for the client's window, before the call ends with RESOURCE_EXHAUSTED.
    max_unsent_bytes: int = 8 * 1024 * 1024
    #: What may wait on all calls of a connection; the call that would exceed it ends so.
    max_unsent_connection_bytes: int = 64 * 1024 * 1024
    #: The largest header list (SETTINGS_MAX_HEADER_LIST_SIZE, counted as RFC 9113, 6.5.2 says).
    max_header_list_bytes: int = 16 * 1024
    #: Messages of one connection that may wait for their turns. Beyond it each call has one more; what else
    #: has come stays as bytes, for which no window is opened.
    max_mailbox: int = 10_000
    #: Identities of one connection that have actors at once; a call of one more ends with RESOURCE_EXHAUSTED.
    max_identities: int = 10_000
    #: An identity's actors end when it has had no call for so long: a proxy's connection outlives clients.
    #: 0: with the connection.
    identity_idle: float = 600.0
    #: What becomes of calls without an identity for the actors of a connection that several clients seem to
    #: share (docs/operate/proxies.md): they are served and counted, or end with FAILED_PRECONDITION.
    shared_connections: str = field(default="warn", metadata={"choices": ("warn", "refuse")})
    #: The largest snapshot that a connection may travel as; above it the connection stays where it is.
    max_state_bytes: int = 64 * 1024 * 1024
    #: What a client may waste of the hub's time, in about microseconds: at once, and in each second (see
    #: ``actorrpc.wire.flood``). A ``flood_burst`` of 0: no limit.
    flood_burst: int = 100_000
    flood_rate: int = 50_000
    #: How long a client may take to send its preface and SETTINGS. 0: for ever.
    handshake_timeout: float = 20.0
    #: A client that has been silent for so long is sent a PING, and closed if it stays silent for the
    #: timeout (gRFC A8). 0: never.
    keepalive_time: float = 7200.0
    keepalive_timeout: float = 20.0
    #: A client's own PINGs may not come faster, unless something was sent to it meanwhile: after three that
    #: do it gets GOAWAY "too_many_pings" (gRFC A8). 0: they may.
    permit_keepalive_time: float = 300.0
    #: They may come as fast while no call is open; else only every two hours.
    permit_keepalive_without_calls: bool = False
    #: A connection without calls for so long is ended with GOAWAY (gRFC A9). 0: never.
    max_connection_idle: float = 0.0
    #: A connection of that age, give or take a tenth, is ended with GOAWAY (gRFC A9). 0: never.
    max_connection_age: float = 0.0
    #: How long its open calls may then go on. 0: for ever.
    max_connection_age_grace: float = 0.0
    #: How long a freeze waits for running turns before the move is given up.
    quiesce_timeout: float = 1.0
    #: A policy's move may stop its two hubs for so long in all, by the source's estimate; one that a person
    #: asks for takes as long as it takes. 0: no limit.
    max_move_time: float = 0.05
    #: How long a hub's process may take until it serves, which is to import the app; then it is killed, and
    #: started again. 0: for ever.
    start_timeout: float = 120.0
    #: How long a stopping hub lets open calls run.
    drain_timeout: float = 5.0
    #: Flow-control window of a stream (SETTINGS_INITIAL_WINDOW_SIZE), at first and once it has grown: it
    #: grows while handlers take what comes as fast as the client sends.
    stream_window_bytes: int = 256 * 1024
    max_stream_window_bytes: int = 4 * 1024 * 1024
    #: Flow-control window of a connection, at first and once it has grown.
    connection_window_bytes: int = 4 * 1024 * 1024
    max_connection_window_bytes: int = 16 * 1024 * 1024

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            choices = each.metadata.get("choices")
            if choices is None:
                if value < 0:
                    raise ConfigError(f"{each.name} must not be negative: {value}")
            elif value not in choices:
                raise ConfigError(f"{each.name} must be {' or '.join(choices)}, not {value!r}")
        for window in ("stream_window_bytes", "connection_window_bytes"):
            for name in (window, f"max_{window}"):
                if not 65_535 <= getattr(self, name) < 2**31:
                    raise ConfigError(f"{name} must be from 65,535 to 2,147,483,647: {getattr(self, name)}")

    def to_message(self) -> control_pb2.Config:
        """As it travels from the broker to a hub."""
        return control_pb2.Config(**{each.name: getattr(self, each.name) for each in fields(self)})

    @classmethod
    def from_message(cls, message: control_pb2.Config) -> Config:
        return cls(**{each.name: getattr(message, each.name) for each in fields(cls)})
