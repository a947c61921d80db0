"""What becomes of an error that an app's code raised: its call ends, whatever was raised, and a line in the
log says what was wrong. Nothing that an app raises ends more than its own call or hook.

Only what a signal's handler raised, such as Ctrl-C, goes on to the program's main greenlet: it has come upon
the app's code, which did not raise it.
"""

from __future__ import annotations

import dis
import logging
import signal
from typing import Any

import gevent

from actorrpc.errors import CallInterrupted, RpcError, StatusCode
from actorrpc.hub.calls.call import ServerCall
from actorrpc.hub.calls.variables import run_in
from actorrpc.log import about
from actorrpc.loop.duties import reason
from actorrpc.metadata import encode_metadata

__all__ = ["contain", "fail"]

log = logging.getLogger("actorrpc.hub")

_RAISE = dis.opmap["RAISE_VARARGS"]

#: What handlers of signals raise to end the program.
_ENDING = (KeyboardInterrupt, SystemExit)


def fail(call: ServerCall[Any], error: BaseException) -> None:
    """End a call whose handler raised; also SystemExit or a gevent.Timeout ends no more than that."""
    call.host.leave_child(error)
    chain = call.route.chain
    if chain is None:
        _end(call, error)
    else:
        _end(call, run_in(call, chain.error, call, error))
    contain(error)


def _end(call: ServerCall[Any], error: BaseException) -> None:
    """End a call with what ``error`` says, or UNKNOWN."""
    if isinstance(error, CallInterrupted):
        call.end(StatusCode.CANCELLED, "the handler was interrupted")  # unless its call ended before
        return
    if isinstance(error, RpcError):
        code, message, metadata, faults = _answer(error)
        call.end(code, message, metadata)
        if faults:
            why = "; ".join(faults)
            log.error(
                "%s raised an RpcError of which %s, for call %s",
                call.method,
                why,
                call.id,
                exc_info=error,
                extra=_ids(call),
            )
        return
    call.end(StatusCode.UNKNOWN, "the handler failed")
    log.error("%s raised, for call %s", call.method, call.id, exc_info=error, extra=_ids(call))


def _ids(call: ServerCall[Any]) -> dict[str, Any]:
    return about(call.method, connection=call.host.id, call=call.id)


def contain(error: BaseException) -> None:
    """Keep what an app's code raised from going further, except for what a signal's handler raised: that is
    raised where it belongs, in the program's main greenlet, when the loop comes round."""
    if isinstance(error, _ENDING) and _was_signal(error):
        hub: Any = gevent.get_hub()
        hub.loop.run_callback(hub.parent.throw, error)


Answer = tuple[StatusCode, str, list[tuple[bytes, bytes]], list[str]]


def _answer(error: RpcError) -> Answer:
    """Status, message and metadata to answer with, and what is wrong with the error, if anything is: a
    subclass may have set its attributes to anything, or not at all."""
    faults: list[str] = []
    code, message = _code(error, faults), _message(error, faults)
    try:
        metadata = encode_metadata(error.metadata)
    except BaseException as wrong:
        faults.append(f"the metadata cannot be sent ({reason(wrong)})")
        metadata = []
    return code, message, metadata, faults


def _code(error: RpcError, faults: list[str]) -> StatusCode:
    try:
        code = StatusCode(error.code)
        if code is not StatusCode.OK:
            return code
        faults.append("the code is OK")
    except BaseException as wrong:
        faults.append(f"the code is not a status ({reason(wrong)})")
    return StatusCode.UNKNOWN


def _message(error: RpcError, faults: list[str]) -> str:
    try:
        message: object = error.message
        if isinstance(message, str):
            return message
        faults.append(f"the message is a {type(message).__name__}, not a str")
        return str(message)
    except BaseException as wrong:
        faults.append(f"the message is not text ({reason(wrong)})")
        return "the handler failed"


def _was_signal(error: BaseException) -> bool:
    """Whether a signal's handler raised it: one of the app's, or Python's own for SIGINT, which raises
    between any two instructions of whatever runs, and so not where a ``raise`` stands."""
    hub: Any = gevent.get_hub()
    if not hub.main_hub:  # signals come to the main thread only
        return False
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    codes = [getattr(handler, "__code__", error) for handler in handlers]
    code, at = None, 0
    trace = error.__traceback__
    while trace is not None:
        code, at, trace = trace.tb_frame.f_code, trace.tb_lasti, trace.tb_next
        if code in codes:
            return True
    by_default = isinstance(error, KeyboardInterrupt) and handlers[0] is signal.default_int_handler
    return by_default and code is not None and code.co_code[at] != _RAISE
