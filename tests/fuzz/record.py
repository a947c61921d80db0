"""Record what real clients send: ``python -m tests.fuzz.record`` writes ``corpus/`` anew.

Each client talks to a real server through a proxy on the loopback, which keeps the bytes of one direction.
A client that is not installed is left out, with its old recording. grpc-js is taken from the folder that
``GRPC_JS`` names: one in which ``npm install @grpc/grpc-js`` was run.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import grpc

from tests.apps.shapes_pb2 import Item
from tests.support.proxy import proxied
from tests.support.server_process import served

from .corpus import FOLDER

WAIT = 20.0
UNARY, EXPAND, COLLECT, TALK = (
    f"/shapes.Stateless/{name}" for name in ("Unary", "Expand", "Collect", "Talk")
)
HEADERS = ("content-type: application/grpc", "te: trailers")


# ---- clients


def _framed(*items: Item) -> bytes:
    return b"".join(
        b"\0" + len(data).to_bytes(4, "big") + data for data in map(Item.SerializeToString, items)
    )


def _items(count: int) -> Iterator[Item]:
    return (Item(number=number, text="item") for number in range(count))


def grpcio_unary(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(UNARY, Item.SerializeToString, Item.FromString)
        for item in _items(5):
            call(item, timeout=WAIT)
        call(Item(body=bytes(3000)), timeout=WAIT)


def grpcio_streams(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        list(channel.unary_stream(EXPAND, Item.SerializeToString, Item.FromString)(Item(number=20)))
        channel.stream_unary(COLLECT, Item.SerializeToString, Item.FromString)(_items(20))
        list(channel.stream_stream(TALK, Item.SerializeToString, Item.FromString)(_items(10)))


def grpcio_metadata(address: str) -> None:
    with grpc.insecure_channel(address, options=[("grpc.primary_user_agent", "recorder")]) as channel:
        call = channel.unary_unary(UNARY, Item.SerializeToString, Item.FromString)
        for number in range(4):
            trailing = bytes((number, 255))
            metadata = (("initial", str(number)), ("trailing-bin", trailing), ("x-same", "same"))
            call(Item(number=number), metadata=metadata, timeout=10 + number)
        for status in (3, 5):
            try:
                call(Item(status=status, text="asked for"))
            except grpc.RpcError:
                pass


def grpcio_deadlines_and_cancels(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(UNARY, Item.SerializeToString, Item.FromString)
        call(Item(number=1))
        try:
            call(Item(sleep=0.5), timeout=0.05)
        except grpc.RpcError:
            pass
        talk = channel.stream_stream(TALK, Item.SerializeToString, Item.FromString)
        halves = threading.Event()

        def forever() -> Iterator[Item]:
            yield Item(number=1)
            halves.wait(WAIT)

        talking = talk(forever())
        next(talking)
        talking.cancel()
        halves.set()
        call(Item(number=2))


def grpcio_windows(address: str) -> None:
    """A client whose own windows fill, so that it sends WINDOW_UPDATEs."""
    with grpc.insecure_channel(address) as channel:
        expand = channel.unary_stream(EXPAND, Item.SerializeToString, Item.FromString)
        for _ in expand(Item(number=200, body=bytes(1000))):
            pass


def grpclib_calls(address: str) -> None:
    from grpclib.client import Channel, StreamStreamMethod, UnaryStreamMethod, UnaryUnaryMethod

    async def run() -> None:
        host, port = address.split(":")
        channel = Channel(host, int(port))
        try:
            unary = UnaryUnaryMethod(channel, UNARY, Item, Item)
            for item in _items(3):
                await unary(item, timeout=WAIT, metadata={"x-id": "1"})
            await UnaryStreamMethod(channel, EXPAND, Item, Item)(Item(number=5))
            talk = StreamStreamMethod(channel, TALK, Item, Item)
            await talk(list(_items(5)))
            async with talk.open() as stream:
                await stream.send_message(Item(number=1))
                await stream.recv_message()
                await stream.cancel()
        finally:
            channel.close()

    asyncio.run(run())


def _command(*command: str) -> Callable[[str], None]:
    """A client that is a program. ``{address}`` is the server's, ``{body}`` a file with one message."""

    def run(address: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            body = Path(folder, "body")
            body.write_bytes(_framed(Item(number=1, text="recorded")))
            words = [word.format(address=address, body=body) for word in command]
            subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=WAIT)

    return run


def grpc_js(address: str) -> None:
    subprocess.run(["node", "-e", _GRPC_JS, address], cwd=os.environ["GRPC_JS"], timeout=WAIT, check=True)


_GRPC_JS = """
const grpc = require('@grpc/grpc-js');
const client = new grpc.Client(process.argv[1], grpc.credentials.createInsecure());
const same = bytes => bytes, item = Buffer.from('0801', 'hex');
const unary = (options, metadata) => new Promise(done => client.makeUnaryRequest(
    '/shapes.Stateless/Unary', same, same, item, metadata || new grpc.Metadata(), options || {}, done));
(async () => {
  for (let count = 0; count < 3; count++) await unary();
  const metadata = new grpc.Metadata();
  metadata.set('x-id', '1');
  metadata.set('x-bin', Buffer.from([0, 255]));
  await unary({deadline: Date.now() + 10000}, metadata);
  await new Promise(done => {
    const talk = client.makeBidiStreamRequest('/shapes.Stateless/Talk', same, same, new grpc.Metadata());
    talk.on('data', () => talk.cancel()).on('error', done);
    talk.write(item);
    talk.write(item);
  });
  client.close();
})();
"""

URL = "http://{address}" + UNARY
_POST = [word for header in HEADERS for word in ("-H", header)]
CLIENTS: dict[str, Callable[[str], None]] = {
    "grpcio-unary": grpcio_unary,
    "grpcio-streams": grpcio_streams,
    "grpcio-metadata": grpcio_metadata,
    "grpcio-deadlines-and-cancels": grpcio_deadlines_and_cancels,
    "grpcio-windows": grpcio_windows,
    "grpclib": grpclib_calls,
    "grpc-js": grpc_js,
    "nghttp": _command("nghttp", "-m", "3", "-d", "{body}", *_POST, URL),
    "nghttp-padded": _command("nghttp", "-b", "100", "-w", "14", "-W", "15", "-d", "{body}", *_POST, URL),
    "h2load": _command("h2load", "-n", "30", "-c", "1", "-m", "5", "-d", "{body}", *_POST, URL),
    "curl": _command("curl", "--http2-prior-knowledge", "--data-binary", "@{body}", *_POST, URL),
    "curl-http1-upgrade": _command("curl", "--http2", "--data-binary", "@{body}", *_POST, URL),
}


def _missing(name: str) -> bool:
    program = name.partition("-")[0]
    if name == "grpc-js":
        return "GRPC_JS" not in os.environ
    if name == "grpclib":
        return find_spec("grpclib") is None
    return program in ("nghttp", "h2load", "curl") and shutil.which(program) is None


@contextmanager
def _proxied(address: str, name: str) -> Iterator[str]:
    with proxied(address) as proxy:
        yield proxy.address
    data = max((sent for sent, _ in proxy.connections), key=len, default=b"")  # of the one that sent most
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.bin").write_bytes(data)
    print(f"{name}: {len(data)} bytes")


def main() -> None:
    with served(hubs=1) as server:
        for name, client in CLIENTS.items():
            if _missing(name):
                print(f"{name}: not installed")
                continue
            with _proxied(server.address, name) as address:
                client(address)


if __name__ == "__main__":
    main()
