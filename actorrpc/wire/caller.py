"""Who seems to call: what the header fields of a request tell of its client, and of a proxy in front of it.

A connection's own actors are for one client. If several clients share the connection, that shows in a header
that only proxies add, or in one that a client would send the same with each call.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

from actorrpc.wire.hpack import Field

__all__ = ["caller_of", "is_steady", "sign_of"]

#: What a client sends the same with each call, as far as we know.
_STEADY = ("user-agent", "authorization")

#: What proxies add to a request, and nobody else. So x-request-id, traceparent, x-b3-*, x-amzn-trace-id and
#: x-cloud-trace-context are not here: clients add them too, to trace calls.
_OF_PROXIES = frozenset(
    (
        "via",  # RFC 9110, 7.6.3: each proxy must; nghttpx, Caddy, Google's load balancers, CDNs do
        "forwarded",  # RFC 7239
        "cdn-loop",  # RFC 8586
        "x-forwarded",
        "x-original-forwarded-for",  # ingress-nginx
        "x-real-ip",  # Traefik, ingress-nginx, Kong
        "x-client-ip",
        "x-cluster-client-ip",
        "client-ip",
        "true-client-ip",  # Akamai, Cloudflare
        "fastly-client-ip",
        "cf-connecting-ip",
        "cf-ray",
        "fly-client-ip",
        "x-azure-clientip",
        "x-azure-fdid",  # Azure Front Door
        "l5d-client-id",  # Linkerd
    )
)
_OF_PROXIES_BEGIN = (
    "x-forwarded-",  # -for, -proto, -host, -port: Envoy, Traefik, Caddy, Kong, AWS ALB; -client-cert: Istio
    "x-envoy-",
    "grpcgateway-",  # grpc-gateway, which calls for all its clients on one channel
)

_DIGEST = 8
#: How many characters of a name are kept, and how long a value may be whose digest is kept for the next time:
#: clients choose both.
_NAME = 64
_SMALL = 1024


def caller_of(fields: tuple[Field, ...]) -> bytes:
    """What tells callers apart, never empty: digests of ``user-agent`` and ``authorization``, and the name of
    the first field that a proxy has added, if there is one. The same for calls that agree in these."""
    steady = dict.fromkeys(_STEADY, "")
    proxys = ""
    for name, value in fields:
        if name in steady:
            steady[name] += f"{value}\n"
        elif not proxys and (name in _OF_PROXIES or name.startswith(_OF_PROXIES_BEGIN)):
            proxys = name
    # Each connection keeps this, and it moves: so it is small, and has no secrets in it.
    return b"".join(_digest(value) for value in steady.values()) + proxys[:_NAME].encode()


def _digest(value: str) -> bytes:
    return _remembered(value) if len(value) <= _SMALL else _remembered.__wrapped__(value)


@lru_cache(maxsize=1024)
def _remembered(value: str) -> bytes:
    return blake2b(value.encode(), digest_size=_DIGEST).digest()


def sign_of(known: bytes, caller: bytes) -> str:
    """The name of the field that shows that the connection has several clients; "" if none does. ``known`` is
    the caller so far; b"" at the first call."""
    steady = len(_STEADY) * _DIGEST
    if caller[steady:]:
        return caller[steady:].decode()
    return next((name for name, one, other in _each(known, caller) if known and one != other), "")


def is_steady(name: str) -> bool:
    """Whether the sign is that the field's values differ, and not that the field came at all."""
    return name in _STEADY


def _each(known: bytes, caller: bytes) -> Iterable[tuple[str, bytes, bytes]]:
    for at, name in enumerate(_STEADY):
        part = slice(at * _DIGEST, (at + 1) * _DIGEST)
        yield name, known[part], caller[part]
