"""All shapes of calls against hubs in this process: on one, and on two between which turns move it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.apps.shapes import app
from tests.support.hubs import serving
from tests.support.shapes_contract import ShapesContract


@pytest.fixture(scope="module", params=[0, 1, 3], ids=["still", "moved-every-turn", "moved-every-third"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    with serving(app, 2, move_every=request.param) as hubs:
        yield hubs.address
        assert any(not moved.aborted for moved in hubs.moved) == bool(request.param)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    return lambda: caplog.text


class TestShapes(ShapesContract):
    """Its tests are the contract's."""
