"""The certificates that a server serves with: whether it can, and what an operator is warned of."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from actorrpc.config import Config
from actorrpc.errors import ConfigError
from actorrpc.log import about

if TYPE_CHECKING:
    from actorrpc.tls.handshake.files import Files

__all__ = ["LOOK", "ServedFiles", "check_files"]

#: How often certificates are looked at, which come to their ends, in seconds.
LOOK = 24 * 3600.0


def check_files(config: Config, serves_tls: bool) -> Files | None:
    """Read the files that it would serve with; None without TLS. ``serves_tls``: there is an address for
    that.

    Raises ConfigError, with the reason, if it could not serve with them, or there is nothing to serve.
    """
    tls = config.tls
    if not serves_tls:
        if tls is not None:
            raise ConfigError(
                "there is a TLS certificate, and no address of which clients speak TLS: give tls_bind"
            )
        if config.tls_min != Config.tls_min:
            raise ConfigError(f"tls_min {config.tls_min} is for tls_bind, and there is none")
        return None
    if tls is None:
        raise ConfigError(
            "an address of which clients speak TLS needs a certificate: give tls_cert and tls_key"
        )
    # Not before it is needed: a broker without TLS needs no OpenSSL.
    from actorrpc.tls.handshake.files import read_files

    return read_files(tls)


class ServedFiles:
    """As they were last read. ``log`` is where warnings of them go."""

    def __init__(self, serves_tls: bool, log: logging.Logger) -> None:
        self.serves_tls = serves_tls
        self._log = log
        self._files: Files | None = None

    def check(self, config: Config) -> Files | None:
        """As ``check_files``."""
        return check_files(config, self.serves_tls)

    def read(self, config: Config) -> None:
        """They are served with as they are now: warn of what there is to warn of. Raises as ``check``
        does."""
        self._files = self.check(config)
        self.warn()

    def warn(self) -> None:
        """Warn of them, as they were read, again."""
        for line in [] if self._files is None else self._files.warnings():
            self._log.warning(
                "%s", line, extra=about(line)
            )  # each is a kind of its own, and none is left out

    def __repr__(self) -> str:
        return f"<ServedFiles {self._files!r}>"
