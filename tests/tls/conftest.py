from __future__ import annotations

from collections.abc import Iterator

import pytest

from actorrpc.tls.handshake.key_log import KeyLog
from tests.support.certificates import Authority, Pair


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture(scope="session")
def server_pair(authority: Authority) -> Pair:
    return authority.sign("localhost", ["localhost"])


@pytest.fixture
def log() -> Iterator[KeyLog]:
    log = KeyLog()
    yield log
    log.close()
