"""How the processes of a server write their log."""

from __future__ import annotations

import logging

__all__ = ["log_to_stderr"]


def log_to_stderr(role: str) -> None:
    """Write what ``actorrpc.*`` loggers say from INFO up to standard error, each line with ``role``.

    Only the project's own loggers: how an app logs is the app's choice.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)s {role}: %(message)s"))
    logger = logging.getLogger("actorrpc")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = [handler]
