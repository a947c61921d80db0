"""Calling the hubs that are to be taken over, and waiting for what each says that it has.

A hub takes a call as soon as it knows that its own broker has gone. One that hangs does so later: it is taken
for silent until then, as any other that hangs.
"""

from __future__ import annotations

import logging
import socket
from functools import partial

from actorrpc.broker.adoption.inheritance import Inheritance
from actorrpc.broker.events import Events
from actorrpc.broker.host.hub_sockets import call_hub
from actorrpc.broker.host.orphaned_hubs import kill_hubs
from actorrpc.broker.host.runtime_dir import Claim
from actorrpc.broker.processes.hub_process import HubProcess, Owner
from actorrpc.broker.processes.os_process import Inherited, OsProcess
from actorrpc.errors import ConfigError
from actorrpc.ipc.hello import Hello
from actorrpc.log import about_hub as about
from actorrpc.pb import control_pb2
from actorrpc.pb.record_pb2 import Process

__all__ = ["PATIENCE", "Adoption"]

log = logging.getLogger("actorrpc.broker")

#: For how many seconds hubs are waited for, before those that say nothing are taken for silent.
PATIENCE = 5.0
#: The same where none says anything: without one that does, it is not even known where they listen.
LONGEST = 60.0


class Adoption:
    """Takes ``inheritance`` over: ``owner`` is told what becomes of each process."""

    def __init__(self, inheritance: Inheritance, claim: Claim, owner: Owner) -> None:
        self.server = inheritance.server
        self._pids = inheritance.pids
        self._claim = claim
        self._owner = owner
        #: What is heard of them meanwhile.
        self.events = Events()
        #: Those that have said nothing yet.
        self._awaited: set[HubProcess] = set()
        self._error = ""
        #: It is not waited for any of them any more: what is heard now is heard late.
        self.over = False
        self._called: list[HubProcess] = []
        for ended in inheritance.ended:
            claim.forget_hub(ended.serial)
        try:
            self.members = self._call_all(inheritance.members)
            self.successors = self._call_all(inheritance.successors)
        except BaseException:
            self.let_go()
            raise
        for process in self.members:
            process.ready = True  # it has joined the others: if it says nothing, it is silent

    def _call_all(self, processes: list[Process]) -> list[HubProcess]:
        called = [self._call(process) for process in processes]
        return [process for process in called if process is not None]

    def _call(self, known: Process) -> HubProcess | None:
        """Call one; None if it has ended, or does so. Raises ConfigError if it cannot be called."""
        make = partial(self._reach, known.serial)
        try:
            process = HubProcess(
                known.hub, known.serial, self._claim, make, self._owner, generation=known.generation
            )
        except (ProcessLookupError, ConnectionError):
            # Nobody listens there: it ends. Should it not, it would serve on, and nobody would know it.
            kill_hubs(self._claim.directory, {known.serial: self._pids[known.serial]})
            self._claim.forget_hub(known.serial)
            return None
        except OSError as error:
            raise ConfigError(
                f"hub {known.hub} (pid {self._pids[known.serial]}) cannot be called: {error}"
            ) from error
        self._called.append(process)
        process.send(control_pb2.ToHub(adopt=control_pb2.Adopt(hello=Hello.own().to_message())))
        self._awaited.add(process)
        return process

    def _reach(self, serial: int) -> tuple[OsProcess, socket.socket]:
        process = Inherited(self._pids[serial])
        try:
            if self._claim.directory.living_hubs().get(serial) != process.pid:
                raise ProcessLookupError
            return process, call_hub(self._claim.directory, serial)
        except BaseException:
            process.close()
            raise

    def wait(self) -> None:
        """Wait until all have spoken, or ended, for at most ``PATIENCE``, or until any has, for at most
        ``LONGEST``. Raises ConfigError if one cannot be taken over."""
        if not self.events.until(self._is_complete, PATIENCE):
            self.events.until(lambda: len(self.silent) < len(self.living) or self._is_complete(), LONGEST)
        self.over = True
        if self._error:
            raise ConfigError(f"the hubs that serve cannot be taken over: {self._error}")
        for process in self.silent:
            ids = about(process.hub)
            log.warning("hub %d (pid %d) says nothing, but lives", process.hub, process.pid, extra=ids)

    def _is_complete(self) -> bool:
        return bool(self._error) or all(process.exit_code is not None for process in self._awaited)

    @property
    def silent(self) -> list[HubProcess]:
        """The members that have said nothing, and live."""
        return [each for each in self.living if each in self._awaited]

    @property
    def living(self) -> list[HubProcess]:
        """The members that have not ended."""
        return [each for each in self.members if each.exit_code is None]

    def heard(self, process: HubProcess, adopted: control_pb2.Adopted) -> None:
        """A process has said what it has, or why it cannot be taken over."""
        self._awaited.discard(process)
        if adopted.error:
            self._error = f"hub {process.hub} (pid {process.pid}): {adopted.error}"
        elif adopted.homes > self.server.homes.version:
            self._error = f"hub {process.hub} (pid {process.pid}) knows more than what is written down"

    def let_go(self) -> None:
        """They are not taken over: they hear that they have no broker, and may be called by another one."""
        self.over = True
        for process in self._called:
            if process.exit_code is None:
                process.let_go()

    def __repr__(self) -> str:
        return f"<Adoption of {self.members} and {self.successors}, {len(self._awaited)} have said nothing>"
