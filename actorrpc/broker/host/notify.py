"""What the service manager is told: systemd's protocol, sd_notify(3), in datagrams to $NOTIFY_SOCKET.

    READY=1 MAINPID=P                 all hubs serve, for the first time or after a reload
    MAINPID=P                         another broker takes the hubs over
    RELOADING=1 MONOTONIC_USEC=T      a reload has begun, which READY=1 ends
    STOPPING=1 EXTEND_TIMEOUT_USEC=T  the hubs are being stopped
    STATUS=...                        a line for `systemctl status`, every few seconds if it is another
    WATCHDOG=1                        the broker's loop lives: twice in each $WATCHDOG_USEC

Where nobody listens nothing waits, and nothing fails: what could not be sent is sent again until it can.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from actorrpc.forks import hold
from actorrpc.loop.timers import every
from actorrpc.net.sockets import PlainSocket

__all__ = ["AGAIN", "Notify", "serving_line"]

log = logging.getLogger("actorrpc.broker")

#: Seconds until what could not be sent is sent again, and until a new status is.
AGAIN = 2.0
#: Messages that wait, but for the status: who never listens gets the last ones.
_KEPT = 16


class Notify:
    """Tells the service manager at ``address``: a path or, after ``@``, a name in the abstract namespace; ""
    for none. After ``watchdog`` seconds of silence it takes the broker for stuck; 0: never.

    All methods may be called at any time, and none blocks or raises.
    """

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._watchdog = watchdog
        self._describe: Callable[[], str] = str
        #: What it does beside serving, and the last status that was told.
        self._doing = ""
        self._told = ""
        self._waiting: deque[str] = deque(maxlen=_KEPT)
        self._complained = False
        self._timers: list[Any] = []
        self._sock: socket.socket | None = None
        hold(self)

    @classmethod
    def from_environment(cls) -> Notify:
        """What the environment says, which forgets it: what is started from here is not the service."""
        told = {name: os.environ.pop(name, "") for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")}
        address = told["NOTIFY_SOCKET"]
        if address and address[0] not in "/@":
            log.warning("NOTIFY_SOCKET is not understood, and so nothing is told: %r", address)
            address = ""
        ours = told["WATCHDOG_PID"] in ("", str(os.getpid()))
        number = told["WATCHDOG_USEC"]
        watched = ours and number.isascii() and number.isdigit()
        return cls(address, int(number) / 1e6 if watched else 0.0)

    @property
    def listener(self) -> tuple[str, float]:
        """Who is told, and after how many seconds of silence it takes the broker for stuck: ``follow`` it."""
        return self._address, self._watchdog

    def follow(self, address: str, watchdog: float) -> None:
        """Tell whom another broker has told until now, unless there is somebody to tell already."""
        if not self._address:
            self._address, self._watchdog = address, watchdog

    def start(self, describe: Callable[[], str]) -> None:
        """From now on tell that the loop lives, and what ``describe()`` returns."""
        if not self._address:
            return
        self._describe = describe
        self._timers.append(every(AGAIN, self._tick))
        if self._watchdog:
            self._timers.append(every(self._watchdog / 2, self._send, "WATCHDOG=1"))
            self._send("WATCHDOG=1")

    def ready(self) -> None:
        """All hubs serve: at the start, and when a reload is over, however it went."""
        self._tell(f"READY=1\nMAINPID={os.getpid()}", "")

    def reloading(self) -> None:
        """A reload begins. ``ready`` ends it."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={now}", "reloading")

    def stopping(self, seconds: float) -> None:
        """The hubs are being stopped, which may take so many seconds."""
        self._tell(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int(seconds * 1e6)}", "stopping")

    def handed_over(self, pid: int) -> None:
        """Another broker, the process with this pid, is the service's main process from now on."""
        self._tell(f"MAINPID={pid}", "")

    def _tick(self) -> None:
        while self._waiting and self._send(self._waiting[0]):
            self._waiting.popleft()
        status = self._status()
        if not self._waiting and status != self._told and self._send(f"STATUS={status}"):
            self._told = status

    def _status(self) -> str:
        return ": ".join(filter(None, (self._doing, self._describe())))

    def _tell(self, message: str, doing: str) -> None:
        """Send it with the status, now or later, after those that wait already."""
        if not self._address:
            return
        self._doing = doing
        self._told = self._status()
        message = f"{message}\nSTATUS={self._told}"
        if self._waiting or not self._send(message):
            self._waiting.append(message)

    def _send(self, message: str) -> bool:
        """Return whether the service manager has it."""
        try:
            if self._sock is None:
                self._sock = PlainSocket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._sock.sendto(message.encode(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL, self._address)
        except OSError as error:
            if not self._complained:  # once, not each time
                log.warning("the service manager cannot be told: %s; it is tried again", error)
            self._complained = True
            return False
        self._complained = False
        return True

    def descriptors(self) -> list[int]:
        """For a child, which is not the service."""
        return [] if self._sock is None else [self._sock.fileno()]

    def __enter__(self) -> Notify:
        return self

    def __exit__(self, *_: object) -> None:
        for timer in self._timers:
            timer.close()
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def __repr__(self) -> str:
        return f"<Notify {self._address!r}, {len(self._waiting)} messages wait>"


def serving_line(states: Mapping[int, str], connections: int) -> str:
    """The status: how many of the hubs serve, and how many connections they have."""
    serving = sum(state == "serving" for state in states.values())
    return f"{serving} of {len(states)} hubs serving, connections: {connections}"
