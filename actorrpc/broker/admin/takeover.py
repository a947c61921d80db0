"""Asking a broker that lives to leave its hubs to this process."""

from __future__ import annotations

import json
import os
from typing import Any

from actorrpc.broker.admin.ask import NoAnswer, ask
from actorrpc.broker.adoption.inheritance import Inheritance, Wanted
from actorrpc.broker.host.runtime_dir import RuntimeDir
from actorrpc.errors import ConfigError
from actorrpc.pb.admin_pb2 import Request

__all__ = ["PATIENCE", "ask_for_hubs"]

#: How long it may take to let go of them, in seconds.
PATIENCE = 10.0


def ask_for_hubs(directory: RuntimeDir, wanted: Wanted) -> dict[str, Any]:
    """Have the broker of a directory leave its hubs, if there is one: its hubs then wait to be taken over.

    Returns what that broker has to say to its successor: nothing if there is none. Raises ConfigError if it
    does not leave them, or if what it serves is not what is wanted: then it goes on.
    """
    if directory.holder() is None:
        return {}
    directory.check()  # root may ask anybody's broker, but not take its hubs
    Inheritance.check(directory, wanted)
    try:
        reply = ask(directory, Request(hand_over=Request.HandOver(pid=os.getpid())), PATIENCE)
    except NoAnswer as error:
        raise ConfigError(str(error)) from None
    if reply.error:
        raise ConfigError(f"the broker in {directory.path} does not leave its hubs: {reply.error}")
    left: dict[str, Any] = json.loads(reply.json)
    return left
