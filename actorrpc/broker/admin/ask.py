"""Asking a broker from the command line, and ending the hubs that a dead one has left. Imports no gevent."""

from __future__ import annotations

from contextlib import suppress

from actorrpc.broker.admin.elsewhere import forbidden, nobody_there
from actorrpc.broker.adoption.inheritance import bounds_of
from actorrpc.broker.host.orphaned_hubs import stop_hubs
from actorrpc.broker.host.record import Record
from actorrpc.broker.host.runtime_dir import RuntimeDir
from actorrpc.config import Config
from actorrpc.errors import ConfigError
from actorrpc.ipc.request import request
from actorrpc.pb import admin_pb2

__all__ = ["NoAnswer", "ask", "stop"]

#: How much longer than its drain timeout a hub may take to stop.
GRACE = 2.0


class NoAnswer(Exception):
    """The broker lives and says nothing. Its text is one line for a person."""


def ask(directory: RuntimeDir, question: admin_pb2.Request, timeout: float | None) -> admin_pb2.Reply:
    """Return the broker's answer.

    Raises ConfigError if no broker runs there, or this user may not ask it, NoAnswer if one does and does not
    answer in time.
    """
    try:
        return request(directory.socket_path, question, admin_pb2.Reply, timeout)
    except TimeoutError:
        raise NoAnswer(f"the broker in {directory.path} does not answer") from None
    except PermissionError:
        raise ConfigError(forbidden(directory)) from None
    except OSError as error:
        if holder := directory.holder():
            who = f"the broker in {directory.path} (pid {holder.pid})"
            raise NoAnswer(f"{who} does not answer: {error.strerror}") from None
        raise ConfigError(directory.describe_orphans() or nobody_there(directory)) from None


def stop(directory: RuntimeDir, drain_timeout: float | None = None) -> str:
    """Stop the broker and its hubs, or the hubs that a dead broker has left, and wait until they have gone.

    ``drain_timeout``: for how many seconds open calls may go on; unless given, as the server was told.
    Returns what was done, as a line for the user. Raises ConfigError if nothing runs there, NoAnswer if
    the broker lives and does not stop.
    """
    holder = directory.last_holder()
    timeout = (holder or Config()).drain_timeout if drain_timeout is None else drain_timeout
    patience = timeout + GRACE
    wish = admin_pb2.Request(stop=admin_pb2.Request.Stop(drain_timeout=drain_timeout))
    try:
        ask(directory, wish, patience + GRACE)
        return "stopped"
    except ConfigError:
        if not directory.living_hubs():
            raise
    with directory.claim() as claim:
        with suppress(ConfigError):
            server = Record(directory).read()
            claim.made = server is not None and server.made_directory
            for bound in bounds_of(server) if server is not None else ():
                bound.remove_file()  # while the hubs live, whose sockets they are
        count = stop_hubs(directory, patience)
    return f"stopped {count} hub{'s' * (count != 1)} of a dead broker"
