"""What the tests of code generation share: the golden files, generated once."""

from __future__ import annotations

from pathlib import Path

import pytest

from .programs import GOLDEN, PROTOS, by_command


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that ``python -m actorrpc.protoc`` makes of the golden files."""
    out = tmp_path_factory.mktemp("generated")
    done = by_command(GOLDEN, out, *PROTOS)
    assert done.returncode == 0, done.stderr
    return out
