"""The limits and times that a server keeps to, each with its default."""

from __future__ import annotations

from dataclasses import dataclass, fields

from actorrpc.errors import ConfigError
from actorrpc.pb import control_pb2

__all__ = ["Config"]


@dataclass(frozen=True)
class Config:
    """What a server is told. Sizes are in bytes, times in seconds."""

    #: Connections that one hub serves; more wait in the listening socket's queue. 0: no limit.
    max_connections: int = 0
    #: Open calls on one connection (SETTINGS_MAX_CONCURRENT_STREAMS, RFC 9113, 6.5.2).
    max_concurrent_streams: int = 1000
    #: The largest message a client may send; gRPC's usual default.
    max_receive_message_bytes: int = 4 * 1024 * 1024
    #: What may wait on one call for the client's window, before the call ends with RESOURCE_EXHAUSTED.
    max_unsent_bytes: int = 8 * 1024 * 1024
    #: The largest header list (SETTINGS_MAX_HEADER_LIST_SIZE, counted as RFC 9113, 6.5.2 says).
    max_header_list_bytes: int = 16 * 1024
    #: The largest snapshot that a connection may travel as; above it the connection stays where it is.
    max_state_bytes: int = 64 * 1024 * 1024
    #: How long a freeze waits for running turns before the move is given up.
    quiesce_timeout: float = 1.0
    #: How long a stopping hub lets open calls run.
    drain_timeout: float = 5.0
    #: Move each connection to the next hub after this many turns; a test's tool. 0: never.
    move_every: int = 0
    #: Flow-control window of a stream (SETTINGS_INITIAL_WINDOW_SIZE).
    stream_window_bytes: int = 256 * 1024
    #: Flow-control window of a connection.
    connection_window_bytes: int = 4 * 1024 * 1024

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 0:
                raise ConfigError(f"{field.name} must not be negative: {getattr(self, field.name)}")
        for name in ("stream_window_bytes", "connection_window_bytes"):
            if not 65_535 <= getattr(self, name) < 2**31:
                raise ConfigError(f"{name} must be from 65,535 to 2,147,483,647: {getattr(self, name)}")

    def to_message(self) -> control_pb2.Config:
        """As it travels from the broker to a hub."""
        return control_pb2.Config(**{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def from_message(cls, message: control_pb2.Config) -> Config:
        return cls(**{field.name: getattr(message, field.name) for field in fields(cls)})
