"""The loop of ``actorrpc top``: keys, signals and answers in, pictures out."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from actorrpc.broker.host.runtime_dir import RuntimeDir
from actorrpc.cli.top.asking import Answer, Asker
from actorrpc.cli.top.keys import Keys
from actorrpc.cli.top.model import Model
from actorrpc.cli.top.picture import Picture
from actorrpc.cli.top.terminal import Terminal
from actorrpc.cli.top.view import View
from actorrpc.cli.why import paragraph
from actorrpc.loop.descriptors import close_now
from actorrpc.pb.admin_pb2 import Reply, Request

__all__ = ["LIMIT", "Loop"]

#: No more connections and actors are asked for.
LIMIT = 200
#: No picture sooner after another than this, in seconds: what a slow line has to carry is bounded.
_FRAME = 0.1
#: How long a key may take to be the key Esc.
_ESC = 0.05
#: How long a broker may take to answer, and to do what it is asked.
_ANSWER, _ACTION = 10.0, 60.0
#: Those that end it; the last may also come from the key Ctrl-C.
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT)


class Loop:
    """Shows a model until the user has enough of it, or a signal comes."""

    def __init__(
        self, terminal: Terminal, model: Model, view: View, directory: RuntimeDir, interval: float
    ) -> None:
        self._terminal = terminal
        self._model = model
        self._view = view
        self._interval = interval
        self._keys = Keys()
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._pictures = Asker(directory, _ANSWER, self._wake)
        self._actions = Asker(directory, _ACTION, self._wake)
        #: The signals that have come, and whether the size may be another.
        self._signals: list[int] = []
        self._resized = False
        self._due = self._frame_due = 0.0
        self._changed = True
        #: For what the last picture was asked.
        self._asked_for = ""

    def run(self) -> int:
        """Return the signal that has ended it; 0: the user has. Raises Gone if the terminal has gone."""
        with self._heeding(), self._terminal:
            while not self._model.over:
                for signum in self._taken_signals():
                    if signum == signal.SIGTSTP:
                        self._suspend()
                    elif signum == signal.SIGCONT:
                        self._take_terminal()
                    else:
                        return signum
                self._ask()
                self._show()
                self._wait()
        return 0

    # ---- what is asked

    def _ask(self) -> None:
        now = time.monotonic()
        changed = self._asked_for != self._model.match
        if (now >= self._due or changed) and not self._pictures.waiting:
            self._due, self._asked_for = now + self._interval, self._model.match
            self._pictures.ask(Request(top=Request.Top(limit=LIMIT, match=self._model.match)))

    def _take(self) -> None:
        for answer in self._pictures.take():
            self._changed = True
            reply = answer[1]
            if isinstance(reply, str):
                self._model.fail(f"waiting for a broker: {reply}")
            else:
                self._model.show(Picture.of(reply))
        for answer in self._actions.take():
            self._changed = True
            self._due = 0.0
            self._tell(answer)

    def _tell(self, answer: Answer) -> None:
        """Show what an action has come to."""
        request, reply = answer
        if isinstance(reply, str):
            self._model.tell(reply, failed=True)
        elif request.HasField("why"):
            self._model.tell("")
            self._model.detail = paragraph(json.loads(reply.json))
        else:
            self._model.tell(_done(request, reply))

    # ---- what is shown

    def _show(self) -> None:
        now = time.monotonic()
        if not (self._changed or self._resized) or now < self._frame_due or self._terminal.busy:
            return
        width, height = self._terminal.size
        anew, self._resized, self._changed = self._resized, False, False
        self._terminal.show(self._view.lines(self._model, width, height), anew=anew)
        self._frame_due = now + _FRAME

    def _wait(self) -> None:
        """Wait until something is to be done, and take what has come."""
        now = time.monotonic()
        until = [self._due] if not self._pictures.waiting else []
        if (self._changed or self._resized) and not self._terminal.busy:
            until.append(self._frame_due)
        timeout = max(min(until, default=now + self._interval) - now, 0.0)
        if self._keys.half:
            timeout = min(timeout, _ESC)
        busy = [self._terminal.fd] if self._terminal.busy else []
        readable, writable, _ = select.select([self._terminal.fd, self._woken], busy, [], timeout)
        if writable:
            self._terminal.flush()
        if self._woken in readable:
            while _read(self._woken):
                pass
            self._take()
        if self._terminal.fd in readable:
            self._press(self._keys.feed(self._terminal.read()))
        elif self._keys.half:
            self._press(self._keys.flush())

    def _press(self, keys: list[str]) -> None:
        for key in keys:
            self._changed = True
            self._resized |= key == "redraw"
            for action in self._model.press(key):
                self._model.tell(f"{action.told} ...")
                self._actions.ask(action.request)

    # ---- signals

    def _wake(self) -> None:
        try:
            os.write(self._waker, b"\0")
        except BlockingIOError:  # it is awake
            pass

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGWINCH:
            self._resized = True
        else:
            self._signals.append(signum)

    def _taken_signals(self) -> list[int]:
        taken, self._signals = self._signals, []
        return taken

    @contextmanager
    def _heeding(self) -> Iterator[None]:
        """Note signals, and be woken by each."""
        before: dict[int, Any] = {}
        waker = signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        try:
            for each in (*_ENDING, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH):
                if signal.getsignal(each) is not signal.SIG_IGN:  # as under nohup
                    before[each] = signal.signal(each, self._on_signal)
            yield
        finally:
            signal.set_wakeup_fd(waker)
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _suspend(self) -> None:
        """Stop, as Ctrl-Z stops any program, with the terminal as it was; go on when the shell says so."""
        self._terminal.leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)  # comes to this thread, and so before anything else here
        signal.signal(signal.SIGTSTP, self._on_signal)
        self._take_terminal()

    def _take_terminal(self) -> None:
        """Have the terminal again, whatever others have done with it meanwhile."""
        self._terminal.enter()
        self._resized, self._due = True, 0.0

    def __enter__(self) -> Loop:
        return self

    def __exit__(self, *_: object) -> None:
        self._pictures.close()
        self._actions.close()
        close_now(self._woken)
        close_now(self._waker)

    def __repr__(self) -> str:
        return f"<Loop of {self._model!r}, every {self._interval} s>"


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 4096)
    except BlockingIOError:
        return b""


def _done(request: Request, reply: Reply) -> str:
    if request.HasField("reload"):
        begun = json.loads(reply.json)
        pinned = "".join(f"; {count} cannot move now: {why}" for why, count in begun["pinned"].items())
        return f"generation {begun['generation']} starts{pinned}"
    return reply.done
