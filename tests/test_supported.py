"""On a system or a Python that will not do, one line says so."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import actorrpc

PACKAGE = Path(actorrpc.__file__).parent

#: What only Linux, or only Unix, has.
ELSEWHERE = """
import sys
sys.platform = "darwin"
for name in ("fcntl", "pwd", "gevent", "resource"):
    sys.modules[name] = None
"""
OLD = "import sys; sys.version_info = (3, 9, 18, 'final', 0)\n"

TOO_OLD = "actorrpc needs Python 3.10 or newer, and this is 3.9"
NO_LINUX = "actorrpc serves on Linux only, and this is darwin"


def python(program: str) -> tuple[int, list[str]]:
    """The exit status of a program, and what it wrote to standard error."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return done.returncode, done.stderr.splitlines()


def command(*arguments: str) -> str:
    return f"sys.argv = ['/bin/actorrpc', *{arguments!r}]\nfrom actorrpc.cli.commands import main\nmain()"


def test_the_command_on_an_old_python():
    assert python(OLD + command("status")) == (2, [f"actorrpc: error: {TOO_OLD}"])


def test_it_as_a_module():
    program = "import runpy\nsys.argv = ['-m', 'status']\nrunpy._run_module_as_main('actorrpc')"
    status, (line,) = python(OLD + program)
    assert status == 1 and f"ImportError: {TOO_OLD}" in line


def test_the_package_on_an_old_python():
    assert python(OLD + "import actorrpc")[1][-1] == f"ImportError: {TOO_OLD}"


@pytest.mark.parametrize("arguments", [("serve", "a:b"), ("status",), ("stop",), ("move", "0-1-1", "1")])
def test_the_command_on_another_system(arguments):
    assert python(ELSEWHERE + command(*arguments)) == (2, [f"actorrpc: error: {NO_LINUX}"])


@pytest.mark.parametrize("name", ["Server", "serve"])
def test_what_serves_on_another_system(name):
    assert python(ELSEWHERE + f"import actorrpc\nactorrpc.{name}")[1][-1] == f"ImportError: {NO_LINUX}"


@pytest.mark.parametrize(
    "program",
    [
        "import actorrpc, actorrpc.client, tests.apps.shapes_actorrpc",
        "from tests.apps.shapes_actorrpc import StatelessBase\n"
        "import actorrpc\nactorrpc.App([type('S', (StatelessBase,), {})])",
        "from actorrpc.codegen import plugin",
        command("protoc", "--help"),
        command("simulate", "--help"),
        command("--version"),
    ],
)
def test_clients_and_generators_may_run_there(program):
    assert python(ELSEWHERE + program) == (0, [])


@pytest.mark.parametrize("name", ["__init__", "supported"])
def test_any_python_3_can_read_what_says_so(name):
    for node in ast.walk(ast.parse((PACKAGE / f"{name}.py").read_text(), feature_version=(3, 4))):
        assert not isinstance(node, (ast.JoinedStr, ast.NamedExpr)), node.lineno
        assert not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
