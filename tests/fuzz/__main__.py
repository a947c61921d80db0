"""Run the fuzzers for longer than a test may: see docs/evidence/fuzzing.md."""

from __future__ import annotations

import argparse
import sys

from .guided import guided
from .long import Run, run_session


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000_000, help="how many frames sessions must parse")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--session", type=int, help="only the session of this number, as a failure names it")
    parser.add_argument("--atheris", type=int, metavar="SECONDS", help="the coverage-guided run instead")
    parser.add_argument("--records", action="store_true", help="with --atheris: of the record layer of TLS")
    arguments = parser.parse_args()
    if arguments.atheris is not None:
        return guided(arguments.atheris, records=arguments.records)
    if arguments.session is not None:
        print(run_session(arguments.seed, arguments.session).model.codes)
        return 0
    run = Run(arguments.seed, arguments.frames)
    good = run()
    print(run.report())
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
