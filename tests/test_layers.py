"""Who may import whom: imports go one way, from part to part and from file to file; the session and the
record layer of TLS are pure, and nothing is pickled.

Read from the source, so that an import inside a function counts too, and one that only a type checker sees.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import actorrpc
from tests.support.processes import python

PACKAGE = Path(actorrpc.__file__).parent

#: From the bottom up: each may import what stands below it, and what it is made of. Those on one line do
#: not know each other. A part is a module or a package, or one of a package that is named here itself.
LAYERS: list[set[str]] = [
    {"errors", "log", "loop", "metadata", "pb", "percentile", "pids", "supported", "titles"},
    # How TLS is to be served is a setting.
    {
        "core_dumps",
        "forks",
        "loading",
        "options_pb2",
        "ref_pb2",
        "service",
        "settings",
        "signatures",
        "tls.handshake.settings",
    },
    {"config", "hub_values", "keys"},
    # What users write against: no wire in them, and no hub.
    {"call", "client"},
    {"actor", "interceptor"},
    {"service_checks"},
    {"app"},
    {"net", "tls", "wire"},
    {"ipc", "tls.handshake"},
    # A hub.
    {"hub.accepting", "hub.links", "hub.metering", "hub.securing"},
    {"hub.runtime"},
    {"hub.calls", "hub.directory", "hub.phase", "hub.topics"},
    {"hub.exchange", "hub.search"},
    {"hub.invoking"},
    {"hub.app_host", "hub.resources"},
    {"hub.actors"},
    {"hub.keyed", "hub.serving"},
    {"hub.connected", "hub.moving"},
    {"hub.listing", "hub.report", "hub.watching"},
    {"hub.heaviest", "hub.memory"},
    {"hub.node"},
    # Everything that has hubs, or stands beside them.
    {"balancing", "codegen", "hub"},
    {"balancing.policies"},
    {"broker.events", "broker.host", "broker.watching"},
    {"serve_options"},
    {"broker.processes"},
    {"broker.sharing"},
    {"broker.moves"},
    {"broker.deploying"},
    {"broker.adoption"},
    {"balancing.simulation", "broker"},
    {"broker.admin"},
    {"broker.serve", "protoc"},
    {"server"},
    {"cli", "testing"},
    {"__init__", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

#: What the layers alone would allow. The broker and the hub meet in `ipc`, and in its messages: the broker
#: knows of no app, and the session of nothing but itself.
FORBIDDEN = {
    "balancing": {"hub.node", "hub.serving"},
    "broker": {"actor", "app", "call", "client", "hub", "service", "wire"},
    "net": {"app", "call", "config", "hub_values"},
    "tls": {"app", "call", "hub_values", "keys", "options_pb2", "ref_pb2"},
    "wire": {
        "actor", "app", "call", "client", "hub_values", "interceptor", "keys", "log", "loop", "options_pb2",
        "ref_pb2",
    },
}  # fmt: skip

#: The session knows no I/O, no clock and no other thread of control.
IMPURE = {
    "asyncio", "concurrent", "datetime", "gevent", "greenlet", "logging", "multiprocessing", "os", "random",
    "select", "selectors", "signal", "socket", "ssl", "subprocess", "threading", "time",
}  # fmt: skip
PICKLES = {"cloudpickle", "copyreg", "dill", "joblib", "marshal", "pickle", "shelve"}

SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if not path.stem.endswith("_pb2"))
every_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))


def imports(path: Path) -> set[str]:
    """The full names of the modules that a source imports, wherever in it."""
    module = ("actorrpc", *path.relative_to(PACKAGE).with_suffix("").parts)
    return set(_imports(ast.parse(path.read_text()), module))


def _imports(node: ast.AST, module: tuple[str, ...]) -> Iterator[str]:
    children = ast.iter_child_nodes(node)
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = ".".join(module[: -node.level]) + "." * bool(node.module) if node.level else ""
        # `from actorrpc import x` may import the module x.
        yield from (f"{base}{node.module or ''}.{alias.name}".replace("..", ".") for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
        yield from (str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant))
    for child in children:
        yield from _imports(child, module)


def part(name: str) -> str | None:
    """The part of actorrpc that a module belongs to: the smallest that has a place. None if it is of
    another package."""
    first, *rest = name.split(".")
    if first != "actorrpc":
        return None
    while rest and ".".join(rest) not in LEVEL:
        rest.pop()
    return ".".join(rest) or "__init__"


def own_part(path: Path) -> str:
    """The part that a source belongs to."""
    found = part(".".join(("actorrpc", *path.relative_to(PACKAGE).with_suffix("").parts)))
    assert found is not None
    return found


def test_each_part_has_its_place() -> None:
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in SOURCES}
    assert parts <= set(LEVEL), "give each new part its place in LAYERS"
    divided = {name.partition(".")[0] for name in LEVEL if "." in name}
    rooms = {".".join(path.parent.relative_to(PACKAGE).parts) for path in SOURCES}
    assert {room for room in rooms if room.partition(".")[0] in divided} <= set(LEVEL)


@every_source
def test_imports_go_one_way(path: Path) -> None:
    own = own_part(path)
    for name in imports(path):
        other = part(name)
        if other is None or other == own:
            continue
        assert LEVEL[other] < LEVEL[own], f"{own} stands below {other}, or beside it"
        forbidden = FORBIDDEN.get(own.partition(".")[0], set())
        assert not {other, other.partition(".")[0]} & forbidden, f"{own} must not know {other}"


def test_no_file_knows_itself_by_way_of_others() -> None:
    assert circle({module_of(path): modules(imports(path)) for path in SOURCES}) == []


def module_of(path: Path) -> str:
    """The full name of the module in a file."""
    return ".".join(("actorrpc", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def modules(names: set[str]) -> set[str]:
    """The modules of actorrpc that full names are of: what is imported from one is its."""
    known = {module_of(path) for path in SOURCES}
    found = {name if name in known else name.rpartition(".")[0] for name in names}
    return found & known


def circle(knows: Mapping[str, set[str]]) -> list[str]:
    """Some modules of which each knows the next, and the last the first; none, if there is no such circle."""
    try:
        TopologicalSorter({name: others - {name} for name, others in knows.items()}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert sorted(set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}))) == ["a", "b", "c"]


@every_source
def test_nothing_is_pickled(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & PICKLES


@every_source
def test_timers_count_from_now(path: Path) -> None:
    """By way of ``actorrpc.loop.timers``: gevent's own count from the beginning of the loop's step."""
    assert path.name == "timers.py" or not _own_timers(ast.parse(path.read_text()))


def _own_timers(tree: ast.AST) -> list[str]:
    """Where a source makes timers itself, or has a greenlet start later."""
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {"spawn_later", "start_later"}
    return [
        ast.unparse(function)
        for function in called
        if (isinstance(function, ast.Attribute) and function.attr in {"timer", *names})
        or (isinstance(function, ast.Name) and function.id in names)
    ]


@pytest.mark.parametrize(
    "source",
    [
        "get_hub().loop.timer(1)",
        "loop.timer(1, 1)",
        "gevent.spawn_later(1, f)",
        "spawn_later(1, f)",
        "g.start_later(1)",
    ],
)
def test_timers_are_found(source: str) -> None:
    assert _own_timers(ast.parse(source))
    assert not _own_timers(ast.parse("after(1, f); every(1, f); call.timer.close()"))


@every_source
def test_descriptors_are_closed_at_once(path: Path) -> None:
    """By ``actorrpc.loop.descriptors.close_now``: gevent's ``os.close`` leaves it to a later step."""
    attributes = {
        ast.unparse(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)
    }
    assert "os.close" not in attributes


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in SOURCES
        if path.is_relative_to(PACKAGE / "wire")
        # The handshake is OpenSSL's: it takes files, and a descriptor for the key log.
        or (path.is_relative_to(PACKAGE / "tls") and not path.is_relative_to(PACKAGE / "tls" / "handshake"))
    ],
    ids=lambda path: path.name,
)
def test_the_session_is_pure(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & IMPURE
    calls = {
        ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
    }
    assert not calls & {
        "open",
        "print",
        "exec",
        "eval",
        "__import__",
        "import_module",
        "importlib.import_module",
    }


def test_the_session_needs_no_gevent_to_be_imported() -> None:
    program = "import sys, actorrpc.wire.snapshot; print(sorted({'gevent', 'greenlet'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_tls_needs_its_ciphers_when_it_is_used_and_not_before() -> None:
    program = "import sys, actorrpc.tls.snapshot; print(sorted({'cryptography', 'ssl'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_hub_without_tls_imports_nothing_of_it() -> None:
    """But for the settings: the rest takes 25 ms."""
    program = """
import sys
from gevent.monkey import patch_all; patch_all()
import actorrpc.hub.__main__
from actorrpc.config import Config
from actorrpc.hub.node import Node
from tests.apps.shapes import app
node = Node(app, Config())
print(*sorted(each for each in sys.modules if each.startswith(("actorrpc.tls", "cryptography"))))
node.renew_tls()
node.close()
"""
    done = python("-c", program)
    room = "actorrpc.tls"
    assert (done.stdout.split(), done.stderr) == (
        [room, f"{room}.handshake", f"{room}.handshake.settings"],
        "",
    )


# ---- the reader of imports itself


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import a.b", {"a.b"}),
        ("from a import b", {"a.b"}),
        ("from . import b", {"actorrpc.wire.b"}),
        ("from .x import b", {"actorrpc.wire.x.b"}),
        ("from ..hub import b", {"actorrpc.hub.b"}),
        ("def f():\n    if x:\n        import a", {"a"}),
        ("try:\n    import a\nexcept ImportError:\n    import b", {"a", "b"}),
        ("if TYPE_CHECKING:\n    import a\nelse:\n    import b", {"a", "b"}),
        ("importlib.import_module('a.b')", {"a.b"}),
        ("__import__('a')", {"a"}),
    ],
)
def test_imports_are_found(source: str, found: set[str]) -> None:
    assert set(_imports(ast.parse(source), ("actorrpc", "wire", "session"))) == found
