"""Run the model of calls of keyed actors for longer than a test may: see docs/design/actors.md."""

from __future__ import annotations

import sys

from tests.exchange.world import play
from tests.support.long_run import long_run

if __name__ == "__main__":
    sys.exit(long_run("tests.exchange", __doc__, play, longest=120))
