"""``serve``: a broker and its hubs, from the command line or from Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from signal import SIGHUP, SIGINT, SIGTERM
from socket import socket
from typing import Any

from actorrpc.balancing.policies import DEFAULT, make_policy
from actorrpc.balancing.recorder import recording_to
from actorrpc.broker.admin.answers import Admin
from actorrpc.broker.admin.takeover import ask_for_hubs
from actorrpc.broker.adoption.inheritance import Inheritance, Wanted, bounds_of
from actorrpc.broker.deploying.file_watch import FileWatch
from actorrpc.broker.deploying.generation import working_directory
from actorrpc.broker.deploying.scale import MOST_HUBS
from actorrpc.broker.host.descriptors import check_descriptors
from actorrpc.broker.host.notify import Notify, serving_line
from actorrpc.broker.host.orphans import reaping
from actorrpc.broker.host.record import Record
from actorrpc.broker.host.runtime_dir import RuntimeDir
from actorrpc.broker.host.signals import caught
from actorrpc.broker.moves.past_file import PastFile
from actorrpc.broker.moves.rebalancer import Rebalancer
from actorrpc.broker.sharing.accept_queues import AcceptQueues
from actorrpc.broker.supervisor import GRACE, Supervisor
from actorrpc.config import Config
from actorrpc.core_dumps import no_core_dumps
from actorrpc.errors import ConfigError
from actorrpc.forks import users_code
from actorrpc.loop.descriptors import raise_limit
from actorrpc.net.activation import activated
from actorrpc.net.listening import Bound, open_addresses, open_again, several
from actorrpc.pb.record_pb2 import Server
from actorrpc.serve_options import ACCEPT_MODES
from actorrpc.tls.handshake.serving import check_files
from actorrpc.tls.handshake.settings import Tls

__all__ = ["ADDRESS", "serve", "usable_cores"]

#: Where it listens, unless it is told.
ADDRESS = "127.0.0.1:50051"
#: On how many addresses it may listen: a hub gets all its sockets, and those that it keeps, at once.
MOST_ADDRESSES = 64


def usable_cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0))


def serve(
    app: str,
    *,
    bind: str | Sequence[str] | None = None,
    tls_bind: str | Sequence[str] | None = None,
    tls: Tls | None = None,
    unix_mode: int | None = None,
    hubs: int | None = None,
    accept: str | None = None,
    runtime_dir: str | None = None,
    config: Config | None = None,
    policy: str = DEFAULT,
    record: str | None = None,
    on_ready: Callable[[str], None] | None = None,
    on_hubs: Callable[[int], None] = lambda hubs: None,
    on_addresses: Callable[[list[tuple[str, bool]]], None] = lambda addresses: None,
    reload: bool = False,
    takeover: bool = False,
    read_again: Callable[[], Config] | None = None,
    on_config: Callable[[Config], object] = lambda config: None,
    move_every: int = 0,
) -> None:
    """Start a broker here and hubs beside it, and block until they have been stopped, or another broker has
    taken them over.

    Where a broker has died, and its hubs serve on in the same runtime directory, these are taken over, if
    ``app``, ``bind`` and ``accept`` are the same (docs/operate/broker.md); ``takeover``: also from a
    broker that lives.

    ``app`` is ``"package.module:attribute"``, found from the working directory. ``bind``, one address or
    several (docs/operate/listening.md), is ``ADDRESS`` unless it or ``tls_bind`` is given, and ``hubs`` the
    number of usable cores; clients of ``tls_bind`` speak TLS, with the certificates of ``tls``, or else of
    ``config`` (docs/operate/tls.md). ``unix_mode`` are the permissions of files of unix sockets. ``accept``
    is ``"reuseport"``, the default: the kernel shares connections out among the hubs; or ``"acceptor"``: one
    hub gives each to the least loaded. With sockets of the service manager (docs/operate/systemd.md) neither
    is given, or the latter. ``policy`` decides which connections move (docs/operate/balancing.md): a name, or
    ``"package.module:Class"`` of your own. ``record`` is a file for what it has to decide by.
    ``on_ready(address)`` is called when all hubs serve, with the first address, and just before it
    ``on_addresses(addresses)`` with all, each with whether its clients speak TLS, and ``on_hubs(hubs)`` with
    the number of hubs, which is not ``hubs`` if another broker's are taken over. ``reload``: do so when a
    Python file below the working directory changes. ``read_again()`` gives, at a reload, the config of the
    next generation of hubs; without it that is ``config``. ``on_config(config)`` is called with it once these
    serve. In the main thread SIGTERM and SIGINT stop the server, and SIGHUP reloads it; ``actorrpc stop`` and
    ``reload`` do from anywhere. This process's soft limit of open files is raised to the hard one, as it is
    in the hubs; without ``config.core_dumps`` no core dump of it is written any more, nor of the hubs.
    ``move_every`` is a test's: it moves each connection on after so many turns, as in
    ``actorrpc.testing.serve``.

    Raises ConfigError, with one line that says what is wrong, if it cannot start, and TooManyRestarts when it
    has stopped since hubs ended more often than ``config.restart_intensity`` allows; then nothing is left,
    but hubs that could not be taken over.
    """
    raise_limit()
    count = usable_cores() if hubs is None else hubs
    path = working_directory()
    config = (config or Config()).with_tls(tls).with_paths_from(path)
    if not config.core_dumps:  # before keys are looked at
        no_core_dumps()
    binds, tls_binds = several(bind), several(tls_bind)
    _check(count, accept, len(binds) + len(tls_binds))
    rebalancer = Rebalancer(policy, make_policy(policy))
    directory = RuntimeDir(runtime_dir)
    with ExitStack() as opened, Admin() as admin, ExitStack() as held:
        notify, given = opened.enter_context(Notify.from_environment()), opened.enter_context(activated())
        wanted = _wanted(app, binds, tls_binds, accept, given)
        serves_tls = bool(wanted.tls_binds) or any(bound.tls for bound in given)
        check_files(config, serves_tls)
        # What may fail comes before another broker leaves its hubs.
        recorder = opened.enter_context(recording_to(record))
        if takeover and (left := ask_for_hubs(directory, wanted)):
            notify.follow(*left["notify"])
        claim = held.enter_context(directory.claim())
        inheritance = Inheritance.find(directory, wanted)
        claim.announce(config.drain_timeout)
        if inheritance is None or not inheritance.server.directory.version:  # no hub goes by any
            claim.make_directory(anew=inheritance is None)
        past = PastFile(directory, rebalancer.journal.past)
        if inheritance is None:
            past.clear()
        else:
            past.restore()
            rebalancer.paused = inheritance.server.paused
            claim.made = claim.made or inheritance.server.made_directory
            claim.server = inheritance.server.server or claim.server
            claim.secret = inheritance.server.secret or claim.secret
        with _queues(given, wanted, count, unix_mode, inheritance) as queues:
            written = Record(directory)

            def write(server: Server) -> None:
                server.bind = next(iter(wanted.binds), "")
                server.paused, server.made_directory = rebalancer.paused, claim.made
                server.server, server.secret = claim.server, claim.secret
                server.binds[:], server.tls_binds[:] = wanted.binds, wanted.tls_binds
                written.write(server)

            supervisor = Supervisor(app, config, claim, queues, rebalancer.hub_moved, move_every, write)
            deployment, certificates = supervisor.deployment, supervisor.certificates
            if inheritance is None:  # else they tell what their hubs have when these are there
                certificates.taken_up(config)

            def next_config() -> Config:
                config = deployment.generation.config if read_again is None else read_again()
                config = config.with_paths_from(path)
                if not config.core_dumps:
                    no_core_dumps()
                certificates.check(config)
                return config

            def told(config: Config) -> None:
                claim.tell(config.drain_timeout)
                certificates.taken_up(config)
                certificates.succeeded()
                with users_code():
                    on_config(config)

            deployment.read_again = next_config
            deployment.on_config = told
            deployment.on_reloading, deployment.on_reloaded = notify.reloading, notify.ready
            supervisor.on_stopping = lambda seconds: notify.stopping(seconds + GRACE)

            def handed_over(pid: int) -> dict[str, Any]:
                notify.handed_over(pid)
                return {"notify": notify.listener}

            admin.on_handed_over = handed_over
            admin.serve(claim.open_socket(), supervisor, rebalancer)
            notify.start(lambda: serving_line(supervisor.hubs.states(), supervisor.hubs.connections))

            def ready() -> None:
                serving = supervisor.members
                rebalancer.start(lambda: serving.balanced, lambda: supervisor.config, recorder, past.write)
                notify.ready()
                if reload:
                    opened.enter_context(FileWatch(working_directory(), deployment.reload_soon))
                on_addresses(supervisor.addresses)
                on_hubs(len(supervisor.hubs))
                if on_ready is not None:
                    with users_code():
                        on_ready(supervisor.address)

            signals = {
                SIGTERM: supervisor.interrupt,
                SIGINT: supervisor.interrupt,
                SIGHUP: deployment.reload_soon,
            }
            with caught(signals), reaping(lambda: supervisor.hubs.pids), rebalancer:
                supervisor.run(ready, inheritance)


def _wanted(
    app: str, binds: tuple[str, ...], tls_binds: tuple[str, ...], accept: str | None, given: Sequence[Bound]
) -> Wanted:
    accept = _accept_mode(accept, binds, tls_binds, given)
    if given:
        return Wanted(app, (), accept, tuple(map(str, given)))
    return Wanted(app, binds if binds or tls_binds else (ADDRESS,), accept, tls_binds=tls_binds)


@contextmanager
def _queues(
    given: Sequence[Bound],
    wanted: Wanted,
    hubs: int,
    unix_mode: int | None,
    inheritance: Inheritance | None,
) -> Iterator[AcceptQueues]:
    """The listening sockets: those that hubs have already, those that were given, or as many as are
    needed."""
    if inheritance is not None:
        server = inheritance.server
        listen = partial(_listen_again, {bound.text: bound.sockets[0] for bound in given}, unix_mode)
        yield AcceptQueues(bounds_of(server), server.hubs, server.accept, listen)
    elif given:
        yield AcceptQueues(given, hubs, wanted.accept)
    else:
        each = hubs if wanted.accept == "reuseport" else None
        with open_addresses(wanted.binds, each, tls_binds=wanted.tls_binds, unix_mode=unix_mode) as bounds:
            yield AcceptQueues(bounds, hubs, wanted.accept)


def _listen_again(given: Mapping[str, socket], unix_mode: int | None, bound: Bound) -> None:
    if bound.text in given:
        bound.sockets = [given[bound.text].dup()]
    else:
        open_again(bound, unix_mode)


def _accept_mode(
    accept: str | None, binds: Sequence[str], tls_binds: Sequence[str], given: Sequence[Bound]
) -> str:
    """What ``--accept`` is. Raises ConfigError where sockets were given, and that asks for others."""
    if not given:
        return accept or "reuseport"
    what = "the service manager has given those (LISTEN_FDS) from which the acceptor accepts for all hubs"
    if accept not in (None, "acceptor"):
        raise ConfigError(f"--accept {accept} needs a socket for each hub, and {what}: leave --accept out")
    for flag, asked in (("--bind", binds), ("--tls-bind", tls_binds)):
        if asked:
            named = " ".join(f"{flag} {bind}" for bind in asked)
            raise ConfigError(f"{named} needs a socket, and {what}: leave {flag} out, or the .socket unit")
    return "acceptor"


def _check(hubs: int, accept: str | None, addresses: int) -> None:
    if accept not in (None, *ACCEPT_MODES):
        raise ConfigError(f"accept must be one of {', '.join(ACCEPT_MODES)}, not {accept!r}")
    if hubs < 1:
        raise ConfigError(f"at least one hub is needed, not {hubs}")
    if hubs > MOST_HUBS:
        raise ConfigError(f"there may be {MOST_HUBS} hubs at most, not {hubs}")
    if addresses > MOST_ADDRESSES:
        raise ConfigError(f"there may be {MOST_ADDRESSES} addresses at most, not {addresses}")
    check_descriptors(hubs, addresses=max(addresses, 1))
