"""Run the model of the search for connections for longer than a test may: see docs/design/references.md."""

from __future__ import annotations

import sys

from tests.search.model import play
from tests.support.long_run import long_run

if __name__ == "__main__":
    sys.exit(long_run("tests.search", __doc__, play, longest=120))
