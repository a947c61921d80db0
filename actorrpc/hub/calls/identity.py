"""What may be set as the identity of a call."""

from __future__ import annotations

from actorrpc.loop.duties import brief

__all__ = ["LONGEST", "check_identity", "check_unset"]

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
