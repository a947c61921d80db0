"""What clients and servers of releases speak, for all who deploy some."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from tests.chaos.releases import generate

__all__ = ["contract", "contracts"]


@pytest.fixture(scope="module")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("contracts")
    generate(folder)
    return folder


@pytest.fixture(scope="module")
def contract(contracts: Path) -> tuple[ModuleType, ModuleType]:
    """What clients know: that of the first release."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(contracts / "v1"))
        return importlib.import_module("life_pb2"), importlib.import_module("life_actorrpc")
