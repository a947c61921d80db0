"""The limits and times that a server keeps to, each with its default, and what it is for."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from ipaddress import ip_network
from typing import Any

from google.protobuf.struct_pb2 import Struct

from actorrpc.errors import ConfigError
from actorrpc.settings import Setting, optional, setting
from actorrpc.tls.handshake.settings import CLIENTS, VERSIONS, Tls

__all__ = ["Config", "settings"]

_KB, _MB = 1024, 1024 * 1024

#: What a limit may be that may exceed 4 GB: a ``Struct`` has numbers as doubles, which are exact up to here.
_LARGEST = 2**53


def _size(default: int, help: str, *, most: int | None = None) -> int:
    return setting(default, help, unit="bytes", most=most)


def _source_fits(text: str) -> None:
    if text != "unix":
        try:
            ip_network(text)
        except ValueError as error:
            raise ValueError(f"{error}; write an address, a network such as 10.0.0.0/8, or unix") from None


def _window(default: int, help: str) -> int:
    """A window of flow control. Clients begin with 65,535 bytes, and none is made smaller (RFC 9113, 6.9)."""
    return setting(default, help, unit="bytes", least=65_535, most=2**31 - 1)


@dataclass(frozen=True)
class Config:
    """What a server is told. Sizes are in bytes, times in seconds.

    Raises ConfigError for a value that a setting cannot have.
    """

    # fmt: off
    max_connections: int = setting(0,
        "Connections that one hub serves; more go to hubs with room, or wait in the listening socket's "
        "queue. 0: no limit.")
    # Most clients wait 20 seconds for a connection, and would then not learn why they have none.
    full_timeout: float = setting(10.0,
        "How long a client waits while all hubs are full, before its calls end with UNAVAILABLE. 0: for "
        "ever.")
    max_concurrent_streams: int = setting(1000,
        "Open calls on one connection (SETTINGS_MAX_CONCURRENT_STREAMS); more get REFUSED_STREAM, which "
        "clients may retry.")
    # gRPC's usual default.
    max_receive_message_bytes: int = _size(4 * _MB,
        "The largest message a client may send, also once it is decompressed; the call of a larger one ends "
        "with RESOURCE_EXHAUSTED.")
    max_incomplete_bytes: int = _size(64 * _MB,
        "What the incomplete messages of all calls of a connection may take; the call that exceeds it ends "
        "with RESOURCE_EXHAUSTED. One message of the largest size always may.")
    # ``actorrpc.hub.metering.weight`` tells what they take.
    max_parsed_bytes: int = _size(256 * _MB,
        "What the messages that a connection's handlers have may take, parsed and as they came; the call "
        "that would exceed it ends with RESOURCE_EXHAUSTED. 0: no limit.", most=_LARGEST)
    max_parsed_hub_bytes: int = _size(1024 * _MB,
        "The same for all connections of a hub, of which each may have as much as it leaves to the others. "
        "0: no limit.", most=_LARGEST)
    compression: bool = setting(True,
        "Take compressed messages, and let handlers send them. Without it, a call that names an encoding "
        "ends with UNIMPLEMENTED.")
    max_send_message_bytes: int = _size(0,
        "The largest message that is sent, counted after compression; the call of a larger one ends with "
        "RESOURCE_EXHAUSTED. 0: no limit.")
    max_unsent_bytes: int = _size(8 * _MB,
        "What may wait on one call for the client's window; a call that exceeds it ends with "
        "RESOURCE_EXHAUSTED.")
    max_unsent_connection_bytes: int = _size(64 * _MB,
        "What may wait on all calls of a connection; the call that would exceed it ends with "
        "RESOURCE_EXHAUSTED.")
    # Counted as RFC 9113, 6.5.2 says.
    max_header_list_bytes: int = _size(16 * _KB,
        "The largest header list (SETTINGS_MAX_HEADER_LIST_SIZE), of trailers too; the call of a larger one "
        "ends with RESOURCE_EXHAUSTED.")
    max_mailbox: int = setting(10_000,
        "Messages of one connection that may wait for their turns; beyond it each call has one more, and "
        "the rest stays as bytes in its window.")
    # One that is idle has some 4 kB.
    max_actors: int = setting(100_000,
        "Keyed actors that live in one hub at once; a call that needs one more ends with RESOURCE_EXHAUSTED. "
        "0: no limit.")
    max_identities: int = setting(10_000,
        "Identities of one connection that have actors at once; a call of one more ends with "
        "RESOURCE_EXHAUSTED.")
    # A proxy's connection outlives clients.
    identity_idle: float = setting(600.0,
        "An identity's actors end when it has had no call for so long. 0: with the connection.")
    shared_connections: str = setting("warn",
        "What becomes of calls without an identity for the actors of a connection that several clients seem "
        "to share: they are served and counted, or end with FAILED_PRECONDITION.", choices=("warn", "refuse"))
    # What is freed is not always given back, so it is no limit that could refuse anything.
    max_memory: int = _size(0,
        "Resident memory of a hub's process beyond which new connections go to other hubs, and some of its "
        "own are moved there. 0: no limit.", most=_LARGEST)
    max_state_bytes: int = _size(64 * _MB,
        "The largest snapshot that a connection may travel as; a connection with a larger one stays where "
        "it is.", most=_LARGEST)
    # ``actorrpc.wire.flood`` keeps the budget; its unit is about a microsecond.
    flood_burst: int = setting(100_000,
        "How much of the hub's time a client may waste at once (PINGs, resets, refused calls). 0: no limit.",
        unit="microseconds")
    flood_rate: int = setting(50_000,
        "How much of the hub's time a client may waste in each second.", unit="microseconds")
    handshake_timeout: float = setting(20.0,
        "How long a client may take to send its preface and SETTINGS, and before that for a TLS handshake, "
        "before "
        "it is closed. 0: for ever.")
    # Keepalive: gRFC A8.
    keepalive_time: float = setting(7200.0,
        "A client that has been silent for so long is sent a PING. 0: never.")
    keepalive_timeout: float = setting(20.0,
        "How long it may stay silent after the PING, before it is closed.")
    permit_keepalive_time: float = setting(300.0,
        "A client's own PINGs may not come faster, unless something was sent to it meanwhile: the third "
        'that does ends the connection with GOAWAY "too_many_pings". 0: they may.')
    permit_keepalive_without_calls: bool = setting(False,
        "Let clients without open calls send PINGs as often; otherwise they may send one every two hours.")
    # Idleness and age: gRFC A9.
    max_connection_idle: float = setting(0.0,
        "A connection without calls for so long is ended with GOAWAY. 0: never.")
    max_connection_age: float = setting(0.0,
        "A connection of this age, give or take a tenth, is ended with GOAWAY. 0: never.")
    max_connection_age_grace: float = setting(0.0,
        "How long its open calls may then go on, before they end with UNAVAILABLE. 0: for ever.")
    quiesce_timeout: float = setting(1.0, "How long a move waits for running turns, before it is given up.")
    max_move_time: float = setting(0.05,
        "For how long a policy's move may stop its two hubs, in all, by the source's estimate; a heavier "
        "connection stays, unless a person moves it. 0: no limit.")
    proxy_protocol: tuple[str, ...] = setting((),
        "Clients at this address or network (CIDR) are proxies, and begin with a PROXY header; `unix`: those "
        "of unix sockets. May be given several times.", metavar="CIDR", unset="nobody", fits=_source_fits)
    # What of it does not go together, ``tls`` says. Files are read by each hub when it starts, and when it
    # is told to.
    tls_cert: tuple[str, ...] = setting((),
        "A file with a TLS certificate, and with those that lead from it to its CA, in PEM. May be given "
        "several times: a client's server name chooses, and the first is for everybody else.",
        metavar="FILE", unset="none")
    tls_key: tuple[str, ...] = setting((),
        "The file with its key, in PEM, without a password; as often as --tls-cert, and in the same order.",
        metavar="FILE", unset="none")
    tls_client_ca: str | None = optional(str,
        "A file with the CAs, in PEM, whose clients are admitted.", "none", metavar="FILE")
    tls_client: str | None = optional(str,
        "Whether clients show certificates: they are not asked for one, they may, or they must.",
        "required with --tls-client-ca, else none", choices=CLIENTS)
    tls_min: str = setting("1.3",
        "The least version of TLS. Connections of TLS 1.2 are served, and cannot move.", choices=VERSIONS)
    max_handshakes: int = setting(256,
        "TLS handshakes that are under way at once in one hub; more clients wait. 0: no limit.")
    handshake_rate: int = setting(500,
        "TLS handshakes that one hub begins in a second, each of which takes about a millisecond of it; "
        "more clients wait. 0: no limit.")
    core_dumps: bool = setting(True,
        "Have the kernel write the memory of a process that crashes to a core dump, where its limits say so. "
        "Without it no process of the server is dumped, and only root can trace it or read its memory.")
    start_timeout: float = setting(120.0,
        "How long a hub's process may take until it serves, which is to import the app; then it is killed, "
        "and started again. 0: for ever.")
    # docs/operate/supervision.md says why these are the defaults.
    restart_intensity: int = setting(0,
        "How many hubs that ended may be started again within the restart period, of all hubs together; with "
        "one more the server stops, with exit status 3. 0: any number.")
    restart_period: float = setting(60.0, "The time in which restarts are counted.")
    hang_timeout: float = setting(5.0,
        "A hub that has said nothing to the broker for so long is reported, with the stack of what holds it. "
        "0: never.")
    kill_timeout: float = setting(60.0,
        "A hub that has said nothing for so long is killed, and started again. 0: never.")
    slow_turn: float = setting(0.0,
        "A turn that holds its hub's loop for longer is logged, with its stack. 0: none is.")
    drain_timeout: float = setting(5.0, "How long a stopping hub lets open calls go on.")
    # They grow while handlers take what comes as fast as the client sends.
    stream_window_bytes: int = _window(256 * _KB,
        "Flow-control window of a call (SETTINGS_INITIAL_WINDOW_SIZE), at first.")
    max_stream_window_bytes: int = _window(4 * _MB, "Flow-control window of a call, once it has grown.")
    connection_window_bytes: int = _window(4 * _MB, "Flow-control window of a connection, at first.")
    max_connection_window_bytes: int = _window(16 * _MB,
        "Flow-control window of a connection, once it has grown.")
    # Of hubs, and of the broker of `actorrpc serve`; a program logs in its own way.
    log_format: str = setting("text",
        "How hubs and broker write their log: as lines for people, or each as a JSON object.",
        choices=("text", "json"))
    log_level: str = setting("info",
        "What is written of it, and of what an app logs that has not configured logging: this and worse.",
        choices=("debug", "info", "warning", "error", "critical"))
    # fmt: on

    def __post_init__(self) -> None:
        for each in settings():
            told: Any = getattr(self, each.name)
            if each.kind is tuple:  # in a program, perhaps a list, or one text
                object.__setattr__(self, each.name, (told,) if isinstance(told, str) else tuple(told))
            each.check(getattr(self, each.name))
        _ = self.tls  # it raises

    @property
    def tls(self) -> Tls | None:
        """How TLS is served; None without certificates. Raises ConfigError for what does not go together."""
        if not (self.tls_cert or self.tls_key):
            if self.tls_client_ca is not None or self.tls_client not in (None, "none"):
                raise ConfigError(
                    "clients cannot show certificates without one of the server: give tls_cert, tls_key"
                )
            return None
        return Tls(self.tls_cert, self.tls_key, self.tls_client_ca, self.tls_client or "", self.tls_min)

    def with_tls(self, tls: Tls | None) -> Config:
        """The same, with TLS as this says; None: as it is."""
        if tls is None:
            return self
        certs, keys = zip(*tls.pairs, strict=True)
        return replace(
            self, tls_cert=certs, tls_key=keys, tls_client_ca=tls.client_ca, tls_client=tls.clients,
            tls_min=tls.minimum,
        )  # fmt: skip

    def with_paths_from(self, directory: str) -> Config:
        """The same, with relative paths of files found from a folder."""

        def found(path: str) -> str:
            return os.path.join(directory, path)

        return replace(
            self,
            tls_cert=tuple(map(found, self.tls_cert)),
            tls_key=tuple(map(found, self.tls_key)),
            tls_client_ca=None if self.tls_client_ca is None else found(self.tls_client_ca),
        )

    def differs(self, other: Config) -> str:
        """The settings that are not the same there, with what they are there, for people; "" if all are."""
        values = {each.name: getattr(other, each.name) for each in settings()}
        return ", ".join(f"{name} {value}" for name, value in values.items() if value != getattr(self, name))

    def to_message(self) -> Struct:
        """As it travels from the broker to a hub, whose version may be another: by the names of settings."""
        message = Struct()
        # Some versions of Protobuf know lists, and no tuples.
        told = {name: [*value] if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        message.update(told)
        return message

    @classmethod
    def from_message(cls, message: Struct) -> Config:
        """What ``to_message`` has made. What is not there has its default; an unknown name is ignored."""
        told: dict[str, Any] = {}
        for each in settings():
            if each.name in message.fields:
                value: Any = message[each.name]  # a whole number comes as a float
                told[each.name] = None if value is None else each.kind(value)
        return cls(**told)


@cache
def settings() -> tuple[Setting, ...]:
    """All settings, in order."""
    return tuple(Setting(each.name, **each.metadata) for each in fields(Config))
