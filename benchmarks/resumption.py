"""Whether session tickets are worth it where each hub has keys of its own for them.

    python -m benchmarks.resumption

Python's ``ssl`` cannot be given the keys of tickets, so that a ticket is good for the hub that gave it, until
its next reload. Hubs here are contexts of ``actorrpc.tls`` in this process; clients keep their last ticket
and come back to a hub at random, as the kernel shares them out. Printed are the share of handshakes that
resume a session, the server's CPU for handshakes of each kind, and whether grpcio's client, given tickets by
grpcio's server, offers one when it connects again.
"""

from __future__ import annotations

import argparse
import random
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import thread_time

import grpc

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file

from actorrpc.tls.handshake.contexts import Contexts
from actorrpc.tls.handshake.handshake import Established, Handshake
from actorrpc.tls.handshake.key_log import KeyLog
from actorrpc.tls.handshake.settings import Tls
from benchmarks.certificate import Files, certificate
from benchmarks.clients.channels import tls_arguments
from benchmarks.gen.bench_pb2 import Note
from benchmarks.gen.bench_pb2_grpc import EchoStub
from benchmarks.processes import BenchmarkError, end_on_sigterm, server
from tests.support.proxy import proxied

#: As OpenSSL gives them.
_TICKETS = 2
_HUBS = (1, 2, 4, 8)

_TIMEOUT = 10.0

#: Where the session id is in a ClientHello's record; and the extension that offers a ticket (RFC 9846,
#: 4.2.11).
_SESSION_ID = 5 + 4 + 2 + 32
_PRE_SHARED_KEY = 41


class Client:
    """One that keeps its last ticket."""

    def __init__(self) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname, self._context.verify_mode = False, ssl.CERT_NONE
        self._context.set_alpn_protocols(["h2"])
        self.session: ssl.SSLSession | None = None

    def connect(self, contexts: Contexts) -> tuple[bool, float]:
        """Whether a session was resumed, and the server's CPU. Raises BenchmarkError if it fails."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(incoming, outgoing, session=self.session)
        began = thread_time()
        handshake = Handshake(contexts)
        used = thread_time() - began
        for step in (tls.do_handshake, tls.do_handshake, lambda: tls.read(1)):
            try:
                step()
            except ssl.SSLWantReadError:
                pass
            if handshake.outcome is None:
                data = outgoing.read()
                began = thread_time()
                answer = handshake.receive(data)
                used += thread_time() - began
                incoming.write(answer)
        if not isinstance(handshake.outcome, Established):
            raise BenchmarkError(f"a handshake has failed: {handshake.outcome}")
        self.session = tls.session
        return bool(tls.session_reused), used


class Hubs:
    """So many, each with keys of its own."""

    def __init__(self, files: Files, count: int, log: KeyLog, tickets: int = _TICKETS) -> None:
        self._make: Callable[[], Contexts] = lambda: Contexts(
            Tls(files.cert, files.key), log, tickets=tickets
        )
        self.hubs = [self._make() for _ in range(count)]

    def reload(self) -> None:
        self.hubs = [self._make() for _ in self.hubs]

    def visit(self, client: Client) -> tuple[bool, float]:
        return client.connect(random.choice(self.hubs))


def share(files: Files, count: int, log: KeyLog, clients: int, visits: int, *, reloads: bool) -> float:
    """Of the handshakes of clients that come back. ``reloads``: hubs are others whenever they do."""
    hubs = Hubs(files, count, log)
    everybody = [Client() for _ in range(clients)]
    for client in everybody:
        hubs.visit(client)
    resumed = 0
    for _ in range(visits):
        if reloads:
            hubs.reload()
        resumed += sum(hubs.visit(client)[0] for client in everybody)
    return resumed / (clients * visits)


def costs(files: Files, log: KeyLog, handshakes: int) -> dict[str, float]:
    """µs of a handshake, by its kind."""
    without, giving = Hubs(files, 1, log, 0), Hubs(files, 1, log)
    returning = Client()
    giving.visit(returning)
    kinds: dict[str, Callable[[], tuple[bool, float]]] = {
        "whole, without tickets": lambda: without.visit(Client()),
        "whole, with tickets given": lambda: giving.visit(Client()),
        "resumed, with tickets given": lambda: giving.visit(returning),
    }
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(handshakes):
        for kind, connect in kinds.items():
            resumed, used = connect()
            if resumed is not kind.startswith("resumed"):
                raise BenchmarkError(f"{kind}: the session was{' not' * (not resumed)} resumed")
            found[kind].append(used * 1e6)
    return {kind: median(each) for kind, each in found.items()}


def grpcio_offers_a_ticket(files: Files) -> bool:
    """Whether grpcio's client does, on the second of two connections to a server of grpcio that gives
    them."""
    credentials, name = tls_arguments(files.ca)
    with server("grpcio_sync", None, files.cert, files.key) as running, proxied(running.tls_address) as proxy:
        for _ in range(2):
            with grpc.secure_channel(proxy.address, credentials, [name]) as channel:
                EchoStub(channel).Say(Note(), timeout=_TIMEOUT)
        hellos = [bytes(said) for said, _ in proxy.connections]
    if len(hellos) != 2:
        raise BenchmarkError(f"grpcio's client made {len(hellos)} connections, not 2")
    return _PRE_SHARED_KEY in _extensions(hellos[1])


def _extensions(record: bytes) -> list[int]:
    """The types of a ClientHello's."""
    at = _SESSION_ID + 1 + record[_SESSION_ID]
    at += 2 + int.from_bytes(record[at : at + 2], "big")
    at += 1 + record[at]
    end = at + 2 + int.from_bytes(record[at : at + 2], "big")
    at, found = at + 2, []
    while at < end:
        found.append(int.from_bytes(record[at : at + 2], "big"))
        at += 4 + int.from_bytes(record[at + 2 : at + 4], "big")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Whether session tickets are worth it.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--clients", type=int, default=50, metavar="N", help="clients that come back")
    parser.add_argument("--visits", type=int, default=10, metavar="N", help="how often each does")
    parser.add_argument("--handshakes", type=int, default=500, metavar="N", help="of each kind, for the CPU")
    options = parser.parse_args()
    end_on_sigterm()
    log = KeyLog()
    try:
        with certificate() as files:
            for count in _HUBS:
                found = share(files, count, log, options.clients, options.visits, reloads=False)
                print(f"resumed, {count} hub{'s' * (count > 1)}: {found:.0%}")
            found = share(files, 1, log, options.clients, 1, reloads=True)
            print(f"resumed after a reload: {found:.0%}")
            for kind, cost in costs(files, log, options.handshakes).items():
                print(f"{kind}: {cost:.0f} µs")
            offers = "offers" if grpcio_offers_a_ticket(files) else "does not offer"
            print(f"grpcio's client {offers} a ticket when it connects again")
    except BenchmarkError as error:
        print(f"resumption: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
