"""One process of a hub, from its start to its exit, as the broker sees it."""

from __future__ import annotations

import logging
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from gevent import get_hub
from gevent.event import AsyncResult, Event

from actorrpc.broker.host.runtime_dir import Claim
from actorrpc.broker.processes.low_priority import LowPriority
from actorrpc.broker.processes.os_process import UNKNOWN_STATUS, OsProcess
from actorrpc.broker.watching.dumps import Dumps, NoStack, Place
from actorrpc.errors import ConfigError
from actorrpc.forks import hold, no_forks
from actorrpc.ipc.framing import close_all
from actorrpc.ipc.hello import Hello
from actorrpc.ipc.link import Link
from actorrpc.loop.duties import brief
from actorrpc.pb import control_pb2, record_pb2

__all__ = ["QUICK", "Answer", "HubProcess", "Owner", "introduce", "left", "written"]

log = logging.getLogger("actorrpc.broker")

#: A hub that reports its load four times a second and has not done so for this long is silent.
SILENCE = 2.0
#: One that ends sooner than this after its start has died quickly.
QUICK = 10.0


Answer = (
    control_pb2.MoveResult
    | control_pb2.Connections
    | control_pb2.Stacks
    | control_pb2.Actors
    | control_pb2.TlsRenewed
    | control_pb2.Described
    | control_pb2.Heaviest
)


class Owner(Protocol):
    """Who is told what becomes of a process, in the loop's callbacks: it must not block there."""

    def hub_ready(self, process: HubProcess, error: str) -> None:
        """The app is loaded, or cannot be: then the process exits next."""

    def hub_moved(self, process: HubProcess, moved: control_pb2.Moved) -> None:
        """A move has ended."""

    def hub_settled(self, process: HubProcess, version: int) -> None:
        """It has the slots of topics that it got with a version of the homes: see ``Settled``."""

    def hub_unlinked(self, process: HubProcess, serial: int, number: int) -> None:
        """Its link to another process, which came with a number, has ended: see ``Unlinked``."""

    def hub_stopping(self, process: HubProcess) -> None:
        """It accepts no more connections, by its own will or because it was told to stop."""

    def hub_retiring(self, process: HubProcess) -> None:
        """It was told to end, by a signal to it alone: see ``Retiring``."""

    def hub_adopted(self, process: HubProcess, adopted: control_pb2.Adopted, fds: tuple[int, ...]) -> None:
        """It has another broker, this one, and says what it has; the descriptors are the owner's."""

    def hub_exited(self, process: HubProcess) -> None:
        """The last that is heard of it."""


class HubProcess:
    """An interpreter that runs a hub."""

    def __init__(
        self,
        hub: int,
        serial: int,
        claim: Claim,
        make: Callable[[], tuple[OsProcess, socket.socket]],
        owner: Owner,
        generation: int = 1,
        aside: bool = False,
    ) -> None:
        """``make()`` starts it, or finds it, and returns it with our end of the link to it; what it raises is
        raised. ``aside``: others serve, and it has a lower priority until it is ready."""
        self.hub = hub
        #: Of the code that it runs.
        self.generation = generation
        self.serial = serial
        self.started = time.monotonic()
        #: The app is loaded.
        self.ready = False
        self._ready_since = 0.0
        self.stopping = False
        self._draining = False
        #: It is drained, but serves on: nobody is there to take what it has.
        self.held = False
        #: It was started since the one before it has died quickly.
        self.unproven = False
        #: What it says of itself, once it is ready.
        self.hello: Hello | None = None
        #: The services of its app, and which versions of their states that knows.
        self.states: dict[str, int] = {}
        #: It has keyed services, and takes part in the directory of their actors.
        self.keyed = False
        #: Of what the app has raised when it was imported, for people.
        self.trace = ""
        #: None while it runs; as subprocess has it, minus the signal's number for a signal, or
        #: ``UNKNOWN_STATUS``.
        self.exit_code: int | None = None
        self.load = control_pb2.Load()
        #: When the load was reported, and anything heard, on the monotonic clock.
        self.reported = self.started
        self.heard = 0.0
        #: What it said when it stopped.
        self.last_words: control_pb2.Stopping | None = None
        #: For how long it was silent when it was last heard again after a silence.
        self.was_silent = 0.0
        self._dumps: Dumps | None = None
        self._owner = owner
        self._claim = claim
        self._asked: dict[int, AsyncResult[Answer | None]] = {}
        self._last_request = 0
        # A policy's thread may fork: its child would have both ends of the link, and the error pipe.
        with no_forks():
            self._process, control = make()
            self.pid = self._process.pid
            self._link = Link(control, control_pb2.ToBroker, self._on_message, self._on_link_end)
            hold(self)
        self._priority = LowPriority(self.pid) if aside else None
        self._exit_watcher: Any = get_hub().loop.io(self._process.pidfd, 1)
        self._exit_watcher.start(self._on_exit)

    @property
    def state(self) -> str:
        """As ``actorrpc status`` shows it. A silent hub is only silent: a blocking C call, say, not dead."""
        if self.stopping:
            return "stopping"
        if not self.ready:
            return "starting"
        if time.monotonic() - self.heard >= SILENCE:
            return "silent"
        return "draining" if self.draining and not self.held else "serving"

    @property
    def reliable(self) -> bool:
        """Whether what others have may be given to it: it serves, and can be heard, and is not about to end
        as quickly as the one before it."""
        if self.unproven and time.monotonic() - self._ready_since < QUICK:
            return False
        return self.state == "serving" and not self.draining

    @property
    def draining(self) -> bool:
        """It was told to move all connections to others."""
        return self._draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        if draining and not self._draining:
            self.load.ClearField("draining")  # what it last said of an earlier drain
        self._draining = draining

    @property
    def empty(self) -> bool:
        """Whether it is drained, and has said that it has no connection left."""
        load = self.load
        return load.HasField("draining") and not load.connections and not load.draining.left

    def send(
        self, message: control_pb2.ToHub, fds: Sequence[int] = (), then: Callable[[], None] | None = None
    ) -> bool:
        """Send a message, as ``Link.send`` does."""
        return self._link.send(message, fds, then)

    def ask(self, question: control_pb2.ToHub) -> AsyncResult[Answer | None]:
        """Send a question that has a number. The result is None if the hub will not answer any more."""
        result: AsyncResult[Answer | None] = AsyncResult()
        self._last_request += 1
        getattr(question, question.WhichOneof("kind") or "").request = self._last_request
        # A hub that has not read the last questions gets no more of them.
        if self._link.unsent or not self._link.send(question):
            result.set(None)
        else:
            self._asked[self._last_request] = result
        return result

    def descriptors(self) -> list[int]:
        """What a child of this process may not keep: with the pidfd it could kill the hub."""
        dumps = self._dumps.descriptors() if self._dumps else []
        return [self._process.pidfd, *dumps] if self._process.pidfd >= 0 else dumps

    def stack(self) -> list[Place]:
        """Where its main thread is, the outermost place first, also while that is held. Waits for about a
        second at most. Raises NoStack if it cannot be had."""
        if self._dumps is None:
            raise NoStack("it cannot be asked by a signal")
        return self._dumps.take()

    def stop(self, drain_timeout: float) -> None:
        """Let it end its calls and exit; one that does not serve yet ends at once."""
        self.stopping = True
        message = control_pb2.ToHub(stop=control_pb2.Stop(drain_timeout=drain_timeout))
        if not (self.ready and self._link.send(message)):
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, signum: int) -> None:
        if self.exit_code is None:
            self._process.send_signal(signum)

    @property
    def linked(self) -> bool:
        """Whether it can be heard: a hub whose link has broken serves on, and nobody knows how it is."""
        return not self._link.closed

    @property
    def obeyed(self) -> bool:
        """Whether it has ended as it was told to: by a signal to it alone, say."""
        return self.stopping and self.exit_code in (0, UNKNOWN_STATUS)

    def describe_exit(self) -> str:
        """How it ended: ``was killed by SIGKILL``, ``exited with status 1``."""
        if self.exit_code is not None and self.exit_code < 0:
            with suppress(ValueError):
                return f"was killed by {signal.Signals(-self.exit_code).name}"
            return f"was killed by signal {-self.exit_code}"
        if self.exit_code == UNKNOWN_STATUS:
            return "has ended (with which status, only the broker before learnt)"
        return f"exited with status {self.exit_code}"

    def _on_message(self, message: control_pb2.ToBroker, fds: tuple[int, ...]) -> None:
        kind = message.WhichOneof("kind")
        if kind == "dumps" and fds and self._dumps is None:
            self._dumps = Dumps(self.pid, message.dumps.signal, fds[0], self._signal)
            fds = fds[1:]
        if kind == "adopted":
            self._on_adopted(message.adopted, fds)
            fds = ()
        close_all(fds)
        before, self.heard = self.heard, time.monotonic()
        if self.heard - before > SILENCE:
            self.was_silent = self.heard - before
        if kind == "load":
            self.load = message.load
            self.reported = self.heard
        elif kind == "moved":
            message.moved.aborted = brief(message.moved.aborted)  # it is kept, and shown
            self._owner.hub_moved(self, message.moved)
        elif kind == "settled":
            self._owner.hub_settled(self, message.settled.version)
        elif kind == "unlinked":
            self._owner.hub_unlinked(self, message.unlinked.serial, message.unlinked.number)
        elif kind == "stopping":
            self.stopping, self.last_words = True, message.stopping
            self._owner.hub_stopping(self)
        elif kind == "retiring":
            self._owner.hub_retiring(self)
        elif kind == "ready":
            self._on_ready(message.ready)
        elif kind == "move_result":
            message.move_result.why = brief(message.move_result.why)
            self._answer(message.move_result)
        elif kind == "tls_renewed":
            message.tls_renewed.error = brief(message.tls_renewed.error)
            self._answer(message.tls_renewed)
        elif kind in ("connections", "stacks", "actors", "described", "heaviest"):
            self._answer(getattr(message, kind))

    def _on_ready(self, ready: control_pb2.Ready) -> None:
        self.hello, self.states = Hello.from_message(ready.hello), dict(ready.states)
        self.keyed = ready.keyed
        error = ready.error
        if not error:
            try:
                self.hello.agree_with_broker(Hello.own())
            except ConfigError as complaint:
                error = str(complaint)
        self.ready, self._ready_since = not error, time.monotonic()
        if self._priority is not None:
            self._priority.end()
        self.trace = ready.trace
        self._owner.hub_ready(self, error)

    def _on_adopted(self, adopted: control_pb2.Adopted, fds: tuple[int, ...]) -> None:
        self.hello, self.states = Hello.from_message(adopted.hello), dict(adopted.states)
        self.keyed = adopted.keyed
        self.ready = True
        self.stopping = self.stopping or adopted.stopping
        self.draining = self.draining or adopted.draining
        self.load = adopted.load
        self._owner.hub_adopted(self, adopted, fds)

    def _answer(self, answer: Answer) -> None:
        if (asked := self._asked.pop(answer.request, None)) is not None:
            asked.set(answer)

    def _on_link_end(self, link: Link[control_pb2.ToBroker]) -> None:
        """The end of the link is not the end of the process; its pidfd tells that."""
        log.debug("%r: its link has ended", self)
        self._give_up_answers()

    def _on_exit(self) -> None:
        if (code := self._process.poll()) is None:
            return
        self.exit_code = code
        self._claim.forget_hub(self.serial)
        # Why it ended may still lie in the socket.
        self._link.drain()
        self.let_go()
        self._owner.hub_exited(self)

    def let_go(self) -> None:
        """Have nothing to do with it any more: it has ended, or is another broker's from now on."""
        self._exit_watcher.stop()
        self._exit_watcher.close()
        if self._priority is not None:
            self._priority.close()
        self._process.close()
        self._link.close()
        self._give_up_answers()
        if self._dumps is not None:
            self._dumps.close()

    def _give_up_answers(self) -> None:
        for result in self._asked.values():
            result.set(None)
        self._asked.clear()

    def __repr__(self) -> str:
        state = self.state if self.exit_code is None else self.describe_exit()
        return f"<HubProcess {self.serial} of hub {self.hub}, pid {self.pid}: {state}>"


def left(load: control_pb2.Load) -> int:
    """What a process that is drained still has. Before it says how that goes on, only its connections are
    known; then its keyed actors are counted as well."""
    return load.draining.left if load.HasField("draining") else load.connections


def written(process: HubProcess) -> record_pb2.Process:
    """How it is written down for another broker."""
    return record_pb2.Process(hub=process.hub, serial=process.serial, generation=process.generation)


def introduce(one: HubProcess, other: HubProcess, number: int) -> None:
    """Give two hubs a link to each other. The number tells it from all others that they get.

    Waits, for at most a second in all, until the kernel has taken it: many hubs would otherwise leave more
    descriptors under way than the broker may have.
    """
    with no_forks():
        left, right = socket.socketpair()
        with left, right:
            taken = [
                _send_peer(one, other, left.fileno(), number),
                _send_peer(other, one, right.fileno(), number),
            ]
    for event in taken:
        event.wait(0.5)


def _send_peer(to: HubProcess, peer: HubProcess, fd: int, number: int) -> Event:
    taken = Event()
    hello = None if peer.hello is None else peer.hello.to_message()
    told = control_pb2.Peer(hub=peer.hub, serial=peer.serial, hello=hello, states=peer.states, number=number)
    if not to.send(control_pb2.ToHub(peer=told), [fd], then=taken.set):
        taken.set()
    return taken
