"""Names: the Python module of a ``.proto``, and what a generated module calls the things it imports."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterable
from itertools import chain, count

__all__ = ["Imports", "is_importable", "is_plain", "module_name"]

_STANDARD = frozenset({"collections.abc.Iterable", "importlib", "typing.Any"})


def module_name(proto: str, suffix: str) -> str:
    """Name the module that protoc's Python generator makes of a file.

    ``module_name("shop/my-cart.proto", "_pb2")`` is ``shop.my_cart_pb2``. The rule is that of
    ``ModuleName`` in protobuf's ``compiler/python/helpers.cc``.
    """
    stem = re.sub(r"\.proto(devel)?$", "", proto)
    return stem.replace("-", "_").replace("/", ".") + suffix


def is_plain(name: str) -> bool:
    """Tell whether ``object.name`` reaches the attribute ``name``, inside a class's body too.

    Keywords do not parse, and Python mangles private names: both need ``getattr(object, name)``.
    """
    mangled = name.startswith("__") and not name.endswith("__")
    return name.isidentifier() and not keyword.iskeyword(name) and not mangled


def is_importable(path: str) -> bool:
    """Tell whether an import statement can name ``path``; ``class.types_pb2`` needs ``importlib``."""
    return all(is_plain(part) for part in path.split("."))


class Imports:
    """The imports of one generated module, each under a name that hides nothing in ``taken``.

    ``taken`` holds what the module's classes define: in a class's body a method named ``Iterable`` would
    otherwise hide the imported one from every annotation.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._names: dict[str, str] = {}

    def use(self, path: str) -> str:
        """Import ``path``, a dotted name such as ``typing.Any``, and return what it is called here."""
        if path not in self._names:
            target = path.rpartition(".")[2]
            self._names[path] = self.fresh(_identifier(target), _identifier(path))
            if not is_importable(path):
                self.use("importlib")
        return self._names[path]

    def fresh(self, *wanted: str) -> str:
        """Take the first of ``wanted`` that is free, or the last with as many underscores as it needs."""
        candidates = chain(wanted, (wanted[-1] + "_" * number for number in count(1)))
        name = next(name for name in candidates if name not in self._taken)
        self._taken.add(name)
        return name

    def blocks(self) -> list[list[str]]:
        """Return the lines that import all this: of the standard library, of others, and by ``importlib``."""
        standard: list[str] = []
        rest: list[str] = []
        loaded: list[str] = []
        for path, name in self._names.items():
            if not is_importable(path):
                loaded.append(f"{name} = {self._names['importlib']}.import_module({json.dumps(path)})")
            elif path in _STANDARD:
                standard.append(_statement(path, name))
            else:
                rest.append(_statement(path, name))
        return [sorted(block, key=_statement_order) for block in (standard, rest, loaded) if block]


def _identifier(path: str) -> str:
    return re.sub(r"\W|^(?=\d)", "_", path.lstrip("_"))


def _statement(path: str, name: str) -> str:
    package, _, target = path.rpartition(".")
    imported = target if name == target else f"{target} as {name}"
    return f"from {package} import {imported}" if package else f"import {imported}"


def _statement_order(line: str) -> tuple[bool, str]:
    return line.startswith("from "), line
