"""``python -m actorrpc.protoc``: everything that a service needs, generated from its .proto files at once."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import click

__all__ = ["INCLUDE", "main"]

INCLUDE = Path(__file__).parent / "include"
"""The folder that holds what users' files import: ``actorrpc/options.proto`` and ``actorrpc/ref.proto``."""


class _Failure(click.ClickException):
    exit_code = 2


def _print_include(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(INCLUDE)
        context.exit()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("protos", nargs=-1, required=True, metavar="PROTO...")
@click.option(
    "-I",
    "--proto-path",
    "--proto_path",
    "paths",
    multiple=True,
    default=["."],
    show_default="the current folder",
    metavar="DIR",
    help="A folder in which to find files and their imports; repeat it for more.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, writable=True, path_type=Path),
    metavar="DIR",
    help="Where to write; it is made if it does not exist.",
)
@click.option(
    "--include",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_include,
    help="Print the folder of actorrpc/options.proto, for another tool's -I, and exit.",
)
def main(protos: Sequence[str], paths: Sequence[str], out: Path) -> None:
    """Generate Python from .proto files.

    For each PROTO this writes X_pb2.py and X_pb2.pyi (its messages) and, if it declares services,
    X_actorrpc.py: a base class and a client stub for each. The files are named and imported by their place
    in DIR of -I, so --out must be a folder from which Python imports.

    actorrpc/options.proto, actorrpc/ref.proto and Google's well-known types are found without -I.

    \b
    Example:
      python -m actorrpc.protoc -I protos --out src shop/cart.proto shop/types.proto
    """
    if find_spec("grpc_tools") is None:
        raise _Failure("grpcio-tools is not installed: pip install actorrpc[tools]")
    with TemporaryDirectory(prefix="actorrpc-") as scratch:
        staged = Path(scratch, "out")
        staged.mkdir()
        if _protoc(protos, paths, staged, _plugin(Path(scratch), out)):
            raise SystemExit(2)
        try:
            _install(staged, out)
        except OSError as error:
            raise _Failure(f"cannot write: {error}") from error


def _plugin(folder: Path, out: Path) -> Path:
    """Write a program that runs the plugin under this interpreter, wherever scripts were installed."""
    program = folder / "protoc-gen-actorrpc"
    code = f"from actorrpc.codegen.plugin import main; main({str(out)!r})"
    program.write_text(f"#!/bin/sh\nexec {shlex.join([sys.executable, '-c', code])}\n")
    program.chmod(0o700)
    return program


def _protoc(protos: Sequence[str], paths: Sequence[str], out: Path, plugin: Path) -> int:
    """Run protoc, which says itself what is wrong, and return its exit status."""
    command = [sys.executable, "-m", "grpc_tools.protoc"]  # adds the well-known types by itself
    command += [f"--proto_path={path}" for path in (*paths, INCLUDE)]
    command += [f"--{kind}_out={out}" for kind in ("python", "pyi", "actorrpc")]
    command += [f"--plugin=protoc-gen-actorrpc={plugin}", *protos]
    # Both interpreters must find what this one has found, installed or not, and nothing else.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"}
    return subprocess.run(command, env=environment).returncode


def _install(staged: Path, out: Path) -> None:
    """Put the files in place, each at once: a server that reloads may be reading them."""
    for source in sorted(path for path in staged.rglob("*") if path.is_file()):
        target = out / source.relative_to(staged)
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f".{target.name}.new")
        shutil.copyfile(source, fresh)
        fresh.replace(target)


if __name__ == "__main__":
    main()
