"""Calls of one Pykka actor, from another thread, which waits for each reply."""

from __future__ import annotations

import json
import sys
from time import monotonic, process_time
from typing import Any

import pykka  # type: ignore[import-not-found, unused-ignore]


class Tally(pykka.ThreadingActor):  # type: ignore[misc, unused-ignore]
    def __init__(self) -> None:
        super().__init__()
        self._calls = 0

    def on_receive(self, message: Any) -> int:
        self._calls += 1
        return self._calls


def main(calls: int) -> None:
    tally = Tally.start()
    for _ in range(calls // 10):
        tally.ask({"number": 7, "text": "hello"})
    cpu, began = process_time(), monotonic()
    for _ in range(calls):
        tally.ask({"number": 7, "text": "hello"})
    print(json.dumps({"cpu": process_time() - cpu, "seconds": monotonic() - began}))
    tally.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]))
