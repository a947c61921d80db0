"""The balancing policies that have names, and those that users bring."""

from __future__ import annotations

from collections.abc import Callable

from actorrpc.balancing.policies.simple import Count, Greedy, Nothing, Steal
from actorrpc.balancing.policies.steady import Steady
from actorrpc.balancing.view import Policy
from actorrpc.errors import ConfigError
from actorrpc.loading import explain, load_attribute

__all__ = ["DEFAULT", "NAMES", "make_policy"]

#: What `--policy` is unless given.
DEFAULT = "steady"

_POLICIES: dict[str, Callable[[], Policy]] = {
    "none": Nothing,
    "count": Count,
    "greedy": Greedy,
    "steady": Steady,
    "steal": Steal,
}

#: The names that `--policy` takes, besides import paths.
NAMES = tuple(_POLICIES)


def make_policy(name: str) -> Policy:
    """Return a new policy, by its name or as ``package.module:Class``, found from the working directory.

    Raises ConfigError, with one line that says what failed.
    """
    if name in _POLICIES:
        return _POLICIES[name]()
    if ":" not in name:
        raise ConfigError(
            f"no policy {name!r}: choose {', '.join(NAMES)}, or name your own as package.module:Class"
        )
    make = load_attribute("policy", name)
    try:
        policy = make()
    except Exception as error:  # whatever a user's class does
        raise ConfigError(f"policy {name!r} cannot be made: {explain(error)}") from error
    if not callable(getattr(policy, "plan", None)):
        raise ConfigError(f"policy {name!r} has no plan(view)")
    return policy  # type: ignore[no-any-return]
