"""A ticker with a thousand subscribers, whose feed moves and dies: ``python -m examples.ticker.demo``.

One actor reads an exchange, and clients on all hubs hear its prices. Meanwhile the actor is moved, the server
is reloaded, and in the end the actor's hub is killed. The exchange numbers the prices of each symbol, so each
subscriber knows what it has missed, or heard twice: nothing, until the hub is killed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from examples.demo_server import ROOT, CommandFailed, Server
from examples.ticker.demo_subscribers import CONNECTIONS, Heard
from examples.ticker.exchange import SYMBOLS, Exchange

__all__ = ["main"]

HUBS = 3
#: The actor, as `actorrpc actors` and `actorrpc move` have it.
FEED = "ticker.Feed/feed"
#: Seconds until the server, or the subscribers, must have done what they are to do.
PATIENCE = 30.0


class Demo:
    """The demo, on a server that runs: its acts, in order, are ``run``."""

    def __init__(self, server: Server, exchange: Exchange, subscribers: Subscribers, seconds: float) -> None:
        self._server = server
        self._exchange = exchange
        self._subscribers = subscribers
        self._seconds = seconds
        self._began = time.monotonic()

    def run(self) -> bool:
        """Return whether every subscriber has heard what it should."""
        self._subscribers.until_all_watch()
        self._tell(
            f"{self._subscribers.count:,} calls watch {len(SYMBOLS)} symbols, over {CONNECTIONS} connections"
        )
        self._wait()
        self._move()
        self._move()
        self._tell(self._server.reload())
        self._wait()
        self._move()
        self._kill()
        return self._prove()

    def _move(self) -> None:
        self._tell(self._server.move(FEED, (self._hub() + 1) % HUBS))
        self._wait()

    def _kill(self) -> None:
        """Kill the hub that has the actor, with a third of the clients."""
        hub = self._hub()
        pid = self._server.status()["hubs"][hub]["pid"]
        self._subscribers.note_kill()
        os.kill(pid, signal.SIGKILL)
        self._tell(f"hub {hub} is killed, which had the actor")
        self._tell(f"the actor is active again, in hub {self._hub(but=hub)}")
        self._wait()

    def _hub(self, but: int | None = None) -> int:
        """Where the actor is. It is nowhere for a moment when its hub is killed."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for row in self._server.actors():
                if (row["service"], row["key"]) == ("ticker.Feed", "feed") and row["hub"] != but:
                    hub: int = row["hub"]
                    return hub
        raise TimeoutError("the feed is active nowhere")

    def _prove(self) -> bool:
        heard = self._subscribers.end()
        if heard.errors:
            self._tell(f"{len(heard.errors)} calls have ended before: {heard.errors[0]}")
        good = not (heard.lost_before or heard.doubled or heard.errors) and self._exchange.most_readers == 1
        print(
            f"{self._exchange.told:,} prices read, by {self._exchange.most_readers} at a time; "
            f"{heard.delivered:,} delivered, {heard.lost_before:,} lost, {heard.doubled:,} doubled; "
            f"by the kill {heard.lost_since:,} lost, {heard.watched_again:,} calls made again, "
            f"{heard.silence:.2f} s without prices"
        )
        return good

    def _wait(self) -> None:
        """Let prices come, for a part of the time."""
        time.sleep(self._seconds / 6)

    def _tell(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:5.1f} s  {text}", flush=True)


class Subscribers:
    """``count`` subscribers, in a process of their own: see ``demo_subscribers``."""

    def __init__(self, address: str, count: int) -> None:
        self.count = count
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, "-m", "examples.ticker.demo_subscribers", address, str(count)],
            cwd=ROOT,
            stdin=pipe,
            stdout=pipe,
            text=True,
        )

    def until_all_watch(self) -> None:
        self._hear("watching")

    def note_kill(self) -> None:
        """Have them know that a hub is about to be killed."""
        assert self._process.stdin is not None
        print("killed", file=self._process.stdin, flush=True)
        self._hear("noted")

    def end(self) -> Heard:
        """What they have heard."""
        out, _ = self._process.communicate(timeout=PATIENCE)
        return Heard(**json.loads(out))

    def _hear(self, word: str) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != word:
            raise CommandFailed("the subscribers have ended")

    def __enter__(self) -> Subscribers:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    try:
        with Exchange(options.rate) as exchange:
            os.environ["TICKER_EXCHANGE"] = exchange.address
            with (
                # All moves are the demo's own. An acceptor gives each hub its share of a few connections.
                Server(
                    "examples.ticker.server:app",
                    hubs=HUBS,
                    options=["--policy", "none", "--accept", "acceptor"],
                ) as server,
                Subscribers(server.address, options.subscribers) as subscribers,
            ):
                return 0 if Demo(server, exchange, subscribers, options.seconds).run() else 1
    except (CommandFailed, TimeoutError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.ticker.demo", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--seconds", type=float, default=12.0, help="how long prices come [%(default)s]")
    parser.add_argument("--subscribers", type=int, default=1000, help="how many there are [%(default)s]")
    parser.add_argument("--rate", type=float, default=40.0, help="prices a second [%(default)s]")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
