"""Releases of an app, each in a folder of its own, and a link to the one that is current.

The later ones have fields and a method more than the first, and another ``state_version``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.support.processes import python

__all__ = ["BROKEN", "Releases", "generate"]

_PROTO = """
syntax = "proto3";
package life;
import "actorrpc/options.proto";

message Number {
  int64 number = 1;
  // Which release answers.
  int32 release = 2;
  // How long the handler takes, in seconds.
  double takes = 3;
}
message Post {
  string room = 1;
  string publisher = 2;
  int64 number = 3;
%(post)s}
message Book {
  int64 counted = 1;
  bool unlucky = 2;
%(book)s}
service Life {
  option (actorrpc.actor) = { state: "life.Book" };
  rpc Count(Number) returns (Number);
  rpc Watch(Number) returns (stream Number);
  rpc Talk(stream Number) returns (stream Number);
  rpc Listen(Post) returns (stream Post);
  rpc Publish(Post) returns (Number);
  rpc Curse(Number) returns (Number);
%(service)s}
"""

_APP = """
import gevent

import actorrpc
from life_actorrpc import LifeBase
from life_pb2 import Book, Number, Post

RELEASE = %(release)d


class Life(LifeBase):
    state: Book

    def Count(self, request, call):
        self.state.counted += 1
        if request.takes:
            gevent.sleep(request.takes)
        if request.number != self.state.counted:
            lost = f"{self.state.counted} where {request.number}"
            raise actorrpc.RpcError(actorrpc.StatusCode.DATA_LOSS, lost)
        reply = Number(number=self.state.counted, release=RELEASE)
        for kept in self.calls:
            if kept.method.endswith("/Watch"):
                kept.send(reply)
        return reply

    def Watch(self, request, call):
        call.send_initial_metadata({"watching": "yes"})

    def Talk(self, message, call):
        call.cursor = b"%%d" %% (int(call.cursor or b"0") + 1)
        call.send(Number(number=int(call.cursor), release=RELEASE))

    def Listen(self, request, call):
        self.subscribe(request.room, call)

    def Publish(self, request, call):
        self.publish(request.room, request)
        return Number(number=request.number, release=RELEASE)

    def Curse(self, request, call):
        self.state.unlucky = True
        return Number(release=RELEASE)
"""

_LATER = """
    state_version = 2

    @classmethod
    def upgrade(cls, old_version, state):
        if state.unlucky:
            raise ValueError("this state cannot be upgraded")
        state.doubled = 2 * state.counted
        return state

    def Doubled(self, request, call):
        return Number(number=self.state.doubled, release=RELEASE)
"""

_END = """

app = actorrpc.App([Life])
"""

#: What stands at the end of a release that cannot be imported.
BROKEN = "\nimport no_such_module_of_this_release\n"


def generate(folder: Path) -> None:
    """Generate both contracts, into folders ``v1`` and ``v2``."""
    for name, later in (("v1", False), ("v2", True)):
        (contract := folder / name).mkdir()
        proto = _PROTO % {
            "post": "  string greeting = 4;\n" if later else "",
            "book": "  int64 doubled = 3;\n" if later else "",
            "service": "  rpc Doubled(Number) returns (Number);\n" if later else "",
        }
        (contract / "life.proto").write_text(proto)
        done = python("-m", "actorrpc.protoc", "-I", contract, "--out", contract, "life.proto")
        assert done.returncode == 0, done.stderr


class Releases:
    """A folder of releases of what was generated into ``contracts``. ``current`` is the link to the last one
    that was made."""

    def __init__(self, folder: Path, contracts: Path) -> None:
        self.folder = folder.resolve()
        self.contracts = contracts.resolve()
        self.current = self.folder / "current"
        self.count = 0

    def make(self, end: str = "", prepare: Callable[[Path], object] = lambda folder: None) -> int:
        """Make the next release, which ends with this text, ``prepare`` its folder, and have the link lead
        there. Returns its number."""
        self.count += 1
        folder = self.folder / f"release-{self.count}"
        folder.mkdir()
        self.write(folder, self.count, end)
        prepare(folder)
        self.folder.joinpath("next").symlink_to(folder)
        self.folder.joinpath("next").replace(self.current)
        return self.count

    def write(self, folder: Path, number: int, end: str = "") -> None:
        """Write the files of a release into a folder, over those of another that may be there."""
        for generated in (self.contracts / ("v1" if number == 1 else "v2")).glob("*.py"):
            _replace(folder / generated.name, generated.read_text())
        later = _LATER if number > 1 else ""
        _replace(folder / "life.py", _APP % {"release": number} + later + _END + end)


def _replace(path: Path, text: str) -> None:
    """As an editor or a checkout does: nobody sees half of it."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)
