"""Suites and programs of strangers, in processes of their own: as the documentation has them, side by side,
patched by gevent, with children."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.processes import ROOT, Result, python

HELLO = ROOT / "examples" / "hello"
MODULES = ("server.py", "hello_actorrpc.py", "hello_pb2.py", "hello_pb2.pyi")

#: What a suite is run with that is strict: what is left open is an error, and nothing is taken from this one.
STRICT = ("-W", "error", "-W", "ignore:Protobuf gencode version:UserWarning", "-p", "no:cacheprovider")
PLAIN = ("-m", "pytest", *STRICT)
PATCHED = ("-m", "gevent.monkey", "--module", "pytest", *STRICT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of an app's, with its modules and no tests."""
    for name in MODULES:
        shutil.copy(HELLO / name, tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfaulthandler_timeout = 120\n")
    return tmp_path


def write_documented(folder: Path) -> set[str]:
    """Write the files that docs/guide/testing.md shows; their names."""
    text = guide("testing")
    files = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.S))
    for name, source in files.items():
        (folder / name).write_text(source)
    return set(files)


def guide(page: str) -> str:
    return (ROOT / "docs" / "guide" / f"{page}.md").read_text()


def passed(done: Result) -> int:
    """How many tests have passed, all of them."""
    found = re.search(r"^=+ (\d+) passed in", done.stdout, re.M)
    assert found and done.returncode == 0, done.stdout + done.stderr
    return int(found[1])


@pytest.mark.parametrize("how", [PLAIN, (*PLAIN, "-n", "2"), PATCHED], ids=["plain", "xdist", "patched"])
def test_the_documentations_suite_passes(how: tuple[str, ...], folder: Path) -> None:
    files = {"conftest.py", "test_unit.py", "test_served.py", "test_fixture.py", "test_keyed.py"}
    assert write_documented(folder) == files
    (folder / "test_keyed.py").unlink()  # of another app
    shutil.copy(HELLO / "test_hello.py", folder)
    assert passed(python(*how, cwd=folder)) == 7


@pytest.mark.parametrize("how", [PLAIN, PATCHED], ids=["plain", "patched"])
def test_the_documentations_tests_of_keyed_actors_pass(how: tuple[str, ...], tmp_path: Path) -> None:
    """Of the room that docs/guide/actors.md shows, contract and class."""
    page = guide("actors")
    (contract,) = re.findall(r"```protobuf\n(// room\.proto\n.*?)```", page, re.S)
    (service,) = re.findall(r"```python\n(class Room\(.*?)```", page, re.S)
    (tmp_path / "room.proto").write_text(contract)
    made = python("-m", "actorrpc.protoc", "-I", tmp_path, "--out", tmp_path, "room.proto")
    assert made.returncode == 0, made.stderr
    imports = (
        "import actorrpc\nfrom room_actorrpc import RoomBase\nfrom room_pb2 import Posted, RoomState\n\n\n"
    )
    (tmp_path / "server.py").write_text(f"{imports}{service}\n\napp = actorrpc.App([Room])\n")
    write_documented(tmp_path)
    assert passed(python(*how, "test_keyed.py", cwd=tmp_path)) == 2


def test_no_plugin_comes_by_itself(folder: Path) -> None:
    (folder / "test_nothing.py").write_text(
        "import sys\n"
        "def test_nothing():\n    assert not {'actorrpc', 'gevent'} & set(sys.modules)\n"
        "def test_no_fixture(actorrpc_server):\n    pass\n"
    )
    done = python(*PLAIN, cwd=folder)
    assert "fixture 'actorrpc_server' not found" in done.stdout
    assert "1 passed, 1 error" in done.stdout


def test_a_fixture_stops_its_servers_whatever_the_test_does(folder: Path) -> None:
    write_documented(folder)
    (folder / "test_failing.py").write_text(
        dedent("""
            import socket
            import pytest
            from hello_actorrpc import HelloStub
            from hello_pb2 import HelloRequest
            from server import app

            servers = []

            @pytest.mark.parametrize("ends", [ValueError, KeyError])
            def test_fails(actorrpc_server, ends):
                servers.extend([actorrpc_server(app), actorrpc_server(app, hubs=3)])
                HelloStub(servers[-1].channel()).Greet(HelloRequest(), timeout=60)
                raise ends

            def test_they_have_stopped():
                assert len(servers) == 4
                for server in servers:
                    host, _, port = server.address.rpartition(":")
                    with pytest.raises(ConnectionRefusedError):
                        socket.create_connection((host, int(port)))
        """)
    )
    done = python(*PLAIN, "test_failing.py", cwd=folder)
    assert "2 failed, 1 passed" in done.stdout, done.stdout


def test_what_a_handler_raises_stands_beside_the_test_that_fails(folder: Path) -> None:
    (folder / "test_failing.py").write_text(
        dedent("""
            import actorrpc
            from actorrpc import testing
            from hello_actorrpc import HelloBase, HelloStub
            from hello_pb2 import HelloRequest

            class Hello(HelloBase):
                def Greet(self, request, call):
                    return {}["the key that is missing"]

            def test_fails():
                with testing.serve(actorrpc.App([Hello])) as server:
                    HelloStub(server.channel()).Greet(HelloRequest(), timeout=60)
        """)
    )
    done = python(*PLAIN, cwd=folder)
    assert "KeyError: 'the key that is missing'" in done.stdout
    assert "Captured log" in done.stdout


def run(program: str, folder: Path, *options: str) -> str:
    """What a program prints that ends well and says nothing else."""
    done = python("-W", "error", *options, "-c", dedent(program), cwd=folder)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def test_what_a_handler_raises_is_printed_where_nobody_has_set_up_logging(folder: Path) -> None:
    program = """
        import actorrpc, grpc
        from actorrpc import testing
        from hello_actorrpc import HelloBase, HelloStub
        from hello_pb2 import HelloRequest

        class Hello(HelloBase):
            def Greet(self, request, call):
                return {}["the key that is missing"]

        with testing.serve(actorrpc.App([Hello])) as server:
            try:
                HelloStub(server.channel()).Greet(HelloRequest(), timeout=60)
            except grpc.RpcError as error:
                print(error.details())
    """
    done = python("-c", dedent(program), cwd=folder)
    assert done.stdout == "the handler failed\n"
    assert "KeyError: 'the key that is missing'" in done.stderr


@pytest.mark.parametrize("init", [False, True], ids=["as it is", "init_gevent"])
@pytest.mark.parametrize("first", ["import grpc", ""], ids=["grpc first", "testing first"])
def test_a_patched_program(first: str, init: bool, folder: Path) -> None:
    """Its handlers wait without holding each other up, its clients may be greenlets, and may stream."""
    program = f"""
        from gevent import monkey
        monkey.patch_all()
        import threading, time
        import gevent
        {first}
        if {init}:
            from grpc.experimental import gevent as with_gevent
            with_gevent.init_gevent()
        import actorrpc
        from actorrpc import testing
        from hello_actorrpc import HelloBase, HelloStub
        from hello_pb2 import HelloReply, HelloRequest

        both = threading.Barrier(2)

        class Hello(HelloBase):
            def Greet(self, request, call):
                if request.name == "together":
                    both.wait(60)  # blocks for ever, if the first holds up the second
                time.sleep(0)
                self.state.greetings += 1
                return HelloReply(text=str(self.state.greetings))

        with testing.serve(actorrpc.App([Hello])) as server:
            stubs = [HelloStub(server.channel()) for _ in range(2)]
            for number in range(1, 4):
                for stub in stubs:
                    assert stub.Greet(HelloRequest(), timeout=60).text == str(number)
                server.move_all()
            together = HelloRequest(name="together")
            waiting = [gevent.spawn(stub.Greet, together, timeout=60) for stub in stubs]
            assert [each.get(timeout=60).text for each in waiting] == ["4", "4"]
            server.move_all()
            greet = server.channel().stream_stream(
                "/hello.Hello/Greet", HelloRequest.SerializeToString, HelloReply.FromString
            )
            assert [reply.text for reply in greet(iter([HelloRequest()]), timeout=60)] == ["1"]
            assert not server.errors, server.errors
        print(server.moves)
    """
    assert run(program, folder) == "8\n"


def test_children_of_a_program_have_nothing_of_its_server(folder: Path) -> None:
    program = """
        import os, sys
        sys.path.insert(0, "ROOT")
        import actorrpc
        from actorrpc import testing
        from server import app
        from tests.support import raw
        from tests.support.raw_client import RawClient

        def greet(client, stream):
            fields = [(name, "/hello.Hello/Greet" if name == ":path" else value)
                      for name, value in raw.request("Greet")]
            client.send(raw.headers(stream, fields) + raw.data(stream, raw.message(b""), raw.END_STREAM))
            client.wait_for(raw.HEADERS, raw.END_STREAM)

        with testing.serve(app) as server:
            with RawClient(server.address) as client:
                greet(client, 1)
                child = os.fork()
                if not child:
                    sys.exit(7)  # through the ends of both blocks
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
                server.move()
                greet(client, 3)
                print(server.moves)
    """.replace("ROOT", str(ROOT))
    # From 3.12 on Python warns of a fork where there are threads.
    assert run(program, folder, "-W", "ignore::DeprecationWarning") == "1\n"


def test_a_program_ends_that_forgets_its_server(folder: Path) -> None:
    program = """
        from actorrpc import testing
        from server import app
        block = testing.serve(app)
        print(block.__enter__().connections)
    """
    assert run(program, folder) == "[]\n"


def test_its_types_are_checked(folder: Path) -> None:
    (folder / "typed.py").write_text(
        dedent("""
            from __future__ import annotations
            from typing import Any
            import actorrpc
            from actorrpc import testing
            from hello_actorrpc import HelloBase
            from hello_pb2 import HelloReply, HelloRequest, Session

            class Hello(HelloBase):
                def Greet(self, request: HelloRequest, call: actorrpc.Call[HelloReply]) -> HelloReply:
                    return HelloReply()

            hello = testing.actor(Hello, state=Session(greetings=1))
            call = testing.call(hello.Greet, metadata={"a": "b", "c-bin": [b"d"]}, timeout=1)
            reply: HelloReply = hello.Greet(HelloRequest(), call)
            reveal_type(hello)
            reveal_type(call)

            def test(actorrpc_server: testing.Serve) -> None:
                server: testing.Server = actorrpc_server(actorrpc.App([Hello]), hubs=3)
                with testing.serve(actorrpc.App([Hello]), config=actorrpc.Config()) as other:
                    other.move(server.connections[0].id, hub=1)
                    testing.serve(actorrpc.App([Hello]), move_evry=1)
        """)
    )
    (folder / "mypy.ini").write_text(
        "[mypy]\nstrict = True\nfollow_imports = silent\nfollow_imports_for_stubs = True\n"
    )
    done = python("-m", "mypy", "--config-file", "mypy.ini", "typed.py", cwd=folder)
    assert 'Unexpected keyword argument "move_evry"' in done.stdout
    assert "Found 1 error" in done.stdout
    said = [line.partition(": ")[2] for line in done.stdout.splitlines() if "Revealed" in line]
    assert said == [
        'note: Revealed type is "typed.Hello"',
        'note: Revealed type is "actorrpc.testing.calls.RecordedCall[hello_pb2.HelloReply]"',
    ], done.stdout + done.stderr
