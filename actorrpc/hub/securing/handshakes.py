"""TLS handshakes of connections that have been accepted: who is served only once its handshake is over.

A handshake takes a millisecond of the hub, most of it in one step, when the ClientHello has come. So only so
many begin in a second (``handshake_rate``), and so many are under way at once (``max_handshakes``); others
wait, in the order in which they came, and unread. Once it has begun, a handshake has as long as a client may
take to say who it is (``handshake_timeout``).

    accepted ── waits ──► begins ── records ──► over: served
        └── too many wait     └── refused, late, gone: the alert is sent, and it is closed
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, NamedTuple

from actorrpc.config import Config
from actorrpc.hub.securing.facts import SecureFacts
from actorrpc.hub.securing.transport import Secured
from actorrpc.log import about
from actorrpc.loop.timers import Timer, after
from actorrpc.net.linger import LINGER, Linger
from actorrpc.net.peers import Remote, Unserved
from actorrpc.net.transport import Transport
from actorrpc.tls.handshake.contexts import Contexts
from actorrpc.tls.handshake.handshake import Established, Handshake, Refused
from actorrpc.tls.handshake.key_log import KeyLog
from actorrpc.tls.handshake.settings import Tls
from actorrpc.wire.frames import ErrorCode, goaway

__all__ = ["MOST_WAITING", "Handshakes"]

log = logging.getLogger("actorrpc.hub")

#: So many may wait for their handshake to begin; more are closed.
MOST_WAITING = 4096

_AWAITS = "handshake"

_WHY = b"This port speaks TLS, and only that.\n"
#: What a client gets that speaks something else, in its own words.
_ANSWERS = {
    "HTTP/1": b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_WHY), _WHY),
    # And no SETTINGS before that: grpcio would take itself for connected, and try again until its deadline.
    "HTTP/2": goaway(0, ErrorCode.PROTOCOL_ERROR, _WHY.strip()),
}


class Handshakes:
    """Those of one hub. ``served(sock, remote, secured)`` gets a connection whose handshake is over;
    ``changed()`` is called when there is one less.

    Raises ConfigError for a file that is wrong.
    """

    def __init__(
        self,
        config: Config,
        tls: Tls,
        served: Callable[[socket.socket, Remote, Secured], object],
        changed: Callable[[], object],
    ) -> None:
        self._config = config
        self._served = served
        self._changed = changed
        self._log = KeyLog()
        #: None once it is closed.
        self._contexts: Contexts | None = None
        try:
            self._contexts = Contexts(tls, self._log)
        except BaseException:
            self._log.close()
            raise
        self._waiting: deque[_Accepted] = deque()
        self._under_way: set[_UnderWay] = set()
        #: Those that have failed, and are told why.
        self._parting: set[_UnderWay] = set()
        #: How many may begin now, and since when that is so: a token bucket.
        self._tokens = float(config.handshake_rate)
        self._since = monotonic()
        self._timer = Timer()

    def renew(self, tls: Tls | None) -> None:
        """Take up the files of certificates as they are now, for handshakes that begin from now on.

        Raises ConfigError, with the reason, for a file that is wrong: then those before are gone on with.
        """
        if tls is not None and self._contexts is not None:
            self._contexts = Contexts(tls, self._log)

    def __len__(self) -> int:
        """Connections that nobody serves yet."""
        return len(self._waiting) + len(self._under_way)

    def begin(self, sock: socket.socket, remote: Remote) -> None:
        """Take a connection that has been accepted. It is closed if too many wait."""
        if self._contexts is None:
            self._refuse(sock, remote, "the hub has stopped")
        elif len(self._waiting) >= MOST_WAITING:
            self._refuse(sock, remote, f"{MOST_WAITING} handshakes wait: no more may")
        else:
            self._waiting.append(_Accepted(sock, remote, monotonic()))
            self._begin_some()

    @staticmethod
    def _refuse(sock: socket.socket, remote: Remote, why: str) -> None:
        log.warning("a connection is closed before its handshake: %s (from %s)", why, remote.peer)
        sock.close()

    def _begin_some(self) -> None:
        """Begin with those that wait, as far as they may."""
        config, waiting, now = self._config, self._waiting, monotonic()
        rate = config.handshake_rate
        if rate:
            self._tokens = min(self._tokens + (now - self._since) * rate, rate)
            self._since = now
        while waiting and (not config.max_handshakes or len(self._under_way) < config.max_handshakes):
            if rate and self._tokens < 1:
                if not self._timer.active:
                    self._timer.set((1 - self._tokens) / rate, self._go_on)
                return
            accepted = waiting.popleft()
            self._tokens -= 1
            self._start(accepted)

    def _go_on(self) -> None:
        self._timer.stop()
        self._begin_some()

    def _start(self, accepted: _Accepted) -> None:
        assert self._contexts is not None
        under_way = _UnderWay(accepted, Handshake(self._contexts), self._over, self._parting.discard)
        self._under_way.add(under_way)
        under_way.start(self._config.handshake_timeout)

    def _over(self, under_way: _UnderWay, outcome: Established | Refused) -> None:
        """A handshake has come to its end."""
        self._under_way.discard(under_way)
        try:
            if isinstance(outcome, Established):
                sock, backlog = under_way.transport.detach()
                facts = SecureFacts.of(outcome)
                secured = Secured(facts, outcome.records, outcome.unread, backlog)
                self._served(sock, under_way.remote, secured)
            else:
                if under_way.transport.fileno() >= 0:
                    self._parting.add(under_way)
                log.info(
                    "a TLS handshake has failed: the client %s (from %s)",
                    outcome.why,
                    under_way.remote.peer,
                    extra=about(outcome.speaks),
                )
        finally:
            self._changed()
            self._begin_some()

    def unserved(self) -> Iterator[Unserved]:
        """Connections that nobody serves yet, in no order."""
        for under_way in self._under_way:
            yield Unserved(under_way.remote, under_way.since, _AWAITS, "its TLS handshake is under way")
        for accepted in self._waiting:
            yield Unserved(accepted.remote, accepted.since, _AWAITS, "its TLS handshake has not begun")

    def close(self) -> None:
        """End those that are not over: nobody will serve them."""
        self._timer.stop()
        for accepted in self._waiting:
            accepted.sock.close()
        self._waiting.clear()
        for under_way in [*self._under_way, *self._parting]:
            under_way.end()
        self._under_way.clear()
        if self._contexts is not None:
            self._contexts = None
            self._log.close()

    def __repr__(self) -> str:
        return f"<Handshakes {len(self._under_way)} under way, {len(self._waiting)} wait>"


class _Accepted(NamedTuple):
    """A connection whose handshake has not begun."""

    sock: socket.socket
    remote: Remote
    since: float


class _UnderWay:
    """One handshake, as the owner of its transport."""

    def __init__(
        self,
        accepted: _Accepted,
        handshake: Handshake,
        over: Callable[[_UnderWay, Established | Refused], None],
        gone: Callable[[_UnderWay], None],
    ) -> None:
        self.remote = accepted.remote
        self.since = accepted.since
        self.transport = Transport(accepted.sock, self)
        self._handshake = handshake
        self._over = over
        self._gone = gone
        self._timer: Any = None
        self._linger: Linger | None = None
        self._parting = False

    def start(self, timeout: float) -> None:
        if timeout:
            self._timer = after(timeout, self._late)
        self.transport.start()

    def on_bytes(self, data: bytes) -> None:
        if self._parting:
            return
        try:
            answer = self._handshake.receive(data)
        except Exception:
            log.exception("the handshake with %s is given up", self.remote.peer)
            self._handshake.abandon()
            answer = b""
        if answer and self._handshake.outcome is None and not self.transport.ready:
            self._handshake.abandon()  # it has not read what was said before, and goes on talking
        elif answer and self.transport.ready:
            self.transport.send(answer)
        self._look()

    def _look(self) -> None:
        outcome = self._handshake.outcome
        if outcome is None or self._parting:
            return
        self._stop_timer()
        self._over(self, outcome)
        if isinstance(outcome, Refused):
            self._part(outcome)

    def _part(self, outcome: Refused) -> None:
        """Close it when the client has had the time to read why."""
        self._parting = True
        if (answer := _ANSWERS.get(outcome.speaks)) and self.transport.ready:
            self.transport.send(answer)
        if self.transport.fileno() >= 0:
            self._linger = Linger(self.end, lambda: self.transport.untaken, monotonic() + LINGER)
            if self.transport.ready:
                self.transport.half_close()

    def on_end(self, why: str) -> None:
        self._handshake.receive_eof()
        self._look()
        self.end()

    def on_writable(self) -> None:
        if self._parting:
            self.transport.half_close()

    def _late(self) -> None:
        self._handshake.abandon()
        self._look()

    def end(self) -> None:
        """Close it now."""
        self._parting = True
        self._stop_timer()
        self._handshake.abandon()
        if self._linger is not None:
            self._linger.stop()
        self.transport.close()
        self._gone(self)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None
