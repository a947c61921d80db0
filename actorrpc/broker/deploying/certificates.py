"""The certificates that hubs serve with. The broker looks at their files before hubs read them, has hubs
take up new ones, and warns of those that soon will be a trouble: once, and not each hub.

It keeps nothing of a key. Each hub reads the files for itself: when it starts, and when it is told to.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

import gevent

from actorrpc.broker.processes.hub_process import HubProcess
from actorrpc.config import Config
from actorrpc.errors import ConfigError
from actorrpc.log import about_hub as about
from actorrpc.pb import control_pb2
from actorrpc.tls.handshake.serving import ServedFiles

__all__ = ["Certificates"]

log = logging.getLogger("actorrpc.broker")

#: How long a hub may take to read the files, beside all else that it does.
PATIENCE = 5.0


class Certificates:
    """What hubs serve with, and what is known of it. ``serves_tls``: there is an address of which clients
    speak TLS; ``config()`` is what the hubs of the current ``generation()`` were told.

    Those of an earlier one serve what has not moved yet by what the current one was told: who is not admitted
    there is not admitted anywhere.
    """

    def __init__(
        self,
        serves_tls: bool,
        config: Callable[[], Config],
        generation: Callable[[], int],
        processes: Callable[[], Iterable[HubProcess]],
    ) -> None:
        self._served = ServedFiles(serves_tls, log)
        self._config = config
        self._generation = generation
        self._processes = processes
        #: When hubs were last told to read them again, on the monotonic clock: one that had been started
        #: before, and was not ready, may have read what was there before.
        self._told_at = float("-inf")

    def check(self, config: Config) -> None:
        """Raises ConfigError, with the reason, if hubs could not serve with that."""
        self._served.check(config)

    def taken_up(self, config: Config) -> None:
        """Hubs have read the files. Never raises: they may have been changed since, or other hubs than those
        of this broker have read them."""
        try:
            self._served.read(config)
        except ConfigError as error:
            _warn_of(error)

    def look(self) -> None:
        """Warn of what comes nearer, and of files that were right once. Called now and then."""
        self._served.warn()
        try:
            self._served.check(self._config())
        except ConfigError as error:
            _warn_of(error)

    def renew(self) -> dict[str, Any]:
        """Have all hubs take up the files as they are now. Returns the form of ``actorrpc tls reload
        --json``.

        Raises ConfigError, with the reason, if one is wrong: then no hub is told. Waits for hubs' answers.
        """
        if not self._served.serves_tls:
            raise ConfigError("this server has no address of which clients speak TLS")
        files = self._served.check(self._config())
        assert files is not None
        self._told_at = time.monotonic()
        processes = self._living()
        log.info("tls: %d hubs read the files of certificates again", len(processes))
        # All are told before any is waited for.
        told = [(process, process.ask(self._question(process))) for process in processes]
        gevent.joinall([gevent.spawn(answer.wait, PATIENCE) for _, answer in told])
        self.taken_up(self._config())
        return {
            "certificates": [
                {"file": each.file, "names": list(each.names), "ends": each.ends.isoformat()}
                for each in files.certificates
            ],
            "hubs": [_row(process, answer.value) for process, answer in told],
            "warnings": files.warnings(),
        }

    def ready(self, process: HubProcess) -> None:
        """A process is ready: if it may have read what was there before, it reads again."""
        if process.started <= self._told_at:
            self._renew_one(process)

    def succeeded(self) -> None:
        """There is another generation. Never blocks."""
        for process in self._living():
            self.taken_over(process)

    def taken_over(self, process: HubProcess) -> None:
        """A process is this broker's now: if it is of an earlier generation, another broker may not have told
        it of the current one."""
        if self._served.serves_tls and process.generation < self._generation():
            self._renew_one(process)

    def _living(self) -> list[HubProcess]:
        return [each for each in self._processes() if each.ready and each.exit_code is None]

    def _renew_one(self, process: HubProcess) -> None:
        answer = process.ask(self._question(process))
        gevent.spawn(lambda: _complain(process, _why_not(answer.wait(PATIENCE))))

    def _question(self, process: HubProcess) -> control_pb2.ToHub:
        # One of a generation that does not serve yet has files of its own.
        older = process.generation < self._generation()
        config = self._config().to_message() if older else None
        return control_pb2.ToHub(renew_tls=control_pb2.RenewTls(config=config))

    def __repr__(self) -> str:
        return f"<Certificates {self._served!r}>"


def _warn_of(error: ConfigError) -> None:
    log.warning("a hub that starts again could not serve: %s", error)


def _why_not(answer: object) -> str:
    """Why a hub does not go by what is there now; "" if it does."""
    return answer.error if isinstance(answer, control_pb2.TlsRenewed) else "it does not answer"


def _complain(process: HubProcess, error: str) -> None:
    if error:
        log.warning(
            "hub %d (pid %d) has not taken up the certificates that are there: %s",
            process.hub,
            process.pid,
            error,
            extra=about(process.hub),
        )


def _row(process: HubProcess, answer: object) -> dict[str, Any]:
    error = _why_not(answer)
    _complain(process, error)
    return {
        "id": process.hub,
        "pid": process.pid,
        "generation": process.generation,
        "serial": process.serial,
        "error": error,
    }
