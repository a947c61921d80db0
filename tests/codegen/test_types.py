"""mypy --strict over generated modules, and over right and wrong programs that use them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from textwrap import dedent

import pytest

from .programs import ROOT, modules_of, python

# The modules of protoc's own generator are imported here, not under test.
CONFIG = """\
[mypy]
strict = True
follow_imports = silent
follow_imports_for_stubs = True

# grpcio brings no types.
[mypy-grpc.*]
ignore_missing_imports = True
"""

RIGHT = """
    from __future__ import annotations

    from collections.abc import Iterable, Iterator

    import actorrpc
    import grpc
    from actorrpc.client import MetadataPairs
    from chat_actorrpc import ChatBase, ChatStub
    from chat_pb2 import JoinReply, JoinRequest, Line, ListenRequest, SayReply, Session
    from taken_actorrpc import TakenBase, TakenStub
    from taken_pb2 import Note


    class Chat(ChatBase):
        state: Session
        db = actorrpc.transient(dict[str, int])

        def Join(self, request: JoinRequest, call: actorrpc.Call[JoinReply]) -> JoinReply:
            self.state.nick = request.nick
            return JoinReply(members=[self.state.nick])

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


    def use_taken(stub: TakenStub) -> list[Note]:
        replies = [stub.publish(Note()), stub.publish_(Note()), stub.on_connect(Note(), timeout=1)]
        return [*replies, stub.Talk([Note()]), stub.Talk_end(Note()), *stub.calls(Note()), *stub.join([])]


    def use(lines: Iterable[Line]) -> str:
        with grpc.insecure_channel("127.0.0.1:50051") as channel:
            stub = ChatStub(channel)
            metadata: MetadataPairs = [("a", "b"), ("c-bin", b"d")]
            reply: JoinReply = stub.Join(JoinRequest(nick="ada"), timeout=1, metadata=metadata)
            said: SayReply = stub.Dictate(lines)
            heard: list[Line] = list(stub.Listen(ListenRequest(), timeout=0.5))
            talk = stub.Talk(iter([Line()]))
            first: Line = next(talk)
            talk.cancel()
            return reply.members[0] + first.text + str(said) + heard[0].text


    app = actorrpc.App([Chat, Generous, Untyped, Taken])
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
            return JoinReply()


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
    stub.Dictate([JoinRequest()])  # error: list-item
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
