"""``Interceptor``: what an app does around its handlers.

Hooks, and no wrapper that calls on: a handler's turn is short, nothing of a call stays on a stack between
turns, and the next turn may run in another process.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from google.protobuf.message import Message

from actorrpc.call import Call
from actorrpc.errors import ConfigError, StatusCode
from actorrpc.signatures import check_hook, check_hook_names, hooks_of

__all__ = ["Interceptor", "check_interceptors"]


class Interceptor:
    """Sees and changes metadata, requests, replies and errors of every call.

        app = actorrpc.App([Chat], interceptors=[Auth(), Log()])

    Override the hooks that are needed; the others cost nothing. One instance serves all calls of its hub,
    and each hub has its own, so what belongs to a call is kept in ``call.context``, which travels with it.

    ``on_call`` and ``on_request`` run in the order in which the app has its interceptors, the other hooks
    in the reverse order. Where a hook raises RpcError, the call ends with its status; anything else that is
    raised becomes UNKNOWN and a traceback in the log. A call of an unknown method, or a request that is
    not a gRPC call, is refused before any interceptor sees it.
    """

    def on_call(self, call: Call[Any]) -> None:
        """A call has begun: its metadata is here, and no actor has been made for it yet.

        Raise RpcError to refuse it; neither the later interceptors nor any actor learn of it. Set
        ``call.identity`` to whose call it is: another identity's calls get other actors. It may block,
        as a handler may: meanwhile the messages of this call wait, other calls go on, and the call's
        deadline or cancellation interrupts it.
        """

    def on_request(self, call: Call[Any], message: Any) -> Message:
        """Return the message for the handler: this one, or another of its type. It runs in the handler's
        turn, before the handler, and may block."""
        return message  # type: ignore[no-any-return]

    def on_reply(self, call: Call[Any], message: Any) -> Message:
        """Return the message for the client: this one, or another of its type.

        It must not block, as ``call.send`` never does: a topic's messages are sent outside of turns. What it
        raises is raised by ``call.send``.
        """
        return message  # type: ignore[no-any-return]

    def on_error(self, call: Call[Any], error: BaseException) -> BaseException | None:
        """A handler or a hook raised ``error``, and the call is open: return what to answer with instead,
        such as an RpcError, or None to leave it. It may block, except where what was raised is about a
        topic's message."""

    def on_end(self, call: Call[Any], status: StatusCode, message: str) -> None:
        """The call is over, in this hub: answered, cancelled, expired, or its connection has gone.

        It runs once for each call, whether or not ``on_call`` got so far; only a hub that dies tells nobody.
        It must not block, since it runs in gevent's loop. What it raises is logged.
        """


def check_interceptors(interceptors: Iterable[Interceptor]) -> tuple[Interceptor, ...]:
    """What an app was given, in the order given. Raises ConfigError for what is not an interceptor."""
    try:
        given = tuple(interceptors)
    except TypeError:
        raise ConfigError(f"interceptors={interceptors!r}: give App a list of them") from None
    for each in given:
        _check(each)
    return given


def _check(interceptor: object) -> None:
    if inspect.isclass(interceptor) and issubclass(interceptor, Interceptor):
        raise ConfigError(f"interceptors are instances: give App {interceptor.__name__}(), not the class")
    if not isinstance(interceptor, Interceptor):
        raise ConfigError(f"{interceptor!r} is not an interceptor: derive it from actorrpc.Interceptor")
    cls = type(interceptor)
    names = [name for base in cls.__mro__ if base not in Interceptor.__mro__ for name in vars(base)]
    # An instance may well keep somebody's `on_refused` to call.
    check_hook_names(cls.__name__, names, _HOOKS, "an interceptor")
    for name, arguments in _HOOKS.items():
        check_hook(f"{cls.__name__}.{name}", getattr(interceptor, name), arguments[1:])


_HOOKS = hooks_of(Interceptor)
