"""Whether a service class defines what is called, and whether what it defines is called.

What is misspelt would be accepted in silence otherwise: its call would answer UNIMPLEMENTED, its hook would
never run.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import takewhile

from actorrpc.actor import Actor, Service
from actorrpc.errors import ConfigError
from actorrpc.service import ServiceSpec
from actorrpc.signatures import HOOK, check_hook, check_hook_names, check_signature, hooks_of, meant, takes

__all__ = ["check_service"]

#: The hooks of actors, and what each takes.
_HOOKS = hooks_of(Actor)
#: Those that only the actors of connections have, and those that keyed actors have in their place.
_KEYED = {"on_connect": "on_activate", "on_disconnect": "on_passivate"}
_UNKEYED = {keyed: hook for hook, keyed in _KEYED.items()}


def check_service(service: type[Service]) -> None:
    """Raise ConfigError, with one line that names the class and the attribute, for what cannot be right."""
    handlers = _handlers(service.__rpc__)
    for name, arguments in handlers.items():
        _check_handler(service, name, arguments)
    _check_taken(service, handlers)
    names = [name for name in _defined(service, Actor) if name not in handlers]
    _check_hooks(service, names)
    _check_misspelt(service, handlers)
    _check_concurrent(service, names)


def _handlers(spec: ServiceSpec) -> dict[str, tuple[str, ...]]:
    """The names of a service's handlers, and what each takes."""
    found: dict[str, tuple[str, ...]] = {}
    for method in spec.methods:
        found[method.handler] = ("self", "message", "call")
        if method.client_streaming:
            found[method.end_handler] = ("self", "call")
    return found


def _defined(service: type[Service], beyond: type[Service]) -> Iterator[str]:
    """The names that a class and its bases define, without those that ``beyond`` derives from."""
    for base in service.__mro__:
        if base not in beyond.__mro__:
            yield from vars(base)


def _check_handler(service: type[Service], name: str, arguments: tuple[str, ...]) -> None:
    handler = getattr(service, name, None)
    where = f"{service.__name__}.{name}"
    if not callable(handler):
        raise ConfigError(f"{where} is missing: generate {service.__rpc__.name} again")
    check_signature(where, handler, arguments)


def _check_taken(service: type[Service], handlers: dict[str, tuple[str, ...]]) -> None:
    """Refuse a function with a method's name, as in the .proto, where that is taken and another serves it."""
    own = {
        name for base in _users(service) for name, value in vars(base).items() if inspect.isfunction(value)
    }
    for method in service.__rpc__.methods:
        for name, handler in ((method.name, method.handler), (f"{method.name}_end", method.end_handler)):
            serves = not handler or name in handlers or handler in own or name.startswith(HOOK)
            if name in own and not serves:
                raise ConfigError(
                    f"{service.__name__}.{name} serves nothing, since the name `{name}` is taken: call it "
                    f"{handler}"
                )


def _users(service: type[Service]) -> Iterator[type]:
    """The user's classes: those before the generated one, which has ``__rpc__``."""
    return takewhile(lambda base: "__rpc__" not in vars(base), service.__mro__)


def _check_hooks(service: type[Service], names: list[str]) -> None:
    check_hook_names(service.__name__, names, _HOOKS, "an actor")
    for name in names:
        if name not in _HOOKS:
            continue
        where = f"{service.__name__}.{name}"
        if not issubclass(service, Actor):
            raise ConfigError(
                f"{where} would never run: {service.__rpc__.name} is stateless, and only actors have hooks "
                "(`option (actorrpc.actor)` in the .proto makes it an actor)"
            )
        _check_scope(service, name)
        bound = isinstance(inspect.getattr_static(service, name), (staticmethod, classmethod))
        check_hook(where, getattr(service, name), _HOOKS[name][1 if bound else 0 :])


def _check_scope(service: type[Service], hook: str) -> None:
    """Refuse a hook of keyed actors where they are of connections, and the other way round."""
    keyed = service.__rpc__.keyed is not None
    instead = (_KEYED if keyed else _UNKEYED).get(hook)
    if instead is not None:
        raise ConfigError(
            f"{service.__name__}.{hook} would never run: {service.__rpc__.name} has an actor for each "
            f"{'key' if keyed else 'connection'}; call it {instead}"
        )


def _check_misspelt(service: type[Service], handlers: dict[str, tuple[str, ...]]) -> None:
    """Refuse a method that takes what a handler takes, and is named almost as one that is not written.

    Both together: a helper method may have a name that is alike.
    """
    base = next(each for each in service.__mro__ if "__rpc__" in vars(each))
    unary = {f"{each.name}_end": each.name for each in service.__rpc__.methods if not each.client_streaming}
    missing = [
        name
        for name in handlers
        if inspect.getattr_static(service, name) is inspect.getattr_static(base, name)
    ]
    for name in _defined(service, base):
        if name.startswith("_") or hasattr(base, name):
            continue
        where = f"{service.__name__}.{name}"
        if name in unary:
            raise ConfigError(f"{where} would never run: the client of {unary[name]} sends one message")
        function = inspect.getattr_static(service, name)
        like = [handler for handler in missing if takes(function, handlers[handler])]
        if (instead := meant(name, like)) is not None:
            raise ConfigError(f"{where} is not a method of {service.__rpc__.name}; did you mean {instead}?")


def _check_concurrent(service: type[Service], names: list[str]) -> None:
    methods = service.__rpc__.methods
    for name in names:
        if _is_concurrent(service, name):
            raise ConfigError(
                f"{service.__name__}.{name} is not a method of {service.__rpc__.name}, so "
                "@actorrpc.concurrent does nothing for it"
            )
    for method in methods:
        name, end = method.handler, method.end_handler
        if end and _is_concurrent(service, end) and not _is_concurrent(service, name):
            raise ConfigError(f"{service.__name__}.{end} runs as {name} does: give that @actorrpc.concurrent")


def _is_concurrent(service: type[Service], name: str) -> bool:
    # Statically: an attribute of the user's may answer whatever it is asked for.
    marked = inspect.getattr_static(inspect.getattr_static(service, name), "__actorrpc_concurrent__", False)
    return marked is True
