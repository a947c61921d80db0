"""Run the model of the directory for longer than a test may: see docs/design/directory.md."""

from __future__ import annotations

import logging
import sys

from tests.directory.model import play
from tests.support.long_run import long_run

if __name__ == "__main__":
    logging.disable()
    sys.exit(long_run("tests.directory", __doc__, play, longest=80))
