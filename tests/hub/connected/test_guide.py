"""The example of docs/guide/actors.md, as it stands there: a room that keeps references to its members."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import pytest

import actorrpc
from actorrpc.pb import control_pb2
from tests.support.hubs import serving
from tests.support.processes import ROOT, environment


def blocks(language: str) -> list[str]:
    text = (ROOT / "docs/guide/actors.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def load(folder: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def chat(tmp_path: Path) -> dict[str, Any]:
    """What the guide's code has, in a package of its own, since other tests have a `chat`."""
    first, second = blocks("protobuf")[0], blocks("protobuf")[-1]
    (tmp_path / "guide_chat.proto").write_text((first + second).replace("chat", "guide_chat"))
    subprocess.run(
        [sys.executable, "-m", "actorrpc.protoc", "--out", ".", "guide_chat.proto"],
        cwd=tmp_path,
        env=environment(strict=False),
        check=True,
    )
    names = {"actorrpc": actorrpc} | vars(load(tmp_path, "guide_chat_pb2"))
    names |= vars(load(tmp_path, "guide_chat_actorrpc"))
    exec(blocks("python")[-1].replace("/chat.", "/guide_chat."), names)
    return names


def test_a_room_tells_its_members_something(chat: dict[str, Any]) -> None:
    line = chat["Line"]
    own = [("grpc.use_local_subchannel_pool", 1)]
    with serving(actorrpc.App([chat["Hall"], chat["Member"]]), 3) as hubs:
        channels = [grpc.insecure_channel(hubs.address, own) for _ in range(3)]
        members = [chat["MemberStub"](channel) for channel in channels]
        heard = [member.Join(line(room="lobby"), timeout=20) for member in members]
        halls = chat["HallStub"](channels[0])

        def entered() -> int:
            found = [a for node in hubs.nodes for a in node.actors.active.values()]
            return sum(
                len(each.cell.instance.state.members) for each in found if each.cell.instance is not None
            )

        hubs.wait_for(lambda: entered() == 3)
        ids = hubs.ask(lambda: [*hubs.nodes[0].connections])
        for hub, id in enumerate(ids):
            assert hubs.move(hub, id).outcome == control_pb2.MoveResult.MOVED
        halls.Say(line(room="lobby", text="hello"), timeout=20)
        assert [next(call).text for call in heard] == ["hello"] * 3
        channels[2].close()
        hubs.wait_for(lambda: sum(len(node.connections) for node in hubs.nodes) == 2)
        halls.Say(line(room="lobby", text="who is there?"), timeout=20)
        assert [next(call).text for call in heard[:2]] == ["who is there?"] * 2
        assert hubs.ask(entered) == 2
        for channel in channels[:2]:
            channel.close()
