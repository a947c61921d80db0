"""grpcio's synchronous client against two hubs in processes of their own."""

from __future__ import annotations

from tests.support.shapes_contract import ShapesContract


class TestGrpcioSync(ShapesContract):
    """Its tests are the contract's."""
