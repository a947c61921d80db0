"""The storm's interceptor: it notes on each call what it has seen of it, and keeps a book of their ends.

A hub that stops leaves its book, as far as nobody has taken that, in the folder that ``STORM_BOOKS`` names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gevent
from google.protobuf.message import Message

import actorrpc
from tests.apps.iterables import whose
from tests.apps.storm_pb2 import Book

#: Each so many-th call of a connection waits before it is admitted, and its messages with it.
SLOW_EVERY, SLOW = 8, 0.004
#: Methods whose handlers return iterables: after a move they are given their message again.
REPEATED = ("/storm.Storm/Recite", "/storm.Storm/Murmur", "/storm.Storm/Pour", "/storm.Storm/Drizzle")
#: Its calls end here, before their handler runs.
BARRED = "/storm.Storm/Barred"


def _leave(book: Book) -> None:
    if folder := os.environ.get("STORM_BOOKS"):
        Path(folder, str(os.getpid())).write_bytes(book.SerializeToString())


class Bookkeeper(actorrpc.Interceptor):
    """One hub's. A call's notes come from the hubs where it was before."""

    _book = actorrpc.per_hub(Book, close=_leave)

    def take(self) -> Book:
        """What was noted since this was last called."""
        book = Book()
        book.CopyFrom(self._book)
        self._book.Clear()
        return book

    def on_call(self, call: actorrpc.Call[Any]) -> None:
        if call.context:
            self._book.faults.append(f"on_call of {call.id} runs again")
        call.context["id"] = call.id
        call.context["requests"] = "0"
        whose.set(call.id)
        if _stream(call) // 2 % SLOW_EVERY == 0:
            gevent.sleep(SLOW)

    def on_request(self, call: actorrpc.Call[Any], message: Any) -> Message:
        self._check(call, "on_request")
        if call.method == BARRED:
            if message.number % 2:
                raise actorrpc.RpcError(actorrpc.StatusCode.PERMISSION_DENIED, "barred")
            call.finish(actorrpc.StatusCode.PERMISSION_DENIED, "barred")
        elif call.method not in REPEATED:
            call.context["requests"] = str(int(call.context["requests"]) + 1)
        return message  # type: ignore[no-any-return]

    def on_reply(self, call: actorrpc.Call[Any], message: Any) -> Message:
        self._check(call, "on_reply")
        return message  # type: ignore[no-any-return]

    def on_end(self, call: actorrpc.Call[Any], status: actorrpc.StatusCode, message: str) -> None:
        endings = self._book.endings[call.id.partition("/")[0]]
        endings.calls += 1
        endings.streams += _stream(call)
        endings.cancelled += status == actorrpc.StatusCode.CANCELLED
        endings.requests += int(call.context.get("requests", "0"))

    def _check(self, call: actorrpc.Call[Any], hook: str) -> None:
        if call.context.get("id") != call.id:
            self._book.faults.append(f"{hook} of {call.id}, whose context is that of {call.context}")
        if whose.get() not in ("", call.id):
            self._book.faults.append(f"{hook} of {call.id} sees the context variable of {whose.get()}")


def _stream(call: actorrpc.Call[Any]) -> int:
    return int(call.id.rpartition("/")[2])
