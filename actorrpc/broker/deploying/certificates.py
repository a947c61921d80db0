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
    speak TLS; ``config()`` is what the hubs of now were told."""

    def __init__(
        self, serves_tls: bool, config: Callable[[], Config], processes: Callable[[], Iterable[HubProcess]]
    ) -> None:
        self._served = ServedFiles(serves_tls, log)
        self._config = config
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
        processes = [each for each in self._processes() if each.ready and each.exit_code is None]
        log.info("tls: %d hubs read the files of certificates again", len(processes))
        # All are told before any is waited for.
        told = [(process, process.ask(_question())) for process in processes]
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
            gevent.spawn(self._renew_late, process)

    def _renew_late(self, process: HubProcess) -> None:
        _complain(process, _why_not(process.ask(_question()).wait(PATIENCE)))

    def __repr__(self) -> str:
        return f"<Certificates {self._served!r}>"


def _warn_of(error: ConfigError) -> None:
    log.warning("a hub that starts again could not serve: %s", error)


def _question() -> control_pb2.ToHub:
    return control_pb2.ToHub(renew_tls=control_pb2.RenewTls())


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
