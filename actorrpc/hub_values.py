"""``per_hub``: what the whole hub shares, such as a database engine; and its end, when the hub stops.

A hub is a process here: one of `actorrpc serve`, or a program with embedded servers.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, overload
from weakref import WeakSet

if TYPE_CHECKING:
    from actorrpc.loop.wakeup import WakeUp

__all__ = ["CLOSING", "enter", "leave", "per_hub"]

log = logging.getLogger("actorrpc.hub")

#: How long it may take to close what a hub shares, in seconds: the broker waits for two.
CLOSING = 1.0

T = TypeVar("T")

_UNMADE: Any = object()

#: All that there are, and those that have a value in this process, in the order in which they got it.
_declared: WeakSet[per_hub[Any]] = WeakSet()
_made: list[per_hub[Any]] = []

#: Held while one looks at what is made and who waits for it, and never while anything waits.
_looking: Any = None

#: What a greenlet waits for that another makes.
_awaited: dict[Any, per_hub[Any]] = {}

#: What a greenlet is to close, and has not closed yet.
_closing: dict[Any, dict[per_hub[Any], Any]] = {}

#: What a child has of its parent's: never freed, since a finalizer may say good-bye on the parent's socket.
_inherited: list[Any] = []

#: Hubs that serve in this process: an embedded server each.
_serving = 0


class per_hub(Generic[T]):  # lower case, as property and staticmethod are
    """Declare a value that the whole hub shares: ``engine = actorrpc.per_hub(make_engine)``.

    It is an attribute, ``self.engine``, of each actor, service or interceptor in whose class it stands, and
    ``get()`` returns it anywhere else. The same declaration in several classes, or in a module, is one value.

    ``factory()`` makes it where it is first asked for, and once in each hub process; it may block, and who
    asks meanwhile waits. What it raises is raised there, and the next one who asks has it tried again. A
    process that is forked from a hub makes a value of its own.

    ``close(value)`` is called when the hub stops, after the last turn of all, and may block; those that were
    made later are closed before. It may ``get()`` itself and what was made before, and nothing else. What it
    raises is logged. A hub process waits for a second for all of them.

    Raises TypeError for a factory or a ``close`` that cannot be called, or would return a generator or a
    coroutine.
    """

    def __init__(self, factory: Callable[[], T], *, close: Callable[[T], object] | None = None) -> None:
        _check("factory", factory)
        if close is not None:
            _check("close", close)
        self._factory = factory
        self._close = close
        self._name = getattr(factory, "__name__", repr(factory))
        self._reset()
        _declared.add(self)

    def _reset(self) -> None:
        global _looking
        if _looking is None:
            from actorrpc.loop.wakeup import make_lock  # here: to import actorrpc imports no gevent

            _looking = make_lock()
        self._value: T = _UNMADE
        #: The greenlet that makes it, and who waits for that.
        self._maker: Any = None
        self._waiting: list[WakeUp] = []

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"{owner.__name__}.{name}"

    @overload
    def __get__(self, instance: None, owner: type) -> per_hub[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> per_hub[T] | T:
        return self if instance is None else self.get()

    def __set__(self, instance: object, value: object) -> NoReturn:
        raise AttributeError(
            f"{self._name} is one value for the whole hub, which its factory makes: it cannot be set"
        )

    def get(self) -> T:
        """The value. Raises what the factory raises, and RuntimeError where that asks, perhaps by way of
        others, for what it is to make, or a ``close`` for what is closed already or was never made."""
        value = self._value
        return self._make() if value is _UNMADE else value

    def _make(self) -> T:
        from gevent import getcurrent

        here = getcurrent()
        if here in _closing:
            return self._left(_closing[here])
        while not self._begin(here):
            value = self._value  # once: another server's last hub may stop meanwhile
            if value is not _UNMADE:
                return value
        value = _UNMADE
        try:
            value = self._factory()
        finally:
            self._end(value)
        return value

    def _begin(self, here: Any) -> bool:
        """Whether the caller is to make it, which it tells by ``_end``. If not, it is made, or was tried, by
        another, for whom the caller has waited."""
        from actorrpc.loop.wakeup import WakeUp

        with _looking:
            if self._value is not _UNMADE:
                return False
            if self._maker is None:
                self._maker = here
                return True
            self._check_circle(here)
            wakeup = WakeUp()
            self._waiting.append(wakeup)
            _awaited[here] = self
        try:
            wakeup.wait()
        finally:
            with _looking:
                _awaited.pop(here, None)
                if wakeup in self._waiting:  # it is interrupted
                    self._waiting.remove(wakeup)
            wakeup.close()
        return False

    def _check_circle(self, here: Any) -> None:
        """Raise RuntimeError if who makes it waits, perhaps by way of others, for what the caller makes."""
        asked: per_hub[Any] | None = self
        while asked is not None:
            if asked._maker is here:
                raise RuntimeError(f"the factory of {asked._name} asks for what it is to make")
            asked = _awaited.get(asked._maker)

    def _end(self, value: T) -> None:
        """It is made, or could not be."""
        with _looking:
            self._maker = None
            if value is not _UNMADE:
                self._value = value
                _made.append(self)
            waiting, self._waiting = self._waiting, []
            for wakeup in waiting:
                wakeup.wake()

    def _left(self, left: dict[per_hub[Any], Any]) -> T:
        """What a ``close`` gets that asks for it."""
        if self not in left:
            raise RuntimeError(
                f"{self._name} is asked for by what is closed before it can be made, or after it was closed: "
                "what was made later is closed before, and nothing is made"
            )
        value: T = left[self]
        return value

    def _close_value(self, value: T) -> None:
        from actorrpc.forks import users_code  # here: stubs are used where there is no Linux

        if self._close is None:
            return
        try:
            with users_code():
                self._close(value)
        except BaseException:
            log.exception("closing %s raised", self._name)

    def _inherit(self) -> None:
        """This process is a child of the one that has the value, or where a greenlet is making it."""
        _inherited.append(self._value)
        self._reset()

    def __repr__(self) -> str:
        return f"<per_hub {self._name}{'' if self._value is _UNMADE else f': {self._value!r}'}>"


def _check(what: str, function: object) -> None:
    if not callable(function):
        made = "makes the value, not the value" if what == "factory" else "closes it"
        raise TypeError(f"actorrpc.per_hub takes what {made}: {function!r} cannot be called")
    generator = inspect.isgeneratorfunction(function)
    if generator or inspect.iscoroutinefunction(function):
        raise TypeError(
            f"actorrpc.per_hub: {function!r} is {'a generator' if generator else 'async'}. Give it a plain "
            "function that returns the value, and one that ends it: per_hub(connect, close=disconnect)"
        )


def enter() -> None:
    """A hub is about to serve in this process. ``leave`` follows."""
    global _serving
    _serving += 1


def leave(patience: float | None = None) -> None:
    """A hub has stopped. If it was the last, close what is shared, and wait for it, ``patience`` seconds at
    most. Call it in a greenlet."""
    global _serving
    _serving -= 1
    if _serving or not _made:
        return
    import gevent

    closing = gevent.spawn(_close_all, _taken())
    closing.join(patience)
    if not closing.ready():
        log.warning("what the whole hub shares was not closed within %s s, and is given up", patience)


def _taken() -> dict[per_hub[Any], Any]:
    """The values that there are, in the order in which they were made. There are none from now on: a server
    that begins while they are closed has its own."""
    with _looking:
        values = {each: each._value for each in _made}
        _made.clear()
        for each in values:
            each._value = _UNMADE
    return values


def _close_all(values: dict[per_hub[Any], Any]) -> None:
    from gevent import getcurrent

    here = getcurrent()
    _closing[here] = values
    try:
        for each in reversed([*values]):
            each._close_value(values[each])
            del values[each]
    finally:
        _closing.pop(here, None)


def _forked() -> None:
    """This process is a child."""
    global _serving, _looking
    _serving = 0
    _looking = None  # which another thread of the parent's may have held
    _inherited.append([*_closing.values()])
    _closing.clear()
    _awaited.clear()
    for each in _declared:
        each._inherit()
    _made.clear()


if hasattr(os, "register_at_fork"):  # stubs are used where there is no fork
    os.register_at_fork(after_in_child=_forked)
