"""What the fields of requests tell of their clients, and of a proxy in front of them."""

from __future__ import annotations

import pytest

from actorrpc.wire import caller
from actorrpc.wire.caller import caller_of, sign_of
from tests.support import raw

Fields = tuple[tuple[str, str], ...]

PLAIN: Fields = (*raw.request("Unary"), ("user-agent", "grpc-go/1.60"))
ADA = ("authorization", "Bearer ada's")
BOB = ("authorization", "Bearer bob's")


@pytest.mark.parametrize(
    "name",
    [
        "via", "forwarded", "cdn-loop", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-client-cert",
        "x-real-ip", "x-client-ip", "x-envoy-expected-rq-timeout-ms", "x-envoy-external-address",
        "true-client-ip", "cf-connecting-ip", "x-azure-fdid", "l5d-client-id", "grpcgateway-user-agent",
    ],
)  # fmt: skip
def test_what_only_proxies_add(name: str) -> None:
    found = caller_of((*PLAIN, ("x-mine", "1"), (name, "a"), ("x-forwarded-host", "b")))
    assert sign_of(b"", found) == name
    assert sign_of(caller_of(PLAIN), found) == name


@pytest.mark.parametrize(
    "name",
    ["x-request-id", "traceparent", "x-amzn-trace-id", "x-b3-traceid", "x-viaduct", "viable", "x-forward"],
)
def test_what_clients_add_too(name: str) -> None:
    assert sign_of(b"", caller_of((*PLAIN, (name, "a")))) == ""


@pytest.mark.parametrize(
    ("one", "other", "sign"),
    [
        (PLAIN, (*raw.request("Talk"), ("x-mine", "1"), ("user-agent", "grpc-go/1.60")), ""),
        (PLAIN, raw.request("Unary"), "user-agent"),
        (raw.request("Unary"), PLAIN, "user-agent"),
        (PLAIN, (*raw.request("Unary"), ("user-agent", "grpc-go/1.61")), "user-agent"),
        ((*PLAIN, ADA), (*PLAIN, ("x-mine", "1"), ADA), ""),
        ((*PLAIN, ADA), (*PLAIN, BOB), "authorization"),
        ((*PLAIN, ADA), PLAIN, "authorization"),
        (PLAIN, (*PLAIN, ADA), "authorization"),
        ((*PLAIN, ADA), (*PLAIN, ADA, BOB), "authorization"),
        ((*PLAIN, BOB), (*PLAIN, ADA, BOB), "authorization"),
        (
            (*PLAIN, ("authorization", "ab")),
            (*PLAIN, ("authorization", "a"), ("authorization", "b")),
            "authorization",
        ),
    ],
)
def test_what_differs_between_clients(one: Fields, other: Fields, sign: str) -> None:
    first, second = caller_of(tuple(one)), caller_of(tuple(other))
    assert sign_of(first, second) == sign
    assert (first == second) == (not sign)
    assert sign_of(b"", second) == ""


def test_it_is_small_and_holds_no_secret() -> None:
    found = caller_of((*PLAIN, ("authorization", "Basic c2VjcmV0" * 100), ("x-forwarded-" + "x" * 5000, "a")))
    assert len(found) < 100
    assert b"c2VjcmV0" not in found
    assert sign_of(b"", found).startswith("x-forwarded-x")


def test_what_is_remembered_is_bounded() -> None:
    for length in (1, 2000, 16_000):
        caller._remembered.cache_clear()
        caller_of(PLAIN)
        before = caller._remembered.cache_info().currsize
        first = caller_of((*PLAIN, ("authorization", "x" * length)))
        assert first == caller_of((*PLAIN, ("authorization", "x" * length)))
        assert caller._remembered.cache_info().currsize - before == (length == 1)


def test_nobody_is_no_caller() -> None:
    """A connection that knows b"" knows nobody."""
    assert caller_of(()) != b""
    assert sign_of(b"", caller_of(())) == ""
    assert sign_of(caller_of(()), caller_of(PLAIN)) == "user-agent"
