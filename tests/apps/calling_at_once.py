"""The app of ``calling``, which imports grpcio before it serves."""

from __future__ import annotations

import grpc  # noqa: F401

from tests.apps.calling import app

__all__ = ["app"]
