"""What ``tox -e quick`` leaves out: it tests what needs no server."""

from __future__ import annotations

import re
from pathlib import Path

from tests import rings

TESTS = Path(__file__).parent
#: With these a test starts ``actorrpc serve``.
STARTS = re.compile(
    r"^from tests\.support\.(server_process import .*(ServerProcess|served)|fixtures import .*[sS]erve)\b",
    re.M,
)


def test_what_starts_servers_is_not_quick():
    starting = [path for path in TESTS.rglob("test_*.py") if STARTS.search(path.read_text())]
    names = [path.relative_to(TESTS).as_posix() for path in starting]
    assert len(names) > 10
    assert [name for name in names if rings.is_quick(f"{name}::test")] == []
