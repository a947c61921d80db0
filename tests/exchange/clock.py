"""Time that passes when the model says so."""

from __future__ import annotations

import pytest

from actorrpc.hub.exchange import exchange, recent
from actorrpc.hub.keyed import activation, resting
from actorrpc.hub.moving import keyed, mover
from tests.support import clock

__all__ = ["Clock"]


class Clock(clock.Clock):
    """In all that the model is of."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        clocks = (exchange, recent, activation, resting, keyed)
        super().__init__(patch, clocks, having_timers=(exchange, keyed, mover))
