"""Real servers with addresses of which clients speak TLS: who is told so, what is refused before anything is
opened, and certificates that are renewed while hubs serve."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from cryptography import x509

from actorrpc.pb.admin_pb2 import Request
from tests.apps.shapes_pb2 import Item
from tests.broker.test_systemd import activated
from tests.support.certificates import Authority, Pair
from tests.support.counting_client import CountingClient
from tests.support.fixtures import Follow, Serve
from tests.support.processes import is_free
from tests.support.server_process import ServerProcess
from tests.support.waiting import PATIENCE

Connect = Callable[..., CountingClient]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "ca")


class Files:
    """The files of a server's certificate, which can be replaced."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.authority = authority
        self.pair = Pair(folder, "server")
        self.ca = str(folder / "clients.pem")
        shutil.copy(authority.file, self.ca)
        self.renew()

    def renew(self, **more: Any) -> None:
        """Another certificate, for localhost."""
        made = self.authority.sign("localhost", ["localhost"], **more)
        shutil.copy(made.cert, self.pair.cert)
        shutil.copy(made.key, self.pair.key)
        os.chmod(self.pair.key, 0o600)

    def spoil(self) -> None:
        Path(self.pair.cert).write_text("nothing")

    @property
    def options(self) -> tuple[str, ...]:
        return ("--tls-cert", self.pair.cert, "--tls-key", self.pair.key)


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> Files:
    return Files(tmp_path, authority)


TLS_BIND = ("--tls-bind", "127.0.0.1:0")


def addresses(server: ServerProcess) -> list[tuple[str, bool]]:
    return [(each["address"], each["tls"]) for each in server.status()["addresses"]]


def kinds(server: ServerProcess) -> list[bool]:
    return [tls for _, tls in addresses(server)]


def served(address: str, authority: Authority) -> str:
    """The serial number of the certificate that a new client sees."""
    context = ssl.create_default_context(cafile=authority.file)
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), PATIENCE) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as secure,
    ):
        found: Any = secure.getpeercert()
        return str(found["serialNumber"])


def serial_number(file: str) -> str:
    number = x509.load_pem_x509_certificate(Path(file).read_bytes()).serial_number
    return f"{number:X}".zfill(len(f"{number:X}") + len(f"{number:X}") % 2)


def credentials(authority: Authority, pair: Pair | None = None) -> grpc.ChannelCredentials:
    shown = () if pair is None else (Path(pair.key).read_bytes(), Path(pair.cert).read_bytes())
    return grpc.ssl_channel_credentials(Path(authority.file).read_bytes(), *shown)


@pytest.fixture
def connect(authority: Authority) -> Iterator[Callable[..., CountingClient]]:
    clients: list[CountingClient] = []

    def start(address: str, pair: Pair | None = None) -> CountingClient:
        clients.append(client := CountingClient(address, credentials(authority, pair)))
        return client

    yield start
    for client in clients:
        client.close()


# ---- where it listens


def test_the_first_plaintext_address_comes_first(serve: Serve, files: Files) -> None:
    server = serve(*TLS_BIND, *files.options)
    (plain, _), (secure, _) = addresses(server)
    assert kinds(server) == [False, True]
    assert server.address == plain
    assert server.read_line() == f"ready on {secure} (2 hubs) (TLS)\n"
    assert f"serving on {plain} and {secure} (TLS), broker" in server.run("status").stdout


def test_with_tls_alone_there_is_no_plaintext_address(serve: Serve, files: Files) -> None:
    server = serve(*TLS_BIND, *files.options, bind=None)
    assert addresses(server) == [(server.address, True)]
    assert server.log == ""


def test_a_file_and_the_environment_say_it_too(serve: Serve, files: Files) -> None:
    file = files.folder / "server.toml"
    file.write_text(
        f'tls_bind = "127.0.0.1:0"\ntls_cert = "{files.pair.cert}"\ntls_client_ca = "{files.ca}"\n'
        'tls_client = "optional"\ntls_min = "1.2"\n'
    )
    variables = {"ACTORRPC_TLS_KEY": files.pair.key}
    assert kinds(serve("--config", file, bind=None, variables=variables)) == [True]


def test_relative_paths_are_from_where_it_was_started(serve: Serve, files: Files) -> None:
    """Also in hubs, whose app may go elsewhere, and by the first name of a folder that links stand for."""
    app = files.folder / "roaming.py"
    app.write_text("import os\nfrom tests.apps.shapes import app\nos.chdir('/')\n")
    root = str(Path(__file__).parents[2])
    options = ("--tls-cert", "server.pem", "--tls-key", "server.key")
    variables = {"PYTHONPATH": root}
    server = serve(*TLS_BIND, *options, app="roaming:app", bind=None, cwd=files.folder, variables=variables)
    assert server.run("tls", "reload").returncode == 0
    assert server.run("reload").returncode == 0, server.log


@pytest.mark.parametrize("accept", ["reuseport", "acceptor"])
def test_hubs_and_brokers_that_follow_know_it(
    serve: Serve, follow: Follow, files: Files, accept: str
) -> None:
    options = (*TLS_BIND, *files.options, "--accept", accept)
    server = serve(*options)
    there = addresses(server)
    for command in (("reload",), ("scale", 3), ("scale", 2)):
        assert server.run(*command).returncode == 0
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    for takeover in ((), ("--takeover",)):
        server = follow(server, *options, *takeover)
        assert addresses(server) == there
        renewed = json.loads(server.run("tls", "reload", "--json").stdout)
        assert [each["error"] for each in renewed["hubs"]] == ["", ""]


@pytest.mark.parametrize("tls_first", [True, False])
def test_the_next_broker_takes_no_plaintext_for_tls(
    serve: Serve, follow: Follow, files: Files, tls_first: bool
) -> None:
    plain, secure = ("--bind", "127.0.0.1:0"), (*TLS_BIND, *files.options)
    first, then = (secure, plain) if tls_first else (plain, secure)
    server = serve(*first, bind=None)
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    other = follow(server, *then, bind=None, ready=False)
    assert other.wait() == 2
    tls = " (TLS)"
    there, here = f"{server.address}{tls * tls_first}", f"127.0.0.1:0{tls * (not tls_first)}"
    assert f"they listen on {there}, not on {here};" in other.log
    assert server.run("stop").returncode == 0


def test_a_handshake_under_way_is_listed_and_does_not_move(serve: Serve, files: Files) -> None:
    server = serve(*TLS_BIND, *files.options, bind=None)
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE):
        (row,) = server.wait_for(lambda: json.loads(server.run("connections", "--json").stdout))
        assert (row["movable"], row["awaits"]) == (False, "handshake")
        moved = server.run("move", row["id"], 1 - row["hub"])
        assert moved.returncode == 1
        told = f"{row['id']} stays on hub {row['hub']}: its TLS handshake is under way"
        assert moved.stderr == f"actorrpc: error: {told}\n"
        told = server.run("why", row["id"])
        assert (told.returncode, told.stderr) == (0, "") and "its TLS handshake is under way" in told.stdout
        assert "  no       its TLS handshake is under way" in server.run("connections").stdout
    server.wait_for(lambda: server.connections() == [])


# ---- what is refused before anything is opened


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--tls-bind {free}", "of which clients speak TLS needs a certificate: give tls_cert and tls_key"),
        ("--tls-bind {free} --tls-cert {cert}", "each TLS certificate needs a key: 1 and 0 are given"),
        ("--tls-bind {free} --tls-key {key}", "each TLS certificate needs a key: 0 and 1 are given"),
        ("--bind {free} --tls-cert {cert} --tls-key {key}", "no address of which clients speak TLS: give"),
        ("--bind {free} --tls-min 1.2", "tls_min 1.2 is for tls_bind, and there is none"),
        ("--bind {free} --tls-client-ca {ca}", "clients cannot show certificates without one of the server"),
        ("--tls-bind {free} --tls-client required {own}", "clients' certificates are required, and no CA is"),
        ("--tls-bind {free} --tls-cert {ca} --tls-key {key}", "the key {key} is not that of the certificate"),
        ("--tls-bind {free} --tls-cert /nothing --tls-key {key}", "/nothing cannot be read: No such file"),
        ("--tls-bind {free} --tls-client-ca {key} {own}", "the CA of clients {key} cannot be used: "),
        ("--tls-bind {free} --tls-cert /dev/zero --tls-key {key}", "/dev/zero is no file that each hub"),
        ("--bind {free} --tls-bind {free} {own}", "{free} is given twice"),
    ],
)
def test_what_does_not_go_together(serve: Serve, files: Files, options: str, told: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        free = "127.0.0.1:{1}".format(*sock.getsockname())
    names = {"free": free, "cert": files.pair.cert, "key": files.pair.key, "ca": files.ca}
    names["own"] = " ".join(files.options)
    server = serve(*options.format(**names).split(), bind=None, ready=False)
    assert server.wait() == 2
    assert told.format(**names) in server.log and server.log.count("\n") == 1
    assert is_free(free)


def test_without_cryptography_it_says_what_to_install(serve: Serve, files: Files) -> None:
    hidden = files.folder / "cryptography"
    hidden.mkdir()
    (hidden / "__init__.py").write_text("raise ImportError('hidden')\n")
    variables = {"PYTHONPATH": os.pathsep.join([str(files.folder), os.environ.get("PYTHONPATH", "")])}
    server = serve(*TLS_BIND, *files.options, bind=None, variables=variables, ready=False)
    assert server.wait() == 2
    assert server.log == (
        "actorrpc: error: TLS needs the package cryptography: pip install 'actorrpc[tls]'\n"
    )


# ---- sockets that systemd gives


def test_sockets_that_are_named_tls(serve: Serve, follow: Follow, files: Files) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as secure,
        socket.create_server(("127.0.0.1", 0)) as plain,
    ):
        places = ["{}:{}".format(*sock.getsockname()) for sock in (plain, secure)]
        named = {"names": "tls:grpc.socket", "options": files.options}
        server = activated(serve, secure, plain, **named)
        assert addresses(server) == [(places[0], False), (places[1], True)]
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        other = activated(partial(follow, server), secure, plain, ready=False)
        assert other.wait() == 2
        assert f"they listen on {places[0]} and {places[1]} (TLS), not on" in other.log
        server = activated(partial(follow, server), secure, plain, **named)
        assert kinds(server) == [False, True]


def test_a_socket_that_is_named_tls_needs_a_certificate(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = activated(serve, sock, names="tls", ready=False)
        assert server.wait() == 2
    assert "an address of which clients speak TLS needs a certificate" in server.log


# ---- renewals


@pytest.mark.parametrize("command", [("tls", "reload"), ("reload",)])
def test_new_clients_see_the_new_certificate_and_the_others_notice_nothing(
    serve: Serve, files: Files, authority: Authority, connect: Connect, command: tuple[str, ...]
) -> None:
    server = serve(*TLS_BIND, *files.options, bind=None)
    client = connect(server.address)
    client.call()
    before = serial_number(files.pair.cert)
    assert {served(server.address, authority) for _ in range(8)} == {before}
    files.renew()
    assert {served(server.address, authority) for _ in range(8)} == {before}, "nobody has said so yet"
    assert server.run(*command).returncode == 0
    assert {served(server.address, authority) for _ in range(8)} == {serial_number(files.pair.cert)}
    client.call()
    files.spoil()
    assert server.run(*command).returncode == 1
    assert len({served(server.address, authority) for _ in range(8)}) == 1
    client.call()


@pytest.mark.parametrize("command", [("tls", "reload"), ("reload",)])
def test_who_is_not_admitted_any_more_is_disconnected(
    serve: Serve, files: Files, connect: Connect, command: tuple[str, ...]
) -> None:
    """With the CAs that a hub reads anew, or those of the hub that a connection comes to."""
    server = serve(*TLS_BIND, *files.options, "--tls-client-ca", files.ca, bind=None)
    other = Authority(files.folder / "other", "another CA")
    Path(files.ca).write_text(Path(files.authority.file).read_text() + Path(other.file).read_text())
    assert server.run("tls", "reload").returncode == 0
    stays = connect(server.address, files.authority.sign("one"))
    goes = connect(server.address, other.sign("two"))
    for client in (stays, goes):
        client.call()
    said: SimpleQueue[Item | None] = SimpleQueue()
    open_call = goes.stub.Talk(iter(said.get, None), timeout=PATIENCE)
    said.put(Item())
    next(open_call)
    assert server.run("tls", "reload").returncode == 0
    assert len(server.connections()) == 2, "both are still admitted"
    shutil.copy(files.authority.file, files.ca)
    assert server.run(*command).returncode == 0
    with pytest.raises(grpc.RpcError):
        next(open_call)
    assert open_call.code() is grpc.StatusCode.UNAUTHENTICATED
    said.put(None)
    assert open_call.details() == (
        "the client is not admitted any more: its certificate is not admitted: "
        "unable to get local issuer certificate"
    )
    server.wait_for(lambda: len(server.connections()) == 1)
    assert server.log.count(" ends: its certificate is not admitted: unable to get local issuer cert") == 1
    stays.call()


def test_connections_that_stay_are_judged_by_the_cas_of_the_reload(
    serve: Serve, follow: Follow, files: Files, connect: Connect
) -> None:
    """Also where its files are others than those that their hubs were started with, and these are gone."""
    one, other = files.authority, Authority(files.folder / "other", "another CA")
    texts = [Path(each.file).read_text() for each in (one, other)]
    ca = {name: files.folder / f"{name}.pem" for name in ("first", "second")}
    ca["first"].write_text("".join(texts))
    toml = files.folder / "server.toml"
    toml.write_text(f'tls_client_ca = "{ca["first"]}"\ndrain_timeout = 600\n')
    server = serve(*TLS_BIND, *files.options, "--config", toml, bind=None)
    stays, goes = connect(server.address, one.sign("one")), connect(server.address, other.sign("two"))
    calls = [client.begin_slow_call(600) for client in (stays, goes)]
    server.wait_for(lambda: [row["movable"] for row in server.connections()] == [False] * 2)
    ca["second"].write_text(texts[0])
    toml.write_text(f'tls_client_ca = "{ca["second"]}"\ndrain_timeout = 600\n')
    ca["first"].unlink()
    assert server.request(Request(reload=Request.Reload())).error == ""
    with pytest.raises(grpc.RpcError) as raised:
        calls[1].result()
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    server.wait_for(lambda: [row["generation"] for row in server.connections()] == [1])
    assert not calls[0].done()
    # A renewal reaches it too, with the files of now, and so does another broker.
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    ca["second"].write_text(texts[1])
    server = follow(server, *TLS_BIND, *files.options, "--config", toml, bind=None)
    with pytest.raises(grpc.RpcError) as raised:
        calls[0].result()
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    server.wait_for(lambda: server.connections() == [])
    renewed = json.loads(server.run("tls", "reload", "--json").stdout)
    assert {each["error"] for each in renewed["hubs"]} == {""}


def test_a_hub_that_starts_again_says_which_file_is_wrong(
    serve: Serve, files: Files, authority: Authority
) -> None:
    server = serve(*TLS_BIND, *files.options, bind=None)
    files.spoil()
    os.kill(server.hub(1)["pid"], signal.SIGKILL)
    why = f"hub 1 cannot start: {files.pair.cert} has no certificate in PEM"
    server.wait_for(lambda: why in server.log)
    served(server.address, authority)
    scaled = server.run("scale", 3)
    assert scaled.returncode == 1 and f"{files.pair.cert} has no certificate in PEM" in scaled.stderr
    files.renew()
    server.wait_for(lambda: server.hub(1)["state"] == "serving")


def test_all_hubs_take_up_new_files(serve: Serve, files: Files) -> None:
    server = serve(*TLS_BIND, *files.options, "--tls-client-ca", files.ca)
    files.renew(days=300)
    done = server.run("tls", "reload")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].startswith(f"{files.pair.cert}: localhost, until ")
    assert done.stdout.splitlines()[-1] == "2 hubs serve with them"
    found = json.loads(server.run("tls", "reload", "--json").stdout)
    assert found["certificates"][0]["names"] == ["localhost"] and found["warnings"] == []
    rows = server.status()["hubs"]
    assert found["hubs"] == [
        {**{key: row[key] for key in ("id", "pid", "generation", "serial")}, "error": ""} for row in rows
    ]


def test_a_file_that_is_wrong_is_refused_and_no_hub_is_told(serve: Serve, files: Files) -> None:
    server = serve(*TLS_BIND, *files.options)
    files.spoil()
    for as_json in ((), ("--json",)):
        done = server.run("tls", "reload", *as_json)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"actorrpc: error: {files.pair.cert} has no certificate in PEM\n"
    assert server.log == "", "no hub is told"
    files.renew()
    assert server.run("tls", "reload").returncode == 0


def test_a_server_without_tls_has_nothing_to_renew(serve: Serve) -> None:
    done = serve().run("tls", "reload")
    assert done.returncode == 1
    assert done.stderr == "actorrpc: error: this server has no address of which clients speak TLS\n"


def test_a_hub_that_does_not_answer_is_named(serve: Serve, files: Files) -> None:
    server = serve(*TLS_BIND, *files.options)
    pid = server.hub(1)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        done = server.run("tls", "reload")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert done.returncode == 1
    assert f"not all hubs have taken them up: hub 1 (pid {pid}): it does not answer\n" in done.stderr
    assert f"hub 1 (pid {pid}) has not taken up the certificates that are there" in server.log


def test_a_reload_takes_up_new_files_and_refuses_wrong_ones(serve: Serve, files: Files) -> None:
    server = serve(*TLS_BIND, *files.options)
    hubs = [row["pid"] for row in server.status()["hubs"]]
    files.spoil()
    refused = server.run("reload")
    assert refused.returncode == 1
    assert refused.stderr == f"actorrpc: error: {files.pair.cert} has no certificate in PEM\n"
    os.kill(server.pid, signal.SIGHUP)
    server.wait_for(lambda: f"reload: {files.pair.cert} has no certificate in PEM" in server.log)
    assert [row["pid"] for row in server.status()["hubs"]] == hubs, "the old generation stays"
    files.renew()
    assert server.run("reload").returncode == 0
    assert {row["generation"] for row in server.status()["hubs"]} == {2}


def test_a_reload_changes_which_files_and_what_is_asked_of_clients(serve: Serve, files: Files) -> None:
    file = files.folder / "server.toml"
    whole = f'tls_cert = "{files.pair.cert}"\ntls_key = "{files.pair.key}"\n'
    file.write_text(whole)
    server = serve(*TLS_BIND, "--config", file)
    file.write_text(f'{whole}tls_client_ca = "{files.ca}"\ntls_min = "1.2"\n')
    assert server.run("reload").returncode == 0
    for text, why in (
        ("", "an address of which clients speak TLS needs a certificate: give tls_cert and tls_key"),
        (f'{whole}tls_client = "required"\n', "clients' certificates are required, and no CA is given"),
    ):
        file.write_text(text)
        done = server.run("reload")
        assert done.returncode == 1
        assert why in done.stderr
    file.write_text(f'{whole}tls_client_ca = "{files.folder / "nothing"}"\n')
    done = server.run("reload")
    assert done.returncode == 1 and "nothing cannot be used: No such file" in done.stderr
    assert {row["generation"] for row in server.status()["hubs"]} == {2}


def test_the_broker_warns_once_and_not_each_hub(serve: Serve, files: Files) -> None:
    files.renew(days=3.5)
    os.chmod(files.pair.key, 0o644)
    server = serve(*TLS_BIND, *files.options, hubs=3)
    soon = f"the certificate {files.pair.cert} expires on "
    open_key = f"the key {files.pair.key} can be used by every user of this machine: its mode is 644"
    assert server.log.count(soon) == server.log.count(open_key) == 1
    done = server.run("tls", "reload")
    assert f"warning: {soon}" in done.stdout and f"warning: {open_key}\n" in done.stdout
    assert server.log.count(soon) == server.log.count(open_key) == 2
    assert server.run("reload").returncode == 0
    assert server.log.count(soon) == server.log.count(open_key) == 3
    files.renew()
    assert "warning" not in server.run("tls", "reload").stdout


def test_of_many_certificates_none_is_left_out_of_the_warnings(serve: Serve, files: Files) -> None:
    pairs = [files.authority.sign(f"soon {number}", days=3.5) for number in range(12)]
    options = [word for each in pairs for word in ("--tls-cert", each.cert, "--tls-key", each.key)]
    server = serve(*TLS_BIND, *options, bind=None)
    assert [f"the certificate {each.cert} expires on " in server.log for each in pairs] == [True] * 12


def test_hubs_that_start_again_need_files_that_are_right(serve: Serve, follow: Follow, files: Files) -> None:
    """The next broker refuses to start with a file that is wrong, and the hubs serve on."""
    server = serve(*TLS_BIND, *files.options)
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    files.spoil()
    refused = follow(server, *TLS_BIND, *files.options, ready=False)
    assert refused.wait() == 2
    assert f"{files.pair.cert} has no certificate in PEM" in refused.log
    files.renew()
    follow(server, *TLS_BIND, *files.options)
