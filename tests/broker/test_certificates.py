"""Certificates as the broker knows them: who is told to read them again, and what is warned of, and when."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import AsyncResult

from actorrpc.broker import supervisor as broker_supervisor
from actorrpc.broker.deploying import certificates as module
from actorrpc.broker.deploying.certificates import Certificates
from actorrpc.config import Config
from actorrpc.errors import ConfigError
from actorrpc.ipc.hello import Formats, Hello
from actorrpc.net.listening import Bound
from actorrpc.pb.control_pb2 import TlsRenewed as Renewed
from actorrpc.pb.control_pb2 import ToHub
from tests.broker.supervised import supervised
from tests.support.certificates import Authority, Pair
from tests.support.waiting import until


class Process:
    """A hub that answers as it is told: None, it does not."""

    def __init__(self, hub: int, answer: Renewed | None, *, ready: bool = True) -> None:
        self.hub, self.pid, self.generation, self.serial = hub, 100 + hub, 1, 1000 + hub
        self.ready, self.exit_code = ready, None
        self.started = time.monotonic()
        self.answer = answer
        self.asked = 0
        #: The settings that it was told.
        self.told: list[Config | None] = []

    def ask(self, question: ToHub) -> AsyncResult[Any]:
        assert question.WhichOneof("kind") == "renew_tls"
        self.asked += 1
        renew = question.renew_tls
        self.told.append(Config.from_message(renew.config) if renew.HasField("config") else None)
        result: AsyncResult[Any] = AsyncResult()
        if self.answer is not None:
            result.set(self.answer)
        return result


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.sign("server", ["localhost"])


def made(
    pair: Pair, *processes: Any, generation: int = 1, serves_tls: bool = True, **more: Any
) -> Certificates:
    config = Config(tls_cert=pair.cert, tls_key=pair.key, **more)
    return Certificates(serves_tls, lambda: config, lambda: generation, lambda: processes)


def test_all_that_are_ready_are_told_also_those_that_end(
    monkeypatch: pytest.MonkeyPatch, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    done, refuses, silent = Process(0, Renewed()), Process(1, Renewed(error="no")), Process(2, None)
    starts = Process(3, Renewed(), ready=False)
    found = made(pair, done, refuses, silent, starts).renew()
    assert [(each["id"], each["serial"], each["error"]) for each in found["hubs"]] == [
        (0, 1000, ""),
        (1, 1001, "no"),
        (2, 1002, "it does not answer"),
    ]
    assert starts.asked == 0
    assert "hub 1 (pid 101) has not taken up the certificates that are there: no" in caplog.text


def test_one_that_was_starting_meanwhile_is_told_once_it_is_ready(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    late = Process(1, Renewed(error="gone"), ready=False)
    certificates = made(pair, late)
    certificates.ready(late)
    gevent.sleep(0)
    assert late.asked == 0, "nobody was told anything yet"
    certificates.renew()
    later = Process(2, Renewed())
    for process in (late, later):
        certificates.ready(process)
    until(lambda: "hub 1 (pid 101) has not taken up" in caplog.text, sleep=gevent.sleep)
    assert (late.asked, later.asked) == (1, 0), "who started later has read what was there then"


def of(generation: int, process: Process) -> Process:
    process.generation = generation
    return process


def test_those_of_an_earlier_generation_go_by_what_the_current_one_was_told(
    pair: Pair, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    old, unable = of(1, Process(0, Renewed())), of(2, Process(1, Renewed(error="gone")))
    own, gone = of(3, Process(0, Renewed())), of(1, Process(2, None))
    starting = of(4, Process(0, Renewed(), ready=False))
    gone.exit_code = 0
    everyone = (old, unable, own, gone, starting)
    certificates = made(pair, *everyone, generation=3, tls_client_ca=authority.file)
    certificates.succeeded()
    assert [each.told for each in everyone] == [[certificates._config()]] * 2 + [[]] * 3
    until(lambda: "hub 1 (pid 101) has not taken up" in caplog.text, sleep=gevent.sleep)
    certificates.renew()
    assert [old.told[-1], own.told] == [certificates._config(), [None]]
    starting.started = 0.0
    certificates.ready(starting)
    assert starting.told == [None], "it may be of another generation, with files of its own"


def test_another_broker_tells_them_too(pair: Pair) -> None:
    old, own = of(1, Process(0, Renewed())), of(2, Process(1, Renewed()))
    certificates = made(pair, generation=2)
    for process in (old, own):
        certificates.taken_over(process)
    assert (old.told, own.told) == ([certificates._config()], [])
    plain = of(1, Process(0, Renewed()))
    made(pair, plain, generation=2, serves_tls=False).succeeded()
    assert plain.told == [], "there is nothing to serve by"


def test_a_file_that_is_wrong_is_told_to_no_hub(pair: Pair) -> None:
    hub = Process(0, Renewed())
    certificates = made(pair, hub)
    Path(pair.key).write_text("nothing")
    with pytest.raises(ConfigError, match="cannot be used"):
        certificates.renew()
    certificates.ready(Process(1, Renewed()))
    assert hub.asked == 0


def test_what_hubs_have_is_warned_of_and_not_what_lies_there(
    pair: Pair, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    soon = authority.sign("soon", days=3.5)
    for name in ("cert", "key"):
        shutil.copy(getattr(soon, name), getattr(pair, name))
    certificates = made(pair, Process(0, Renewed()))
    certificates.taken_up(certificates._config())
    newer = authority.sign("newer")
    for name in ("cert", "key"):
        shutil.copy(getattr(newer, name), getattr(pair, name))
    for _ in range(2):
        certificates.look()
    assert caplog.text.count(f"the certificate {pair.cert} expires on ") == 3
    certificates.renew()
    caplog.clear()
    certificates.look()
    assert caplog.text == ""


def test_files_that_were_right_once_are_warned_of(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    certificates = made(pair)
    certificates.taken_up(certificates._config())
    os.remove(pair.key)
    certificates.look()
    certificates.taken_up(certificates._config())
    assert caplog.text.count(f"a hub that starts again could not serve: {pair.key} is not there") == 2
    assert f"the key {pair.key} cannot be looked at: No such file or directory" in caplog.text


def test_a_ca_of_clients_that_ends_is_warned_of(
    pair: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ends = Authority(tmp_path / "ends", "a CA that ends", days=1.5)
    for client, count in (("none", 0), ("optional", 1)):
        certificates = made(pair, tls_client_ca=ends.file, tls_client=client)
        certificates.taken_up(certificates._config())
        assert caplog.text.count(f"the certificate {ends.file} expires on ") == count
    assert "in 1 day\n" in caplog.text


def test_they_are_looked_at_as_long_as_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_supervisor, "LOOK", 0.01)
    looks: list[Certificates] = []
    monkeypatch.setattr(Certificates, "look", lambda self: looks.append(self))
    with supervised(monkeypatch) as found:
        found.until(lambda: len(looks) >= 2)


@pytest.mark.parametrize(("tls", "refused"), [(True, "would take TLS for plaintext"), (False, "")])
def test_a_hub_of_an_older_version_is_not_given_tls(tls: bool, refused: str) -> None:
    from actorrpc.broker.sharing.accept_queues import AcceptQueues

    queues = AcceptQueues([Bound("here:1", shared=True, tls=tls)], 1, "acceptor")
    old = Hello("0.1.0", Formats(1, 1), Formats(1, 1), Formats(4, 4))
    assert refused in queues.why_not(old) and bool(queues.why_not(old)) == bool(refused)
