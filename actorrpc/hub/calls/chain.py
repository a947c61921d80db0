"""``Chain``: calls the hooks of an app's interceptors, in the order in which they run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from actorrpc.app import App
from actorrpc.call import Call
from actorrpc.config import Config
from actorrpc.errors import CallInterrupted, StatusCode
from actorrpc.hub.calls.identity import identity_of_certificate
from actorrpc.interceptor import Interceptor
from actorrpc.log import about

__all__ = ["Chain", "chain_of"]

log = logging.getLogger("actorrpc.hub")

#: Its name for the log, such as ``Auth.on_call``, and what to call.
Hook = tuple[str, Callable[..., Any]]


def chain_of(app: App, config: Config) -> Chain | None:
    """What an app does around its handlers; None if it does nothing, and its calls have no identity.

    Where clients show certificates, and the app does not say whose a call is, its identity is theirs.
    """
    identity = app.identity
    if identity is None and config.tls is not None and config.tls.asks:
        identity = identity_of_certificate
    if app.interceptors or identity is not None:
        return Chain(app.interceptors, identity)
    return None


class Chain:
    """The interceptors of an app, hook by hook. Only hooks that some interceptor overrides are there."""

    def __init__(
        self, interceptors: tuple[Interceptor, ...], identity: Callable[[Call[Any]], str] | None = None
    ) -> None:
        """``identity`` tells whose call it is."""
        self.interceptors = interceptors
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

    def request(self, call: Call[Any], message: Message, wanted: type[Message]) -> Message:
        """The message for the handler, unless the call has ended then. Raises what ends the call."""
        return _through(self._on_request, call, message, wanted)

    def reply(self, call: Call[Any], message: Message, wanted: type[Message]) -> Message:
        """The message for the client, unless the call has ended then. Raises what ends the call."""
        return _through(self._on_reply, call, message, wanted)

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
                    "%s raised, for call %s (it must not block either)",
                    name,
                    call.id,
                    extra=about(name, call=call.id),
                )
                errors.append(error)
        return errors

    def __repr__(self) -> str:
        return f"<Chain {', '.join(type(each).__name__ for each in self.interceptors)}>"


def _through(hooks: tuple[Hook, ...], call: Call[Any], message: Message, wanted: type[Message]) -> Message:
    """What the hooks make of a message, one after the other, while the call has not ended."""
    for name, hook in hooks:
        changed = hook(call, message)
        if call.ended:
            break
        if not isinstance(changed, wanted):
            kind = type(changed).__name__
            raise TypeError(f"{name} must return a {wanted.DESCRIPTOR.full_name}, not {kind}")
        message = changed
    return message
