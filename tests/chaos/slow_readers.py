"""Clients that read more slowly than they are answered: moves find bytes that the sockets have not taken.

grpcio reads at once whatever comes, and its windows are smaller than a socket's buffer. So this client speaks
HTTP/2 itself (with h2), opens its windows wide, has a small buffer, and takes its time.
"""

from __future__ import annotations

import argparse
import socket
import threading
import time

import h2.config
import h2.connection
import h2.events
import h2.settings

from actorrpc.net.addresses import address_text, parse_address
from tests.apps.bodies import body
from tests.apps.storm_pb2 import Number
from tests.chaos.crew import Deaths, Orders, tell

#: The replies to one call, and their size: in all, more than the socket's buffers hold. The server's is as
#: large as some thousand segments: 1 MB with small ones, 4 MB with those of the loopback.
REPLIES, SIZE, SEGMENT = 100, 30_000, 1_000
#: How much is read at once, and how many seconds pass before more is.
CHUNK, REST = 32 * 1024, 0.005
#: A reader to whom nothing comes for so long has been forgotten.
FORGOTTEN = 10.0


class SlowReader:
    """One connection with one Talk after the other: one message, many large replies."""

    def __init__(self, address: str) -> None:
        self.received = 0
        self.calls = 0
        self._sock = socket.socket()
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        self._sock.settimeout(FORGOTTEN)
        self._sock.connect(parse_address(address))
        self.peer = address_text(self._sock.getsockname())
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        window = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1}
        self._h2.local_settings = h2.settings.Settings(client=True, initial_values=window)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(2**30)

    def talk(self) -> str:
        """One call. Returns what is wrong with it, "" if nothing."""
        stream = self._h2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/storm.Storm/Talk"),
            (":authority", "storm"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
        request = Number(number=1, body=body(1, SIZE), replies=REPLIES).SerializeToString()
        self._h2.send_headers(stream, headers)
        data = b"\0" + len(request).to_bytes(4, "big") + request
        for start in range(0, len(data), 16_384):  # the largest frame
            self._h2.send_data(stream, data[start : start + 16_384])
        self._h2.end_stream(stream)
        self._sock.sendall(self._h2.data_to_send())
        self.calls += 1
        return self._read_replies()

    def close(self) -> None:
        self._sock.close()

    def _read_replies(self) -> str:
        buffered = bytearray()
        status = None
        number = 0
        while status is None:
            time.sleep(REST)
            chunk = self._sock.recv(CHUNK)
            if not chunk:
                raise ConnectionResetError("the server has closed the connection")
            for event in self._h2.receive_data(chunk):
                if isinstance(event, h2.events.DataReceived):
                    buffered += event.data
                    self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.TrailersReceived):
                    status = dict(event.headers)[b"grpc-status"]
                elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    return f"the call ended with {event}"
            if answer := self._h2.data_to_send():
                self._sock.sendall(answer)
            while len(buffered) >= 5 and len(buffered) >= (end := 5 + int.from_bytes(buffered[1:5], "big")):
                number += 1
                message = Number.FromString(bytes(buffered[5:end]))
                del buffered[:end]
                if message.number != number or message.body != body(number, SIZE):
                    return f"reply {message.number} of {len(message.body)} bytes, where {number} was due"
        self.received += number
        return "" if (status, number) == (b"0", REPLIES) else f"{number} replies, then status {status!r}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--count", type=int, required=True)
    arguments = parser.parse_args()
    going, stopping = threading.Event(), threading.Event()
    deaths = Deaths()

    def stop() -> None:
        going.set()
        stopping.set()

    Orders(going.set, stop, deaths)
    ready = threading.Barrier(arguments.count, action=lambda: tell("ready"))
    received: list[int] = []

    def read() -> None:
        born = deaths.count
        reader = SlowReader(arguments.address)
        waits = True
        while True:
            try:
                wrong = reader.talk()
                if waits:
                    ready.wait()
                    waits = False
            except ConnectionError as error:
                if waits or not deaths.wait(born):
                    wrong = repr(error)
                else:
                    tell({"lost": reader.peer, "at": time.monotonic(), "why": repr(error)})
                    received.append(reader.received)
                    reader.close()
                    born = deaths.count
                    reader = SlowReader(arguments.address)
                    tell({"back": reader.peer})
                    continue
            except Exception as error:
                wrong = repr(error)
            if wrong or stopping.is_set():
                break
        if wrong:
            ready.abort()
            tell({"fault": f"a slow reader, in call {reader.calls}: {wrong}"})
        received.append(reader.received)

    threads = [threading.Thread(target=read) for _ in range(arguments.count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tell({"numbers": {"read slowly": sum(received)}})


if __name__ == "__main__":
    main()
