"""HTTP/1 over our handshake and our record layer: what the scripts of tlsfuzzer expect of a server.

They offer no ALPN, without which a hub refuses them. What is no request and ends a line comes back as it is,
for the script that looks at lengths. Where it ``moves``, the record layer goes through a
snapshot, as to another process, before each read and after each answer.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from threading import Thread

from actorrpc.pb.tls_pb2 import TlsSnapshot
from actorrpc.tls.alerts import Alert
from actorrpc.tls.handshake.contexts import Contexts
from actorrpc.tls.handshake.handshake import Established, Handshake
from actorrpc.tls.handshake.key_log import KeyLog
from actorrpc.tls.handshake.settings import Tls
from actorrpc.tls.record_layer import RecordLayer
from actorrpc.tls.snapshot import freeze_records, thaw_records
from tests.support.waiting import PATIENCE

__all__ = ["http1_server"]

END = b"\r\n\r\n"
ANSWER = b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nok\n"
#: So little is read at a time that large records are moved in parts.
READ = 4096


class AnyProtocol(Handshake):
    """A handshake for which the client need not offer `h2`."""

    def _refuse_with(self, alert: int, why: str) -> None:
        if alert != Alert.NO_APPLICATION_PROTOCOL:
            super()._refuse_with(alert, why)


class Connection:
    """One client's, until it has gone."""

    def __init__(self, sock: socket.socket, tls: Tls, moves: bool) -> None:
        self._sock = sock
        self._tls = tls
        self._moves = moves

    def serve(self) -> None:
        with self._sock, suppress(OSError):
            self._sock.settimeout(PATIENCE)
            outcome = self._shake_hands()
            if isinstance(outcome, Established):
                assert isinstance(outcome.records, RecordLayer)
                self._talk(outcome.records, outcome.unread)
            self._leave()

    def _shake_hands(self) -> object:
        with closing(KeyLog()) as log:
            handshake = AnyProtocol(Contexts(self._tls, log))
            while handshake.outcome is None:
                data = self._sock.recv(READ)
                if data:
                    self._sock.sendall(handshake.receive(data))
                else:
                    handshake.receive_eof()
            return handshake.outcome

    def _talk(self, records: RecordLayer, unread: bytes) -> None:
        """Answer requests until one side has no more to say."""
        asked = b""
        while True:
            records = self._moved(records)
            asked += records.receive(unread)
            answer, asked = _answer(asked)
            if out := records.send(answer):  # also alerts and KeyUpdates
                records = self._moved(records, out)
            if records.fault is not None:
                return
            if records.ended:
                self._sock.sendall(records.close())
                return
            unread = self._sock.recv(READ)
            if not unread:
                return

    def _moved(self, records: RecordLayer, unsent: bytes = b"") -> RecordLayer:
        """Write what is unsent, from another process than the one that has sealed it."""
        if self._moves and records.fault is None:
            snapshot = freeze_records(records, unsent).SerializeToString()
            records.release()
            records = thaw_records(TlsSnapshot.FromString(snapshot))
            unsent = records.own(records.freezes)
        self._sock.sendall(unsent)
        return records

    def _leave(self) -> None:
        """So that the client reads what was last said, whatever it has sent meanwhile."""
        self._sock.shutdown(socket.SHUT_WR)
        while self._sock.recv(READ):
            pass


def _answer(asked: bytes) -> tuple[bytes, bytes]:
    """The answer to what has been asked, and what is not whole."""
    if asked.endswith(b"\n") and asked[:1] != b"G":
        return asked, b""
    answers = asked.count(END)
    return ANSWER * answers, asked[asked.rfind(END) + len(END) :] if answers else asked


@contextmanager
def http1_server(tls: Tls, *, moves: bool) -> Iterator[str]:
    """Its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = Thread(target=_accept, args=(listener, tls, moves), daemon=True)
        accepting.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(PATIENCE)


def _accept(listener: socket.socket, tls: Tls, moves: bool) -> None:
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:  # it was shut down
            return
        Thread(target=Connection(sock, tls, moves).serve, daemon=True).start()
