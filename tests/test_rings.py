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


#: All that say which tests are meant.
PATTERNS = (*rings.INNER, *rings.OUTER, *rings.EXHAUSTIVE, *rings.WHOLE_MACHINE)


def test_files_that_are_left_out_have_nothing_to_run():
    """A file is imported unless none of its tests can have the mark."""
    files = [path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")]
    tests = ["test", *(name for _, _, name in (pattern.partition("::") for pattern in PATTERNS) if name)]
    for file in files:
        names = [f"{file}::{test}" for test in tests]
        assert rings.may_have(file, "quick") or not any(map(rings.is_quick, names))
        assert rings.may_have(file, "brief") or not any(map(rings.is_brief, names))
        assert rings.may_have(file, "whole_machine") or not any(map(rings.wants_the_machine, names))
        assert rings.may_have(file, "not whole_machine") and rings.may_have(file, "")
    for marks in ("quick", "brief", "whole_machine"):
        assert 0 < sum(rings.may_have(file, marks) for file in files) < len(files)


def test_what_starts_servers_is_not_quick():
    starting = [path for path in TESTS.rglob("test_*.py") if STARTS.search(path.read_text())]
    names = [path.relative_to(TESTS).as_posix() for path in starting]
    assert len(names) > 10
    assert [name for name in names if rings.is_quick(f"{name}::test")] == []
