"""Writes the expected modules beside the golden .proto files: ``python -m tests.codegen.regenerate``.

Read the difference before you commit it: it is what users will get.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.codegen.programs import GOLDEN, PROTOS, by_command, modules_of


def main() -> None:
    with TemporaryDirectory() as scratch:
        done = by_command(GOLDEN, Path(scratch), *PROTOS)
        if done.returncode:
            sys.exit(done.stderr)
        for old in modules_of(GOLDEN):
            (GOLDEN / old).unlink()
        for name, text in modules_of(Path(scratch)).items():
            (GOLDEN / name).write_text(text)


if __name__ == "__main__":
    main()
