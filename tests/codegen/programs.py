"""The programs under test, run as users run them: in processes of their own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tests.support.processes import ROOT, Result, python

GOLDEN = Path(__file__).parent / "golden"
PROTOS = sorted(str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*.proto"))

_INCLUDE = ROOT / "actorrpc" / "include"


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
