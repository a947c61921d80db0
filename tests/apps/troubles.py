"""What the storm's handlers do that a hub has to survive: they fork, and offload what raises."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import time
from typing import NoReturn

import actorrpc

__all__ = ["fail", "fork"]


def fork(how: str, seconds: float) -> int:
    """Fork, as users do. Returns the pid of a child that lives on; 0 if none does."""
    if how == "process":
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(seconds,))
        child.start()
        child.join()
    elif how == "fork":
        pid = os.fork()
        if not pid:
            try:
                time.sleep(seconds)  # cooperatively, as everything in a hub
            finally:
                os._exit(0)
        return pid
    elif how == "run":
        subprocess.run(["sleep", str(seconds)], check=True)
    elif how == "program":
        return subprocess.Popen(["sleep", str(seconds)]).pid
    else:
        raise ValueError(how)
    return 0


def fail(how: str) -> NoReturn:
    """Raise, in whatever thread this is."""
    if how == "exit":
        raise SystemExit(3)
    if how == "rpc":
        raise actorrpc.RpcError(actorrpc.StatusCode.FAILED_PRECONDITION, "offloaded")
    raise ValueError(how)
