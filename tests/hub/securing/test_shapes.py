"""Every shape of call over TLS, still, and moved to another hub after every turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from tests.apps.shapes import app
from tests.support.certificates import Authority, Pair
from tests.support.hubs import serving
from tests.support.shapes_contract import OPTIONS, ShapesContract


@pytest.fixture(scope="module", params=[0, 1], ids=["still", "moved-every-turn"])
def address(request: pytest.FixtureRequest, pair: Pair) -> Iterator[str]:
    with serving(app, 3, tls_cert=(pair.cert,), tls_key=(pair.key,), move_every=request.param) as hubs:
        yield hubs.address
        assert any(not moved.aborted for moved in hubs.moved) == bool(request.param)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    return lambda: caplog.text


class TestShapes(ShapesContract):
    """Its tests are the contract's."""

    @pytest.fixture
    def connect(self, address: str, authority: Authority) -> Callable[[], grpc.Channel]:
        credentials = grpc.ssl_channel_credentials(Path(authority.file).read_bytes())
        options = [("grpc.ssl_target_name_override", "localhost"), *OPTIONS]
        return lambda: grpc.secure_channel(address, credentials, options=options)
