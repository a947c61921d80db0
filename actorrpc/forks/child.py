"""Who has a loop in this process, what is done in a child of it, and how such a child ends."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import traceback
from _thread import RLock
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, NoReturn, Protocol
from weakref import WeakKeyDictionary

from actorrpc.forks.descriptors import close_ours
from actorrpc.log import tell_what_was_left_out

if TYPE_CHECKING:
    from gevent.hub import Hub

__all__ = ["Owner", "end_child", "guard", "no_forks", "unguard", "users_code"]

log = logging.getLogger("actorrpc")


class Owner(Protocol):
    """Works in a gevent loop."""

    def forked(self) -> None:
        """This process is a child of the one it worked in. Its descriptors are closed, and nothing of the
        loop will run: refuse to be used."""


_owners: WeakKeyDictionary[Owner, Hub] = WeakKeyDictionary()


def guard(owner: Owner, hub: Hub) -> None:
    """Let nothing of this gevent hub go on in a child, until ``unguard`` or the owner's end."""
    _owners[owner] = hub


def unguard(owner: Owner) -> None:
    """The owner has ended."""
    _owners.pop(owner, None)


#: The signals that a thread lets through, while it forks.
_masks: dict[int, set[int]] = {}


#: Held by whoever forks, and while a descriptor that no child may keep is nobody's yet. It is a lock for
#: threads, also in a patched process.
_starting = RLock()


@contextmanager
def no_forks() -> Iterator[None]:
    """Let no other thread fork in the block."""
    with _starting:
        yield


def _before() -> None:
    """Keep signals back until the child has lost the loop's handlers, which would swallow them."""
    _starting.acquire()
    if _owners:
        _masks[get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def _after() -> None:
    if (mask := _masks.pop(get_ident(), None)) is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    _starting.release()


def _in_child() -> None:
    try:
        _clean()
    finally:
        _after()
        _masks.clear()


def _clean() -> None:
    owners = dict(_owners)
    if not owners:
        return
    collects = gc.isenabled()
    gc.disable()
    try:
        from actorrpc.forks.loop import abandon

        close_ours()
        for hub in {id(hub): hub for hub in owners.values()}.values():
            abandon(hub, end_child)
        for owner in owners:
            owner.forked()
        _owners.clear()
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # better none than one that goes on as its parent
    if collects:
        gc.enable()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)


def end_child(error: BaseException | None = None) -> NoReturn:
    """End this child, which has come to the end of what it was forked for.

    Its status is that of a program that ends so. Nothing is cleaned up: what there is belongs to the parent.
    """
    status = 0
    if isinstance(error, SystemExit):
        status = _status_of(error.code)
    elif error is not None:
        log.error("this process, forked from pid %d, has failed", os.getppid(), exc_info=error)
        status = 1
    tell_what_was_left_out()
    for stream in (*log.handlers, sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass  # closed, or nobody reads
    os._exit(status)


def _status_of(code: object) -> int:
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    print(code, file=sys.stderr)
    return 1


@contextmanager
def users_code() -> Iterator[None]:
    """Around code of users that may fork: a child which comes out of the block ends."""
    pid = os.getpid()
    try:
        yield
    except BaseException as error:
        if os.getpid() != pid:
            end_child(error)
        raise
    if os.getpid() != pid:
        end_child()
