"""A chat client for the terminal, on plain grpcio: ``python -m examples.chat.client --nick ada``.

What is typed is said; lines that begin with a slash are commands. Standard input may be a pipe.
"""

from __future__ import annotations

import argparse
import getpass
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import grpc

from examples.chat.chat_actorrpc import ChatStub
from examples.chat.chat_pb2 import Event, JoinRequest, LeaveRequest, Line, Member, SayRequest, WhoRequest
from examples.chat.terminal import Terminal, printable

__all__ = ["main"]

HELP = "/who: who is here, /join ROOM: go elsewhere, /quit: leave"

HINT = "This starts one: actorrpc serve examples.chat.server:app --hubs 2"

#: How long a server may take to answer, and to come back when the connection was lost.
PATIENCE = 5.0
REJOIN_PATIENCE = 30.0
#: How long to wait for more answers to a roll call before the names are printed.
ROLL_CALL = 0.3

#: The ends of a Join after which it is worth another try.
LOST = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DATA_LOSS)


class Refused(Exception):
    """The server does not let us in, or is not there. Its text is a line for the user."""


class Conversation:
    """One person's membership in a room: a thread prints what happens there, and joins again when it must."""

    def __init__(self, channel: grpc.Channel, nick: str, room: str, terminal: Terminal) -> None:
        self._channel = channel
        self._chat = ChatStub(channel)
        self._nick = nick
        self._room = room
        self._terminal = terminal
        self._paint = terminal.paint
        self._id = ""
        self._entered = False
        #: The room that we came from, where to go back if this one does not keep us.
        self._before = ""
        self._here: dict[str, str] = {}
        #: What has not come back yet: lines, and the answers to a roll call, which joining is one too.
        self._unheard = 0
        self._calling_roll = True
        self._heard = threading.Condition()
        self._joined = threading.Event()
        self._leaving = False
        #: Why the conversation is over, if it is; and whether the main thread is to be told by a signal.
        self.refusal = ""
        self._interrupts = False
        self._over = threading.Lock()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """In the block, KeyboardInterrupt says that the conversation is over: there somebody may type.

        Not outside of it, where ``refusal`` does. Raises Refused if it is over already.
        """
        with self._over:
            if self.refusal:
                raise Refused(self.refusal)
            self._interrupts = True
        try:
            yield
        finally:
            with self._over:  # what was sent before is raised here
                self._interrupts = False

    # ---- what the user does

    def begin(self) -> None:
        """Enter the room. Raises Refused."""
        self._thread.start()
        if not self._joined.wait(PATIENCE):
            raise Refused("the server does not answer")
        if self.refusal:
            raise Refused(self.refusal)

    def say(self, text: str) -> None:
        """Say a line; nothing happens to an empty one. Raises grpc.RpcError."""
        if text.strip():
            self._count(1)
            try:
                self._chat.Say(SayRequest(text=text), timeout=PATIENCE)
            except grpc.RpcError:
                self._count(-1)
                raise

    def who(self) -> None:
        """Have the names printed. Raises grpc.RpcError."""
        self._calling_roll = True
        self._chat.Who(WhoRequest(), timeout=PATIENCE)

    def join(self, room: str) -> None:
        """Go to another room, or back if it does not let us in. Raises grpc.RpcError."""
        self._before, self._room = self._room, room
        self._calling_roll = True
        self._joined.clear()
        self._chat.Leave(LeaveRequest(), timeout=PATIENCE)  # the thread joins when the old call has ended
        self._joined.wait(PATIENCE)

    def end(self) -> None:
        """Leave, when all that we said and asked has come back. Raises Refused if we are out already."""
        if self.refusal:
            raise Refused(self.refusal)
        with self._heard:
            self._heard.wait_for(lambda: self._unheard <= 0 and not self._calling_roll, PATIENCE)
        self._leaving = True
        with suppress(grpc.RpcError):
            self._chat.Leave(LeaveRequest(), timeout=PATIENCE)
        self._thread.join(PATIENCE)

    # ---- what happens in the room

    def _listen(self) -> None:
        try:
            while not self._leaving:
                self._join_once()
        except Refused as refused:
            with self._over:
                self.refusal = str(refused)
                self._joined.set()
                if self._interrupts:
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _join_once(self) -> None:
        try:
            for event in self._chat.Join(JoinRequest(nick=self._nick, room=self._room)):
                self._show(event)
        except grpc.RpcError as error:
            self._lost(error)

    def _lost(self, error: grpc.RpcError) -> None:
        """Say why the call has ended, and choose where to go next. Raises Refused if that is nowhere."""
        if self._leaving:
            return
        if error.code() in LOST and not self._entered:
            raise Refused(f"no chat server answers. {HINT}")
        if error.code() in LOST:
            self._notice(f"lost {self._room} ({_reason(error)}); joining again")
            self._count(-self._unheard)  # it may never come back
            _wait_for_server(self._channel, REJOIN_PATIENCE)
        elif self._before:
            self._notice(f"{_reason(error)}; back to {self._before}")
            self._room, self._before = self._before, ""
        else:
            raise Refused(_reason(error))

    def _show(self, event: Event) -> None:
        kind = event.WhichOneof("kind")
        if kind == "said":
            self._show_line(event.said)
        elif kind == "welcome":
            self._id = event.welcome.id
        elif kind == "joined" and event.joined.id == self._id:
            self._notice(f"you are {self._nick} in {self._room}" + ("" if self._entered else f"  ({HELP})"))
            self._entered = True
            self._joined.set()
        elif kind == "here":
            self._gather(event.here)
        elif kind == "joined":
            self._notice(f"{printable(event.joined.nick)} joined")
        elif kind == "left":
            self._notice(f"{printable(event.left.nick)} left")

    def _show_line(self, line: Line) -> None:
        self._terminal.print(f"{self._paint.nick(printable(line.by.nick))}: {printable(line.text)}")
        if line.by.id == self._id:
            self._count(-1)

    def _count(self, lines: int) -> None:
        with self._heard:
            self._unheard += lines
            self._heard.notify_all()

    def _gather(self, member: Member) -> None:
        """Print the names when no more have come for a moment: nobody knows how many there will be."""
        if not self._here:
            threading.Timer(ROLL_CALL, self._show_here).start()
        self._here[member.id] = printable(member.nick)

    def _show_here(self) -> None:
        here, self._here = self._here, {}
        self._notice(f"here: {', '.join(sorted(here.values()))}")
        with self._heard:
            self._calling_roll = False
            self._heard.notify_all()

    def _notice(self, text: str) -> None:
        self._terminal.print(self._paint.dim(f"* {text}"))


def main() -> int:
    options = _parse()
    terminal = Terminal()
    with grpc.insecure_channel(options.address) as channel:
        conversation = Conversation(channel, options.nick, options.room, terminal)
        try:
            conversation.begin()
            with suppress(KeyboardInterrupt), conversation.interrupting():
                _converse(conversation, terminal)
            conversation.end()
        except (Refused, KeyboardInterrupt) as error:
            if not (reason := conversation.refusal or str(error)):
                return 130
            print(f"chat: {options.address}: {reason}", file=sys.stderr)
            return 1
    return 0


def _converse(conversation: Conversation, terminal: Terminal) -> None:
    for line in terminal.lines():
        command, _, argument = line.strip().partition(" ")
        if command == "/quit":
            return
        try:
            if command == "/who":
                conversation.who()
            elif command == "/join" and argument:
                conversation.join(argument.strip())
            elif command.startswith("/"):
                terminal.print(terminal.paint.dim(f"* {HELP}"))
            else:
                conversation.say(line)
        except grpc.RpcError as error:
            terminal.print(terminal.paint.dim(f"* not done: {_reason(error)}"))


def _wait_for_server(channel: grpc.Channel, seconds: float) -> None:
    try:
        grpc.channel_ready_future(channel).result(seconds)
    except grpc.FutureTimeoutError:
        raise Refused(f"the server has not come back. {HINT}") from None


def _reason(error: grpc.RpcError) -> str:
    return printable(error.details() or error.code().name)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.chat.client", description="Chat in a terminal.")
    parser.add_argument(
        "address", nargs="?", default="127.0.0.1:50051", help="where the server is [%(default)s]"
    )
    parser.add_argument("--nick", default=_own_name(), help="your name [%(default)s]")
    parser.add_argument("--room", default="lobby", help="where to go first [%(default)s]")
    return parser.parse_args()


def _own_name() -> str:
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = ""
    return re.sub(r"[^\w.-]", "", name)[:24] or "guest"


if __name__ == "__main__":
    sys.exit(main())
