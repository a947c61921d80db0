"""The programs under test, run as users run them: in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

import actorrpc

ROOT = Path(actorrpc.__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"
PROTOS = sorted(str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*.proto"))

_INCLUDE = ROOT / "actorrpc" / "include"
Result = subprocess.CompletedProcess[str]


def python(
    *arguments: str | Path,
    cwd: Path | None = None,
    path: Iterable[Path] = (),
    environment: Mapping[str, str] | None = None,
) -> Result:
    """Run this interpreter; ``path`` comes before the tested actorrpc on the child's ``sys.path``."""
    modules = os.pathsep.join(map(str, (*path, ROOT)))
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": modules, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def by_command(source: Path, out: Path, *protos: str) -> Result:
    """Generate everything with ``python -m actorrpc.protoc``."""
    return python("-m", "actorrpc.protoc", "-I", source, "--out", out, *protos)


def by_plugin(source: Path, out: Path, *protos: str, parameter: str = "") -> Result:
    """Generate only the services, with plain protoc and the plugin that it finds on the PATH."""
    scripts = out.parent / f"{out.name}-scripts"
    scripts.mkdir()
    script = scripts / "protoc-gen-actorrpc"
    # What pip writes for the entry point in setup.cfg.
    script.write_text(f"#!{sys.executable}\nfrom actorrpc.codegen.plugin import main\nmain()\n")
    script.chmod(0o755)
    out.mkdir()
    return python(
        "-m",
        "grpc_tools.protoc",
        f"-I{source}",
        f"-I{_INCLUDE}",
        f"--actorrpc_out={parameter}:{out}",
        *protos,
        environment={"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"},
    )


def request_for(source: Path, scratch: Path, *protos: str) -> CodeGeneratorRequest:
    """Let protoc make the request that it would send to a plugin."""
    descriptors = scratch / "descriptors"
    done = python(
        "-m",
        "grpc_tools.protoc",
        f"-I{source}",
        f"-I{_INCLUDE}",
        "--include_imports",
        "--include_source_info",
        f"--descriptor_set_out={descriptors}",
        *protos,
    )
    assert done.returncode == 0, done.stderr
    files = FileDescriptorSet.FromString(descriptors.read_bytes()).file
    return CodeGeneratorRequest(file_to_generate=protos, proto_file=files)


def modules_of(folder: Path) -> dict[str, str]:
    """Read the modules of services below a folder, by their place in it."""
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*_actorrpc.py"))}
