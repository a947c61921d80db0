"""The hello example, as its README has it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from examples.demo_server import Server

from .conftest import ROOT

HELLO = ROOT / "examples" / "hello"
WRITTEN = ("server.py", "client.py", "hello.proto")


def test_generate_serve_call(tmp_path: Path) -> None:
    for name in WRITTEN:
        shutil.copy(HELLO / name, tmp_path)
    generate = [sys.executable, "-m", "actorrpc.protoc", "-I", ".", "--out", ".", "hello.proto"]
    subprocess.run(generate, cwd=tmp_path, check=True, timeout=60)
    with Server("server:app", folder=tmp_path) as server:
        client = tmp_path / "client.py"
        client.write_text(client.read_text().replace("127.0.0.1:50051", server.address))
        command = [sys.executable, "client.py", "ada", "bob"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == (
        "Hello ada, greeting 1 on this connection\nHello bob, greeting 2 on this connection\n",
        "",
    )


def test_what_is_committed_is_what_is_generated(tmp_path: Path) -> None:
    for folder, proto in (
        (HELLO, "hello.proto"),
        (ROOT, "examples/chat/chat.proto"),
        (ROOT, "examples/auth/auth.proto"),
        (ROOT, "examples/notes/notes.proto"),
    ):
        generate = [sys.executable, "-m", "actorrpc.protoc", "-I", str(folder), "--out", str(tmp_path), proto]
        subprocess.run(generate, check=True, timeout=60)
        # The messages' module differs with protoc's version; the services' does not.
        name = proto.replace(".proto", "_actorrpc.py")
        assert (folder / name).read_text() == (tmp_path / name).read_text()
        descriptor = (
            (tmp_path / proto.replace(".proto", "_pb2.py")).read_text().split("AddSerializedFile(")[1]
        )
        committed = (folder / proto.replace(".proto", "_pb2.py")).read_text().split("AddSerializedFile(")[1]
        assert descriptor.splitlines()[0] == committed.splitlines()[0]


def test_both_sides_are_short() -> None:
    for name in ("server.py", "client.py", "hello.proto"):
        assert len((HELLO / name).read_text().splitlines()) <= 25
