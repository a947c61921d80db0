"""Empties the gevent loop of a forked child: nothing that the parent scheduled runs, and it has
a new gevent Hub.

After a fork gevent goes on in the child with all that was scheduled in the parent: watchers, timers and
greenlets. Here the child goes on with the greenlet that has forked, alone. The loop itself is kept, since
only the default loop hears of child processes; its epoll descriptor is made anew before it runs.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NoReturn

import gevent
import gevent.os
from gevent import _hub_local, get_hub
from gevent.exceptions import LoopExit
from gevent.hub import Hub
from greenlet import getcurrent, greenlet

from actorrpc.forks.descriptors import close_now

__all__ = ["abandon"]

#: Ends the process, with the status that an error stands for.
End = Callable[[BaseException | None], NoReturn]


class _Abandoned(Hub):
    """A hub of the parent's. Its stack is in the midst of a step of the parent's loop, and stays there."""

    @property
    def dead(self) -> bool:
        """Locks and events of a dead hub take the one that is there when they are next used."""
        return True

    def switch(self) -> Any:
        """Who still knows this hub waits in the child's."""
        return get_hub().switch()


class _Outlived(Hub):
    """A hub of the parent's, one of whose callbacks has forked: the rest of that callback is the child."""

    def switch_out(self) -> None:  # type: ignore[override]
        """It may wait, unlike in the parent: another hub runs the loop meanwhile."""

    def switch(self, *args: Any) -> Any:
        """Go on with it, as with any greenlet."""
        return greenlet.switch(self, *args)


class _Fresh(Hub):
    """The child's own hub."""

    def run(self, *ended: Any) -> None:
        """Start, perhaps because the greenlet that has forked has ended: then with what it has returned."""
        super().run()


def abandon(hub: Any, end: End) -> None:
    """Let nothing of a hub run any more. If it is this thread's, the thread gets a new one.

    When the greenlet that has forked ends, and nothing that it has begun goes on in the loop, ``end`` is
    called with the error that ended it, if any.
    """
    loop = hub.loop
    # What the collector has been told to leave alone, too (a hub does so with what it has when it starts).
    gc.unfreeze()
    around = gc.get_referrers(hub)
    kept: list[Any] = [around]
    for watcher in _watchers(loop):
        kept.append((watcher, watcher.callback, watcher.args))
        watcher.stop()
    for callback in list(loop._callbacks):
        kept.append((callback, callback.callback, callback.args))
        callback.stop()
    _take_waiters(around, kept)
    _finish_closing()
    loop.reinit()
    current = getcurrent()
    if _hub_local.get_hub_if_exists() is hub:
        _adopt(around, hub, _replace(hub, current, end))
    hub.__class__ = _Outlived if current is hub else _Abandoned
    # Suspended greenlets must not be freed, since their `finally` blocks would run. The list holds itself,
    # and the collector no longer looks at what exists by now.
    kept.append(kept)
    gc.freeze()


def _watchers(loop: Any) -> Iterable[Any]:
    kind = getattr(loop, "WatcherType", None)
    if kind is not None:
        return [each for each in gc.get_referrers(loop) if issubclass(type(each), kind)]
    from gevent._ffi.watcher import watcher  # a loop that is bound through cffi

    return [each for each in gc.get_objects() if issubclass(type(each), watcher) and each.loop is loop]


def _take_waiters(around: Iterable[Any], kept: list[Any]) -> None:
    """Let the child's use of events, locks and the like wake none of the parent's greenlets.

    Those have lists of what to call, out of Python's reach but not of the collector's.
    """
    for each in around:
        if isinstance(each, gevent.Greenlet):
            each.unlink_all()
        elif type(each).__module__.startswith("gevent."):
            for part in gc.get_referents(each):
                if type(part) in (list, deque):
                    waiting = [call for call in part if _is_switch(call)]
                    kept.extend(waiting)
                    for call in waiting:
                        part.remove(call)


def _is_switch(call: Any) -> bool:
    return isinstance(getattr(call, "__self__", None), greenlet) and call.__name__ in ("switch", "throw")


def _finish_closing() -> None:
    """What gevent's ``os.close`` was about to close in the next step of the loop."""
    closing: dict[int, Any] = getattr(gevent.os, "_closing_fd_to_event", {})
    for fd in closing:
        with suppress(OSError):  # another way of closing it was faster
            close_now(fd)
    closing.clear()
    getattr(gevent.os, "_watched_children", {}).clear()  # siblings now


def _replace(hub: Any, current: greenlet, end: End) -> Any:
    """The thread's new hub."""
    new: Any = _Fresh(loop=hub.loop)
    root = current
    while root.parent is not None:
        root = root.parent
    if current is root:
        new.parent = root  # as anywhere in gevent
    else:
        new.parent = _ending(root, current, end)
        if current is hub:
            hub.parent = new.parent
    _hub_local.set_hub(new)
    return new


def _adopt(around: Iterable[Any], hub: Any, new: greenlet) -> None:
    """When a greenlet of the hub's ends, the current one or one that is killed, the new hub goes on."""
    for each in around:
        if isinstance(each, greenlet) and not each.dead and each.parent is hub:
            each.parent = new


def _ending(root: greenlet, first: greenlet, end: End) -> greenlet:
    """A greenlet that waits for the end of the child's loop, as the main greenlet does elsewhere: that one is
    in the midst of what the parent was doing."""

    def wait() -> NoReturn:
        try:
            greenlet.switch(first)
        except LoopExit as error:
            end(None if first.dead else error)
        except BaseException as error:
            end(error)
        end(None)

    ending = greenlet(wait, root)
    greenlet.switch(ending)
    return ending
