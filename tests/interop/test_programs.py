"""A program that is missing skips its tests, unless all are required."""

from __future__ import annotations

import pytest

from tests.support.programs import REQUIRED, program


@pytest.fixture(autouse=True)
def _nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(REQUIRED, raising=False)


def test_it_is_skipped_and_says_what_to_do() -> None:
    with pytest.raises(pytest.skip.Exception, match="`apt-get install nghttp2-client` does it"):
        program("h2load")


def test_it_fails_where_all_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="node is not installed"):
        program("node")
