"""grpcio's synchronous client against two hubs in processes of their own."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest

from tests.support.endpoints import Endpoint
from tests.support.shapes_contract import OPTIONS, ShapesContract


class TestGrpcioSync(ShapesContract):
    """Its tests are the contract's."""

    @pytest.fixture
    def connect(self, endpoint: Endpoint) -> Callable[[], grpc.Channel]:
        return lambda: endpoint.channel(OPTIONS)
