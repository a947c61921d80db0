"""``serve``: a broker and its hubs, from the command line or from Python."""

from __future__ import annotations

import os
from collections.abc import Callable
from signal import SIGHUP, SIGINT, SIGTERM

from actorrpc.balancing.policies import DEFAULT, make_policy
from actorrpc.balancing.recorder import recording_to
from actorrpc.broker.accept_queues import ACCEPT_MODES, AcceptQueues
from actorrpc.broker.admin.answers import Admin
from actorrpc.broker.descriptors import check_descriptors
from actorrpc.broker.rebalancer import Rebalancer
from actorrpc.broker.runtime_dir import RuntimeDir
from actorrpc.broker.signals import caught
from actorrpc.broker.supervisor import Supervisor
from actorrpc.config import Config
from actorrpc.errors import ConfigError
from actorrpc.forks import users_code
from actorrpc.loop.descriptors import raise_limit
from actorrpc.net.listening import open_queues

__all__ = ["serve", "usable_cores"]


def usable_cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0))


def serve(
    app: str,
    *,
    bind: str = "127.0.0.1:50051",
    hubs: int | None = None,
    accept: str = "reuseport",
    runtime_dir: str | None = None,
    config: Config | None = None,
    policy: str = DEFAULT,
    record: str | None = None,
    on_ready: Callable[[str], None] | None = None,
    move_every: int = 0,
) -> None:
    """Start a broker here and hubs beside it, and block until they have been stopped.

    ``app`` is ``"package.module:attribute"``, found from the working directory. ``hubs`` is the number of
    usable cores unless given. ``accept`` is ``"reuseport"``: the kernel shares connections out among the
    hubs; or ``"acceptor"``: one hub gives each to the least loaded. ``policy`` decides which connections
    move (docs/operate/balancing.md): a name, or ``"package.module:Class"`` of your own. ``record`` is a file
    for what it has to decide by. ``on_ready(address)`` is called when all hubs serve. In the main thread
    SIGTERM and SIGINT stop the server, as ``actorrpc stop`` does from anywhere, and SIGHUP reloads the app.
    This process's soft limit of open files is raised to the hard one, as it is in the hubs. ``move_every`` is
    a test's: it moves each connection on after so many turns, as in ``actorrpc.testing.serve``.

    Raises ConfigError, with one line that says what is wrong, if it cannot start; then nothing is left.
    """
    raise_limit()
    count = usable_cores() if hubs is None else hubs
    config = config or Config()
    _check(count, accept)
    rebalancer = Rebalancer(policy, make_policy(policy), config)
    with Admin() as admin, RuntimeDir(runtime_dir).claim() as claim:
        claim.announce(config.drain_timeout)
        number = count if accept == "reuseport" else 1
        with open_queues(bind, number) as sockets, recording_to(record) as recorder:
            queues = AcceptQueues(sockets, count, accept)
            supervisor = Supervisor(app, config, claim, queues, rebalancer.hub_moved, move_every)
            admin.serve(claim.open_socket(), supervisor, rebalancer)

            def ready() -> None:
                rebalancer.start(lambda: supervisor.members.balanced, recorder)
                if on_ready is not None:
                    with users_code():
                        on_ready(supervisor.address)

            signals = {
                SIGTERM: supervisor.stop_soon,
                SIGINT: supervisor.interrupt,
                SIGHUP: supervisor.deployment.reload_soon,
            }
            with caught(signals), rebalancer:
                supervisor.run(ready)


def _check(hubs: int, accept: str) -> None:
    if accept not in ACCEPT_MODES:
        raise ConfigError(f"accept must be one of {', '.join(ACCEPT_MODES)}, not {accept!r}")
    if hubs < 1:
        raise ConfigError(f"at least one hub is needed, not {hubs}")
    check_descriptors(hubs)
