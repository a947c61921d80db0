"""mypy --strict over generated modules, and over right and wrong programs that use them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.processes import ROOT, python

from .programs import by_command, modules_of
from .test_docs import blocks

# The modules of protoc's own generator are imported here, not under test.
CONFIG = """\
[mypy]
strict = True
follow_imports = silent
follow_imports_for_stubs = True
"""

# As if types-grpcio were not installed.
UNTYPED = """\
[mypy-grpc.*]
ignore_missing_imports = True
follow_imports = skip
follow_imports_for_stubs = True
"""

RIGHT = """
    from __future__ import annotations

    from collections.abc import Iterable, Iterator
    from typing import Any

    import actorrpc
    import grpc
    from actorrpc.client import MetadataPairs
    from chat_actorrpc import ChatBase, ChatStub
    from chat_pb2 import JoinReply, JoinRequest, Line, ListenRequest, SayReply, Session
    from keyed_actorrpc import RoomBase, RoomStub
    from keyed_pb2 import Join, State
    from taken_actorrpc import TakenBase, TakenStub
    from taken_pb2 import Note


    class Chat(ChatBase):
        state: Session
        db = actorrpc.transient(dict[str, int])
        names = actorrpc.per_hub(list[str], close=list[str].clear)

        def Join(self, request: JoinRequest, call: actorrpc.Call[JoinReply]) -> JoinReply:
            self.state.nick = request.nick
            self.names.append(request.nick)
            return JoinReply(members=[self.state.nick])

        def on_call_end(
            self, call: actorrpc.Call[Any], status: actorrpc.StatusCode, message: str
        ) -> None:
            self.state.nick = f"{call.id} {status.name} {message}"

        def Listen(self, request: ListenRequest, call: actorrpc.Call[Line]) -> None:
            self.subscribe(f"room/{request.room}", call)

        def Dictate(self, message: Line, call: actorrpc.Call[SayReply]) -> None:
            self.state.nick += message.text

        def Dictate_end(self, call: actorrpc.Call[SayReply]) -> SayReply:
            return SayReply()

        def Talk(self, message: Line, call: actorrpc.Call[Line]) -> None:
            call.send(Line(text=message.text.upper()))

        def Talk_end(self, call: actorrpc.Call[Line]) -> None:
            call.finish()


    class Generous(ChatBase):
        def Listen(self, request: ListenRequest, call: actorrpc.Call[Line]) -> Iterator[Line]:
            yield Line(text=request.room)

        def Talk(self, message: Line, call: actorrpc.Call[Line]) -> list[Line]:
            return [message]


    class Untyped(ChatBase):
        state: Session

        def Join(self, request, call):  # type: ignore[no-untyped-def]
            return JoinReply()


    class Taken(TakenBase):
        def on_connect(self) -> None:
            self.subscribe("notes")

        def on_connect_(self, request: Note, call: actorrpc.Call[Note]) -> Note:
            return self.state

        def publish_(self, request: Note, call: actorrpc.Call[Note]) -> Note:
            self.publish("notes", request)
            return request

        def publish__(self, request: Note, call: actorrpc.Call[Note]) -> Note:
            return request

        def calls_(self, request: Note, call: actorrpc.Call[Note]) -> Iterator[Note]:
            yield Note(text=str(len(self.calls)))

        def import_(self, request: Note, call: actorrpc.Call[Note]) -> Note:
            return request

        def join_(self, message: Note, call: actorrpc.Call[Note]) -> None:
            call.send(message)

        def join_end(self, call: actorrpc.Call[Note]) -> None:
            call.finish()

        def Talk_end(self, call: actorrpc.Call[Note]) -> Note:
            return Note()

        def Talk_end_(self, request: Note, call: actorrpc.Call[Note]) -> Note:
            return request


    class Room(RoomBase):
        state: State

        def Enter(self, request: Join, call: actorrpc.Call[actorrpc.ActorRef]) -> actorrpc.ActorRef:
            return actorrpc.ActorRef(service="keyed.Room", key=self.key + call.key)

        def on_activate(self) -> None:
            self.state.members.append(self.key)

        def on_passivate(self) -> None:
            self.state.members.remove(self.key)


    def use_room(stub: RoomStub) -> str:
        reference: actorrpc.ActorRef = stub.Enter(Join(room="lobby"))
        keyed: actorrpc.Keyed | None = RoomBase.__rpc__.keyed
        return reference.key if keyed and keyed.key_from is actorrpc.KeyFrom.METADATA else ""


    def use_taken(stub: TakenStub) -> list[Note]:
        replies = [stub.publish(Note()), stub.publish_(Note()), stub.on_connect(Note(), timeout=1)]
        replies += [stub.Talk(iter([Note()])), stub.Talk_end(Note())]
        return [*replies, *stub.calls(Note()), *stub.join(iter([]))]


    def use_calls(stub: ChatStub, lines: Iterator[Line], credentials: grpc.CallCredentials) -> str | None:
        joined, call = stub.Join.with_call(JoinRequest(), 1, wait_for_ready=True, credentials=credentials)
        members: JoinReply = joined
        said, dictated = stub.Dictate.with_call(lines, metadata=[("a", "b")])
        reply: SayReply = said
        begun = stub.Join.future(JoinRequest(), compression=grpc.Compression.Deflate)
        begun.add_done_callback(lambda future: None)
        later: JoinReply = begun.result(timeout=1)
        also: SayReply = stub.Dictate.future(lines, 1).result()
        heard = stub.Listen(ListenRequest(), None, [("a", "b")], credentials, True, grpc.Compression.Gzip)
        code: grpc.StatusCode = heard.code()
        calls: list[grpc.Call] = [call, dictated, begun, heard, stub.Talk(lines)]
        return calls[0].details() if heard.is_active() and code is grpc.StatusCode.OK else None


    def use(lines: Iterator[Line]) -> str:
        with grpc.insecure_channel("127.0.0.1:50051") as channel:
            stub = ChatStub(channel)
            metadata: MetadataPairs = [("a", "b"), ("c-bin", b"d")]
            reply: JoinReply = stub.Join(JoinRequest(nick="ada"), timeout=1, metadata=metadata)
            said: SayReply = stub.Dictate(lines)
            heard: list[Line] = list(stub.Listen(ListenRequest(), timeout=0.5))
            talk = stub.Talk(iter([Line()]), wait_for_ready=True, compression=grpc.Compression.Gzip)
            first: Line = next(talk)
            talk.cancel()
            return reply.members[0] + first.text + str(said) + heard[0].text


    app = actorrpc.App([Chat, Generous, Untyped, Room, Taken])
"""

# Each line with `# error: CODE` is one, and no other line is.
WRONG = """
    from __future__ import annotations

    from collections.abc import Iterable

    import actorrpc
    import grpc
    from chat_actorrpc import ChatBase, ChatStub
    from chat_pb2 import JoinReply, JoinRequest, Line, ListenRequest, SayReply, Session
    from odd_names_actorrpc import OddsStub
    from odd_names_pb2 import Odd, OddsBase
    from taken_actorrpc import TakenBase, TakenStub
    from taken_pb2 import Note


    class Chat(ChatBase):
        state: JoinReply  # error: assignment

        def Join(self, request: JoinRequest, call: actorrpc.Call[JoinReply]) -> SayReply:  # error: override
            return SayReply()

        def Say(self, request: JoinRequest, call: actorrpc.Call[SayReply]) -> SayReply:  # error: override
            return SayReply()

        def Listen(self, request: ListenRequest, call: actorrpc.Call[Line]) -> Line:  # error: override
            return Line()

        def Dictate_end(self, call: actorrpc.Call[SayReply]) -> None:  # error: override
            return None

        def Talk(self, message: Line, call: actorrpc.Call[Line]) -> None:
            call.send(message.text)  # error: arg-type


    class Typo(ChatBase):
        def Join(self, request: JoinRequest, call: actorrpc.Call[JoinReply]) -> JoinReply:
            self.state.nik = "ada"  # error: attr-defined
            self.names.append(5)  # error: arg-type
            return JoinReply()

        names = actorrpc.per_hub(list[str])

        def on_call_end(self, call: actorrpc.Call[Line], why: str) -> None:  # error: override
            return None


    class Taken(TakenBase):
        def publish_(self, request: Line, call: actorrpc.Call[Note]) -> Note:  # error: override
            return Note()

        def state_(self, request: Note, call: actorrpc.Call[Note]) -> None:  # error: override
            return None

        def Talk_end(self, request: Note, call: actorrpc.Call[Note]) -> Note:  # error: override
            return request


    stub = ChatStub(grpc.insecure_channel("127.0.0.1:50051"))
    stub.Join(Line())  # error: arg-type
    stub.Join(JoinRequest(), timeout="1")  # error: arg-type
    stub.Join(JoinRequest(), metadata={"a": "b"})  # error: arg-type
    stub.Joyn(JoinRequest())  # error: attr-defined
    line: Line = stub.Join(JoinRequest())  # error: assignment
    stub.Dictate(Line())  # error: arg-type
    stub.Dictate([Line()])  # error: arg-type
    stub.Dictate(iter([JoinRequest()]))  # error: list-item
    stub.Join(JoinRequest(), wait_for_ready="yes")  # error: arg-type
    stub.Join(JoinRequest(), compression="gzip")  # error: arg-type
    stub.Join(JoinRequest(), credentials=grpc.ssl_channel_credentials())  # error: arg-type
    stub.Join.with_call(Line())  # error: arg-type
    stub.Join.future(JoinRequest()).result().membrs  # error: attr-defined
    stub.Join.future(JoinRequest(), wait="yes")  # error: call-arg
    stub.Listen.future(ListenRequest())  # error: attr-defined
    stub.Listen.with_call(ListenRequest())  # error: attr-defined
    stub.Talk.future(iter([Line()]))  # error: attr-defined
    stub.Talk.with_call(iter([Line()]))  # error: attr-defined
    lines: Iterable[JoinReply] = stub.Listen(ListenRequest())  # error: assignment
    ChatStub("127.0.0.1:50051")  # error: arg-type

    odds = OddsStub(grpc.insecure_channel("127.0.0.1:50051"))
    odds.Iterable(Odd())
    odds.print(Odd()).missing  # error: attr-defined
    odds.match(OddsBase())  # error: arg-type

    taken = TakenStub(grpc.insecure_channel("127.0.0.1:50051"))
    taken.publish(Line())  # error: arg-type
    taken.state_(Note())  # error: attr-defined
"""


@pytest.fixture(scope="session")
def mypy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for programs to check; its runs of mypy share a cache."""
    folder = tmp_path_factory.mktemp("types")
    (folder / "mypy.ini").write_text(CONFIG)
    return folder


def mypy(folder: Path, generated: Path, *files: Path) -> str:
    options = ["--hide-error-context", "--no-color-output", "--no-error-summary"]
    done = python(
        *("-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", "cache", *options),
        *files,
        cwd=folder,
        environment={"MYPYPATH": f"{generated}{os.pathsep}{ROOT}"},
    )
    assert done.returncode in (0, 1) and not done.stderr, done.stdout + done.stderr
    return done.stdout


def test_generated_modules(generated: Path, mypy_folder: Path) -> None:
    assert mypy(mypy_folder, generated, *(generated / name for name in modules_of(generated))) == ""


def test_right_programs(generated: Path, mypy_folder: Path) -> None:
    program = mypy_folder / "right.py"
    program.write_text(dedent(RIGHT))
    assert mypy(mypy_folder, generated, program) == ""


def test_wrong_programs(generated: Path, mypy_folder: Path) -> None:
    program = mypy_folder / "wrong.py"
    program.write_text(dedent(WRONG))
    expected = [
        (number, line.rpartition("# error: ")[2])
        for number, line in enumerate(program.read_text().splitlines(), start=1)
        if "# error: " in line
    ]
    found = re.findall(
        r"^wrong.py:(\d+): error: .*\[([a-z-]+)\]$", mypy(mypy_folder, generated, program), re.M
    )
    assert [(int(number), code) for number, code in found] == expected


@pytest.mark.parametrize("typed", [True, False], ids=["with types-grpcio", "without"])
def test_mypy_takes_what_is_shown(tmp_path: Path, typed: bool) -> None:
    """The configuration, what is generated, the client, and the message that a handler returns."""
    (proto,) = [block for block in blocks("proto") if block.startswith("syntax")]
    (client,) = [block for block in blocks("python") if "TallyStub(channel)" in block]
    (config,) = blocks("ini")
    (tmp_path / "tally.proto").write_text(proto)
    assert by_command(tmp_path, tmp_path, "tally.proto").returncode == 0
    (tmp_path / "client.py").write_text(client)
    (tmp_path / "mypy.ini").write_text(config if typed else f"{config}\n{UNTYPED}")
    files = ("client.py", "tally_actorrpc.py", "tally_pb2.pyi")
    done = python("-m", "mypy", *files, cwd=tmp_path, environment={"MYPYPATH": str(ROOT)})
    assert (done.stdout, done.stderr) == ("Success: no issues found in 3 source files\n", "")
