"""``ThreadCalls``: calls of actors that are made in threads of the app, and not in the hub's own.

A thread hands its call over to the hub's loop, and waits for what its ``ThreadConversation`` hears there.
What one thread calls and tells comes to the loop in its order.
"""

from __future__ import annotations

import logging

from gevent.hub import Hub

from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.directory.names import Name
from actorrpc.hub.exchange.exchange import Exchange
from actorrpc.hub.exchange.outgoing import Request
from actorrpc.hub.invoking.callbacks import Callbacks
from actorrpc.hub.invoking.tells import Tells
from actorrpc.hub.invoking.thread_conversation import ThreadConversation
from actorrpc.hub.runtime.runners import Runners
from actorrpc.loop.asking import Asking

__all__ = ["ThreadCalls"]

log = logging.getLogger("actorrpc.hub")


class ThreadCalls:
    """Those of one hub. All but ``close`` is called in threads."""

    def __init__(self, exchange: Exchange, runners: Runners, tells: Tells) -> None:
        self._exchange = exchange
        self._runners = runners
        self._tells = tells
        hub: Hub = runners.hub
        self._asking = Asking(hub.loop, _gone)
        self._callbacks = Callbacks()
        #: Calls that have not ended, changed in the loop only.
        self._open: set[ThreadConversation] = set()

    def begin(self, name: Name, request: Request) -> ThreadConversation:
        """Begin a call. Raises RuntimeError if the hub has stopped."""
        conversation = self._conversation(request)
        self._asking.post(lambda: self._begin(name, request, conversation))
        return conversation

    def _begin(self, name: Name, request: Request, conversation: ThreadConversation) -> None:
        if self._asking.closed:
            conversation.fail(StatusCode.UNAVAILABLE, _STOPPED)
            return
        self._open.add(conversation)
        conversation.on_over(self._open.discard)
        self._tells.after(name, lambda: _begin(conversation, name, request))

    def refuse(self, request: Request, status: StatusCode, message: str) -> ThreadConversation:
        """A call that is not made."""
        conversation = self._conversation(request)
        conversation.fail(status, message)
        return conversation

    def _conversation(self, request: Request) -> ThreadConversation:
        self._check_process()
        return ThreadConversation(self._exchange, self._runners, request, self._asking.post, self._callbacks)

    def tell(self, name: Name, request: Request) -> None:
        """Tell an actor something, and wait until the loop has taken that. Raises RpcError if too many wait,
        and RuntimeError if the hub has stopped."""
        self._check_process()
        self._asking.ask(lambda: self._tell(name, request))

    def _tell(self, name: Name, request: Request) -> None:
        if self._asking.closed:
            raise _gone()
        self._tells.tell(name, request)

    def _check_process(self) -> None:
        """Raise RuntimeError in a child that was forked."""
        if self._runners.thread is None:
            self._runners.check_thread()

    def close(self) -> None:
        """The hub serves no more: end all that is open."""
        self._asking.close()
        for conversation in [*self._open]:
            conversation.fail(StatusCode.UNAVAILABLE, _STOPPED)
        self._callbacks.close()

    def forked(self) -> None:
        """This process is a child of the hub's."""
        self._asking.forked()

    def __repr__(self) -> str:
        return f"<ThreadCalls {len(self._open)} open, {self._asking!r}>"


_STOPPED = "this hub has stopped: whether the call has run is not known"


def _gone() -> RuntimeError:
    return RuntimeError("this hub has stopped: no actor is called by way of it any more")


def _begin(conversation: ThreadConversation, name: Name, request: Request) -> None:
    """What is raised here is nobody's in the loop."""
    try:
        conversation.begin(name, request)
    except RpcError as error:
        conversation.fail(error.code, error.message)
    except Exception as error:
        log.exception("a call of %s could not begin", request.method)
        conversation.fail(StatusCode.INTERNAL, f"the call could not begin: {error!r}")
