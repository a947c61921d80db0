"""Processes of versions that have no format in common never serve together."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actorrpc.broker.sharing import members as broker_members
from actorrpc.broker.sharing.members import Members
from actorrpc.ipc.hello import Formats, Hello
from tests.support.fixtures import Serve
from tests.support.processes import group_members

OWN = Hello.own()
NEXT = Formats(90, 91)

#: An app that understands other formats when it is loaded again: those that are named in a file.
APP = """
from pathlib import Path
from actorrpc.ipc import hello
from actorrpc.loop.timers import after
from tests.apps.shapes import app
for kind in Path(__file__).with_name("other").read_text().split():
    setattr(hello, kind, hello.Formats(90, 91))
"""


def process(**formats: Formats) -> Any:
    hello = replace(OWN, version="9", **formats)
    return SimpleNamespace(
        hub=0, serial=1, hello=hello, keyed=False, exit_code=None, send=lambda message: True
    )


@pytest.mark.parametrize(("kind", "words"), [("links", "messages between hubs"), ("snapshots", "snapshots")])
def test_who_has_no_format_in_common_with_one_that_is_there(
    kind: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_members, "introduce", lambda one, other, number: None)
    queues: Any = SimpleNamespace(assign=len, why_not=lambda hello: "")
    members = Members(queues, later=lambda seconds, event: None)
    assert members.why_not(process(**{kind: NEXT})) == ""  # nobody is there
    members.join([process(), process(**{kind: NEXT})])
    assert f"knows the formats 90 to 91 of {words}, and" in members.why_not(process(**{kind: NEXT}))
    members.leave(members.serving[1])
    members.leave(members.serving[0])
    members.join([process(**{kind: Formats(1, 90)})])
    assert members.why_not(process(**{kind: NEXT})) == ""


@pytest.mark.parametrize(("kind", "words"), [("LINKS", "messages between hubs"), ("SNAPSHOTS", "snapshots")])
def test_a_reload_to_what_the_living_do_not_understand_is_abandoned(
    serve: Serve, tmp_path: Path, kind: str, words: str
) -> None:
    (tmp_path / "versioned.py").write_text(APP)
    (tmp_path / "other").write_text("")
    server = serve(app="versioned:app", cwd=tmp_path)
    before = [row["pid"] for row in server.status()["hubs"]]
    (tmp_path / "other").write_text(kind)
    reloaded = server.run("reload")
    assert reloaded.returncode == 1
    assert "generation 2 is abandoned: actorrpc " in reloaded.stderr
    assert f" knows the formats 90 to 91 of {words}, and actorrpc " in reloaded.stderr
    server.wait_for(lambda: len(group_members(server.pid)) == 3)
    rows = server.status()["hubs"]
    assert [row["pid"] for row in rows] == before
    assert [(row["state"], row["generation"]) for row in rows] == [("serving", 1)] * 2


def test_a_hub_that_starts_again_and_is_not_understood_does_not_serve(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "versioned.py").write_text(APP)
    (tmp_path / "other").write_text("")
    server = serve(app="versioned:app", cwd=tmp_path)
    (tmp_path / "other").write_text("SNAPSHOTS")
    os.kill(server.hub(0)["pid"], signal.SIGKILL)
    server.wait_for(lambda: "hub 0 cannot start: actorrpc " in server.log)
    (tmp_path / "other").write_text("")
    server.wait_for(lambda: server.hub(0)["state"] == "serving" and "hub 0 serves again" in server.log)
