"""Reloads to releases with virtual environments of their own, perhaps with another version of actorrpc in
them: served as ``current/venv/bin/actorrpc serve``, where ``current`` is a link, and that is switched."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from actorrpc.ipc.hello import CONTROL, own_version
from tests.chaos.callers import Callers
from tests.chaos.environments import Formats, make_environment
from tests.chaos.releases import Releases
from tests.support.server_process import ServerProcess, served
from tests.support.wheel import build_wheel

CALLERS = 8

Deploy = Callable[..., AbstractContextManager[ServerProcess]]

#: What each process that has loaded the app leaves in its working directory.
TELLS = """
import json
import os
import sys

from actorrpc.ipc.hello import own_version

told = {"executable": sys.executable, "package": actorrpc.__file__, "version": own_version()}
with open(f"ran-{os.getpid()}", "w") as file:
    json.dump(told, file)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


class Deployed:
    """Releases, each with an environment in its folder."""

    def __init__(self, folder: Path, contracts: Path, wheel: Path) -> None:
        self.releases = Releases(folder, contracts)
        self.current = self.releases.current
        self._wheel = wheel

    def release(self, version: str = "", formats: Formats | None = None) -> int:
        """Make one, and have the link lead there. Returns its number."""
        return self.releases.make(
            TELLS, lambda folder: make_environment(folder / "venv", self._wheel, version, formats)
        )

    @contextmanager
    def serve(self, *, interpreter: bool, cwd: Path | None = None) -> Iterator[ServerProcess]:
        """By the command of the environment, or with its interpreter; in ``current``, or elsewhere."""
        where = cwd or self.current
        program = self.current / "venv/bin"
        command = (program / "python", "-m", "actorrpc") if interpreter else (program / "actorrpc",)
        # Nothing but the environment says where actorrpc is.
        variables = {"PYTHONPATH": "", "PWD": str(where)}
        with served(
            app="life:app", cwd=where, program=[*map(str, command), "serve"], variables=variables
        ) as server:
            yield server

    def told(self, release: int, pid: int) -> dict[str, str]:
        """What a hub's process has told of itself, in the folder of a release."""
        told: dict[str, str] = json.loads((self.folder(release) / f"ran-{pid}").read_text())
        return told

    def folder(self, release: int) -> Path:
        return self.releases.folder / f"release-{release}"


@pytest.fixture
def deployed(tmp_path: Path, contracts: Path, wheel: Path) -> Deployed:
    return Deployed(tmp_path, contracts, wheel)


def hubs(server: ServerProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.status()["hubs"]
    return found


@pytest.mark.parametrize("interpreter", [False, True], ids=["the command", "python -m"])
def test_a_link_that_is_switched_leads_to_new_code_and_another_environment(
    deployed: Deployed, contract: Any, interpreter: bool
) -> None:
    deployed.release()
    with (
        deployed.serve(interpreter=interpreter) as server,
        Callers(CALLERS, server.address, *contract) as callers,
    ):

        def run_in(release: int) -> None:
            venv = deployed.folder(release) / "venv"
            for row in hubs(server):
                told = deployed.told(release, row["pid"])
                assert Path(told["executable"]).parent == venv / "bin"
                assert Path(told["package"]).is_relative_to(venv)

        run_in(1)
        assert deployed.release() == 2
        os.kill(hubs(server)[0]["pid"], signal.SIGKILL)  # the link leads on, but nobody has reloaded
        server.wait_for(lambda: "hub 0 serves again" in server.log)
        run_in(1)
        assert server.run("reload").returncode == 0
        assert [row["generation"] for row in hubs(server)] == [2, 2]
        run_in(2)
        server.wait_for(lambda: all(each.ended or each.releases[-1] == 2 for each in callers.all))
        callers.end()
        struck = [each for each in callers.all if each.ended is not None]
        assert len(struck) < CALLERS
        assert len(callers.faults) == sum(len(each.faults) for each in struck), callers.faults
        assert "have changed since" not in server.log and "has gone" not in server.log


def test_without_an_interpreter_at_the_path_the_old_generation_serves_on(deployed: Deployed) -> None:
    deployed.release()
    with deployed.serve(interpreter=False) as server:
        pids = [row["pid"] for row in hubs(server)]
        deployed.releases.make(TELLS)
        done = server.run("reload")
        assert done.returncode == 1
        path = deployed.current / "venv/bin/python"
        assert f"generation 2 is abandoned: [Errno 2] No such file or directory: '{path}'" in done.stderr
        assert "Traceback" not in server.log, "it is nobody's mistake but the operator's"
        assert [row["pid"] for row in hubs(server)] == pids


def test_reloads_to_other_versions_of_actorrpc(deployed: Deployed, contract: Any) -> None:
    """A broker and hubs of this version; then hubs of one that knows a newer format of everything, too; then
    of one that knows nothing older. And back."""
    deployed.release()
    own, newer = str(CONTROL), CONTROL.newest + 1
    with (
        deployed.serve(interpreter=False) as server,
        Callers(CALLERS, server.address, *contract) as callers,
    ):

        def reload_to(release: int, version: str) -> None:
            done = server.run("reload")
            assert done.returncode == 0, done.stderr + server.log
            assert f"generation {release} serves: {CALLERS} moved" in done.stdout
            for row in hubs(server):
                assert deployed.told(release, row["pid"])["version"] == version
            # Also among themselves.
            for row in server.connections():
                assert server.move(row["id"], 1 - row["hub"]) == ""
            server.wait_for(lambda: all(each.releases[-1] == release for each in callers.all))

        deployed.release("8.0", lambda oldest, newest: (oldest, newest + 1))
        reload_to(2, "8.0")
        pids = [row["pid"] for row in hubs(server)]
        deployed.release("9.0", lambda oldest, newest: (newest + 1, newest + 1))
        done = server.run("reload")
        assert done.returncode == 1
        knows = f"actorrpc 9.0 knows the formats {newer} of control messages"
        broker = f"actorrpc {own_version()}, which the broker is, {own}"
        assert f"generation 3 is abandoned: {knows}, and {broker}" in done.stderr
        assert [row["pid"] for row in hubs(server)] == pids
        deployed.release()
        reload_to(4, own_version())
        callers.end()
        assert callers.faults == []
        assert "Traceback" not in server.log
