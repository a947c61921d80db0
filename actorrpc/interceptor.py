"""``Interceptor``: what an app does around its handlers, and ``Chain``: all that an app was given.

Hooks, and no wrapper that calls on: a handler's turn is short, nothing of a call stays on a stack between
turns, and the next turn may run in another process.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from actorrpc.errors import CallInterrupted, ConfigError, StatusCode
from actorrpc.log import about
from actorrpc.signatures import check_hook, check_hook_names

if TYPE_CHECKING:
    from actorrpc.call import Call

__all__ = ["Chain", "Interceptor"]

log = logging.getLogger("actorrpc.hub")


#: Its name for the log, such as ``Auth.on_call``, and what to call.
Hook = tuple[str, Callable[..., Any]]


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


class Chain:
    """The interceptors of an app, hook by hook. Only hooks that some interceptor overrides are there."""

    def __init__(
        self, interceptors: Iterable[Interceptor], identity: Callable[[Call[Any]], str] | None = None
    ) -> None:
        """``identity`` tells whose call it is. Raises ConfigError for anything else."""
        #: In the order given.
        try:
            self.interceptors = tuple(interceptors)
        except TypeError:
            raise ConfigError(f"interceptors={interceptors!r}: give App a list of them") from None
        for each in self.interceptors:
            _check(each)
        if identity is not None and not callable(identity):
            raise ConfigError(f"identity={identity!r}: give App a function of the call, which returns a str")
        self._identity = identity
        self._on_call = self._hooks("on_call")
        self._on_request = self._hooks("on_request")
        self._on_reply = self._hooks("on_reply")[::-1]
        self._on_error = self._hooks("on_error")[::-1]
        self._on_end = self._hooks("on_end")[::-1]

    def _hooks(self, name: str) -> tuple[Hook, ...]:
        return tuple(
            (f"{type(each).__name__}.{name}", getattr(each, name))
            for each in self.interceptors
            if name in vars(each) or getattr(type(each), name) is not getattr(Interceptor, name)
        )

    @property
    def admits(self) -> bool:
        """Whether a call has to be admitted before its service learns of it."""
        return bool(self._on_call) or self._identity is not None

    @property
    def sees_replies(self) -> bool:
        return bool(self._on_reply)

    def admit(self, call: Call[Any]) -> None:
        """Run ``on_call``, and find out whose call it is. Raises what refuses the call."""
        for _, hook in self._on_call:
            hook(call)
            if call.ended:
                return
        if self._identity is not None and not call.identity:
            identity = self._identity(call)
            if not isinstance(identity, str):
                raise TypeError(
                    f'App(identity=...) returned {identity!r}, not a str, which may be "" for nobody'
                )
            if not call.ended:
                call.identity = identity

    def request(self, call: Call[Any], message: Message) -> Message:
        """The message for the handler, unless the call has ended then. Raises what ends the call."""
        for name, hook in self._on_request:
            changed = hook(call, message)
            if call.ended:
                break
            message = _checked(name, changed, call.route.method.request)
        return message

    def reply(self, call: Call[Any], message: Message) -> Message:
        """The message for the client, unless the call has ended then. Raises what ends the call."""
        for name, hook in self._on_reply:
            changed = hook(call, message)
            if call.ended:
                break
            message = _checked(name, changed, call.route.method.reply)
        return message

    def error(self, call: Call[Any], error: BaseException) -> BaseException:
        """What to answer with in place of ``error``. Raises nothing."""
        if isinstance(error, CallInterrupted):
            return error
        for name, hook in self._on_error:
            if call.ended:
                break
            try:
                instead = hook(call, error)
                if isinstance(instead, BaseException):
                    if instead.__cause__ is instead.__context__ is None and instead is not error:
                        instead.__context__ = error  # for the log, as if it had been raised here
                    error = instead
                elif instead is not None:
                    raise TypeError(f"{name} must return an exception or None, not {instead!r}") from error
            except BaseException as raised:
                error = raised
        return error

    def ended(self, call: Call[Any], status: StatusCode, message: str) -> list[BaseException]:
        """Run ``on_end``. What it raises is logged, and returned: each hook gets its turn."""
        errors = []
        for name, hook in self._on_end:
            try:
                hook(call, status, message)
            except BaseException as error:
                log.exception(
                    "%s raised, for call %s (it must not block either)", name, call.id, extra=about(name)
                )
                errors.append(error)
        return errors

    def __repr__(self) -> str:
        return f"<Chain {', '.join(type(each).__name__ for each in self.interceptors)}>"


def _check(interceptor: object) -> None:
    if inspect.isclass(interceptor) and issubclass(interceptor, Interceptor):
        raise ConfigError(f"interceptors are instances: give App {interceptor.__name__}(), not the class")
    if not isinstance(interceptor, Interceptor):
        raise ConfigError(f"{interceptor!r} is not an interceptor: derive it from actorrpc.Interceptor")
    cls = type(interceptor)
    names = [name for base in cls.__mro__ if base not in Interceptor.__mro__ for name in vars(base)]
    # An instance may well keep somebody's `on_refused` to call.
    check_hook_names(cls.__name__, names, tuple(_HOOKS), "an interceptor")
    for name, arguments in _HOOKS.items():
        check_hook(f"{cls.__name__}.{name}", getattr(interceptor, name), arguments)


_HOOKS = {
    "on_call": ("call",),
    "on_request": ("call", "message"),
    "on_reply": ("call", "message"),
    "on_error": ("call", "error"),
    "on_end": ("call", "status", "message"),
}


def _checked(name: str, message: object, wanted: type[Message]) -> Message:
    if not isinstance(message, wanted):
        raise TypeError(f"{name} must return a {wanted.DESCRIPTOR.full_name}, not {type(message).__name__}")
    return message
