"""A program that is missing fails its test, unless it was said to be dispensable."""

from __future__ import annotations

import pytest

from tests.interop.programs import WITHOUT, program


@pytest.fixture(autouse=True)
def _nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(WITHOUT, raising=False)


def test_it_fails_and_says_what_to_do() -> None:
    with pytest.raises(pytest.fail.Exception, match="Do `apt-get install nghttp2-client`"):
        program("h2load")


def test_it_is_skipped_where_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WITHOUT, "node,h2load")
    with pytest.raises(pytest.skip.Exception, match="h2load is not installed"):
        program("h2load")
    with pytest.raises(pytest.fail.Exception, match=f"{WITHOUT}=curl"):
        program("curl")
