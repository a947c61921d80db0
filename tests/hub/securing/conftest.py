from __future__ import annotations

import pytest

from tests.support.certificates import Authority, Pair


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture(scope="session")
def pair(authority: Authority) -> Pair:
    return authority.sign("localhost", ["localhost"])


@pytest.fixture(scope="session")
def client_pair(authority: Authority) -> Pair:
    return authority.sign("ann", ["ann.example", "a.example"])
