"""What may be set as the identity of a call, and what it is by the client's certificate."""

from __future__ import annotations

from typing import Any

from actorrpc.call import Call
from actorrpc.errors import RpcError, StatusCode
from actorrpc.loop.duties import brief

__all__ = ["LONGEST", "check_identity", "check_unset", "identity_of_certificate"]

#: Characters of an identity.
LONGEST = 1024


def check_unset(value: object, before: str) -> None:
    """Raise TypeError or RuntimeError for a ``call.identity = value`` that is no str, or where it is set, to
    ``before``."""
    if not isinstance(value, str):
        raise TypeError(f"call.identity must be a str, not {value!r}")
    if before:
        raise RuntimeError(f"call.identity is set already, to {brief(before)}, and stays so")


def check_identity(identity: str) -> None:
    """Raise ValueError for what cannot be one, since it could not travel."""
    if len(identity) > LONGEST:
        raise ValueError(f"an identity of {len(identity)} characters: at most {LONGEST} may be")
    try:
        identity.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the identity {brief(ascii(identity))} is not Unicode") from None


def identity_of_certificate(call: Call[Any]) -> str:
    """The first alternative name in the client's certificate, or else its common name; "" without one.

    Raises RpcError (UNAUTHENTICATED) for a name that cannot be an identity.
    """
    context = call.auth_context
    for name in ("x509_subject_alternative_name", "x509_common_name"):
        if values := context.get(name):
            identity = values[0].decode()
            try:
                check_identity(identity)
            except ValueError as error:
                raise RpcError(StatusCode.UNAUTHENTICATED, f"by the client's certificate: {error}") from None
            return identity
    return ""
