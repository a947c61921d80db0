"""What a hub does for its app beside calls: ``on_start`` and ``on_stop``, and what ``App`` does in a process
that serves.

    made ── start ──► on_start has run ── joined ──► publications go out ── stop ──► on_stop runs ──► closed

``on_start`` runs before anybody is told that the hub can serve: what it raises keeps it from that. What is
published meanwhile waits until the hub has heard which hubs are the homes of topics. ``on_stop`` runs when no
connection is left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

import gevent
from gevent import get_hub
from gevent.event import Event
from google.protobuf.message import Message

from actorrpc.app import App
from actorrpc.client.references import Target
from actorrpc.errors import RpcError
from actorrpc.forks import users_code
from actorrpc.hub.invoking.references import Invoking
from actorrpc.hub.metering.rates import counted_as
from actorrpc.hub.runtime.runners import get_ident
from actorrpc.hub.topics.engine import Topics
from actorrpc.loading import failure
from actorrpc.loop.asking import Asking

__all__ = ["LEAST", "AppHost"]

log = logging.getLogger("actorrpc.hub")

#: So many seconds ``on_stop`` has at least, with what it publishes; and that is waited for no longer.
LEAST = 1.0


class AppHost:
    """Runs ``app`` in one hub, whose ``topics`` it publishes to. But for ``publish``, all is called in the
    hub's thread."""

    def __init__(self, app: App, topics: Topics, invoking: Invoking) -> None:
        self._invoking = invoking
        self._app = app
        self._topics = topics
        self._thread = get_ident()
        #: ``on_start`` has been called, and ``on_stop`` has not.
        self._running = False
        self._joined = False
        #: What is to be published once it has joined the others.
        self._early: list[Callable[[], None]] = []
        #: Publications that have no place in their topics yet; set while there are none.
        self._unacknowledged = 0
        self._quiet = Event()
        self._quiet.set()
        #: What other threads publish.
        self._asking = Asking(get_hub().loop, self._gone)

    # ---- its life

    def start(self) -> None:
        """Run the app's ``on_start``, and have the app publish here from before that on. May wait.

        Raises ConfigError, with the traceback, for what it raises, and then ``on_stop`` does not run; and for
        an app with hooks that another server of this process runs.
        """
        self._app.bind(self)
        self._running = True
        if self._app.on_start is None:
            return
        try:
            with users_code():
                self._app.on_start()
        except BaseException as error:
            self._running = False
            self.close()
            if isinstance(error, (Exception, SystemExit)):
                raise failure("on_start raised", error) from error
            raise

    def joined(self) -> None:
        """The hub knows where topics are."""
        self._joined = True
        early, self._early = self._early, []
        for publish in early:
            publish()

    def stop(self, seconds: float, then: Callable[[], None]) -> None:
        """No connection is left: run ``on_stop``, for at most so many seconds, or ``LEAST``, and see what was
        published to its home; then close this, and call ``then()``. At once if it does not run."""
        if self._running:
            self._running = False
            gevent.spawn(self._stop, max(seconds, LEAST), then)
        else:
            self.close()
            then()

    def _stop(self, seconds: float, then: Callable[[], None]) -> None:
        until = monotonic() + seconds
        try:
            if self._app.on_stop is not None:
                stopping = gevent.spawn(self._call_on_stop, self._app.on_stop)
                stopping.join(seconds)
                if not stopping.ready():
                    log.warning("on_stop has not ended within %.1f s, and is given up", seconds)
            if self._joined and not self._quiet.wait(max(min(until - monotonic(), LEAST), 0.0)):
                log.warning("%d publications have not come to their homes", self._unacknowledged)
        finally:
            self.close()
            then()

    def _call_on_stop(self, on_stop: Callable[[], object]) -> None:
        try:
            with users_code():
                on_stop()
        except BaseException:
            log.exception("on_stop raised")

    def close(self) -> None:
        """Publish nothing more. Who waits in another thread for that is told so."""
        self._app.unbind(self)
        self._asking.close()

    def forked(self) -> None:
        """This process is a child of the hub's."""
        self._app.unbind(self)
        self._asking.forked()

    # ---- what the app does

    def actor(self, key: str) -> Target:
        return self._invoking.actor(None, key)

    def publish(self, topic: str, message: Message) -> None:
        """As ``App.publish``, from any thread."""
        type, payload = message.DESCRIPTOR.full_name, message.SerializeToString()
        if get_ident() == self._thread:
            self._publish(topic, type, payload)
        else:
            self._asking.ask(lambda: self._publish(topic, type, payload))

    def _publish(self, topic: str, type: str, payload: bytes) -> None:
        if self._asking.closed:
            raise self._gone()
        group = counted_as(topic)
        try:
            if self._joined:
                self._count(1)
                self._topics.publish(topic, type, payload, self._acknowledged, group)
            else:
                self._early.append(self._topics.reserve(topic, type, payload, self._acknowledged, group))
                self._count(1)
        except RpcError as error:
            if self._joined:
                self._count(-1)
            log.error("a publication was refused: %s", error)
            raise

    def _acknowledged(self) -> None:
        self._count(-1)

    def _count(self, more: int) -> None:
        self._unacknowledged += more
        if self._unacknowledged:
            self._quiet.clear()
        else:
            self._quiet.set()

    @staticmethod
    def _gone() -> RuntimeError:
        return RuntimeError("this hub has stopped: what is published now would go nowhere")

    def __repr__(self) -> str:
        state = "closed" if self._asking.closed else "running" if self._running else "not running"
        return f"<AppHost of {self._app!r} {state}, {self._unacknowledged} unacknowledged>"
