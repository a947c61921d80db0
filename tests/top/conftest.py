"""Fixtures that start servers, and see to it that nothing of them is left."""

from __future__ import annotations

from tests.support.fixtures import connect, follow, serve, server

__all__ = ["connect", "follow", "serve", "server"]
