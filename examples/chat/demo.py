"""Live connections move between hubs, and nobody notices: ``python -m examples.chat.demo``.

Twelve clients chat through two hubs. First all connections are moved onto one hub, then the demo moves
them off it again, one by one, with ``actorrpc move``. All the while every line is numbered, and in the
end each client must have heard each line of its room exactly once, in one order.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NoReturn

from examples.chat.demo_clients import Chatter
from examples.chat.demo_proof import Tally, check
from examples.chat.demo_screen import HubRow, Screen
from examples.demo_server import CommandFailed, Server

__all__ = ["choose_move", "main"]

#: Who is in which room, and how many seconds they leave between two lines.
ROOMS = {
    "lobby": {"ada": 0.008, "bob": 0.04, "cy": 0.2, "dot": 0.2},
    "garden": {"eve": 0.010, "flo": 0.04, "gus": 0.2, "hal": 0.2},
    "kitchen": {"ida": 0.013, "jo": 0.04, "kit": 0.2, "lou": 0.2},
}
#: Shares of the time in which they talk: until all go onto one hub, and until they are moved off it again.
GATHER, SPREAD = 0.1, 0.4
HUBS = 2
#: The hub that all go to.
HOT = 0
#: Seconds that the last lines may take to be heard.
LAST_LINES = 10.0
#: Seconds between two looks at the server, at least.
LOOK = 0.8
#: Hubs whose loads differ by less than this share of both are left as they are.
BALANCED = 0.15

Row = dict[str, Any]


def choose_move(connections: Sequence[Row], hubs: Sequence[int]) -> tuple[Row, int] | None:
    """Choose a connection to move, and the hub to move it to; None if the hubs are about even.

    The simplest rule: from the busiest hub to the idlest, the one connection that makes them most even.
    """
    loads = {hub: sum(row["cpu"] for row in connections if row["hub"] == hub) for hub in hubs}
    busiest, idlest = max(loads, key=loads.__getitem__), min(loads, key=loads.__getitem__)
    gap = loads[busiest] - loads[idlest]
    if gap <= BALANCED * sum(loads.values()):
        return None
    # Moving a load of half the gap would make them even; one of the whole gap or more would not help.
    candidates = [row for row in connections if row["hub"] == busiest and row["movable"] and row["cpu"] < gap]
    best = min(candidates, key=lambda row: abs(gap / 2 - row["cpu"]), default=None)
    return (best, idlest) if best else None


class Demo:
    """The demo, on a server that runs: its acts, in order, are ``run``."""

    def __init__(self, server: Server, screen: Screen, seconds: float) -> None:
        self._server = server
        self._screen = screen
        self._seconds = seconds
        self._chatters = [
            Chatter(server.address, nick, room, pace)
            for room, members in ROOMS.items()
            for nick, pace in members.items()
        ]
        self._nicks: dict[str, str] = {}
        self._began = self._last_look = 0.0

    def run(self) -> bool:
        """Return whether every client has heard what it should."""
        try:
            self._join()
            self._talk()
            self._gather()
            self._spread()
            return self._prove()
        finally:
            for chatter in self._chatters:
                chatter.leave()

    def _join(self) -> None:
        for chatter in self._chatters:
            chatter.join()
        for chatter in self._chatters:
            chatter.wait_for(set(ROOMS[chatter.room]))
        self._nicks = {chatter.id: chatter.nick for chatter in self._chatters}
        self._screen.tell(
            f"{len(self._chatters)} clients are in {len(ROOMS)} rooms; the kernel chose their hubs"
        )

    def _talk(self) -> None:
        self._began = time.monotonic()
        for chatter in self._chatters:
            chatter.start_talking()
        self._look()
        while self._elapsed < GATHER:
            self._look()

    def _gather(self) -> None:
        """Move all connections onto one hub."""
        away = [row for row in self._look() if row["hub"] != HOT]
        self._screen.tell(f"All go onto hub {HOT}, in the middle of their conversations:")
        with ThreadPoolExecutor(4) as pool:
            for text in pool.map(lambda row: self._move(row, HOT), away):
                self._screen.tell(text)
        self._look()
        while self._elapsed < SPREAD:
            self._look()

    def _spread(self) -> None:
        """Move connections off the busiest hub until the hubs are about even, and look on until the end."""
        self._screen.tell(f"Hub {HOT} serves everybody. The demo moves connections off it, one by one:")
        even = False
        while (rows := self._look()) and self._elapsed < 1:
            choice = None if even else choose_move(rows, range(HUBS))
            if choice is not None:
                self._screen.tell(self._move(*choice))
            elif not even:
                even = True
                self._screen.tell("The hubs are about even: no more moves.")

    def _prove(self) -> bool:
        """Compare what was heard with what was said, and tell."""
        for chatter in self._chatters:
            chatter.stop_talking()
        self._screen.tell("All are silent. Has everybody heard everything?")
        deadline = time.monotonic() + LAST_LINES
        for chatter in self._chatters:
            room = [other for other in self._chatters if other.room == chatter.room]
            chatter.wait_for_lines(sum(other.said for other in room), deadline)
        for chatter in self._chatters:
            chatter.leave()
        tally = Tally()
        for name in ROOMS:
            members = [chatter for chatter in self._chatters if chatter.room == name]
            said = {chatter.nick: chatter.said for chatter in members}
            for chatter in members:
                tally += check(chatter.heard, said, members[0].heard)
        errors = [text for chatter in self._chatters for text in chatter.errors]
        for text in errors:
            self._screen.tell(text)
        moves = self._server.status()["moves"]
        good = tally.flawless and not errors and moves["done"] > 0
        self._screen.verdict(
            f"{len(self._chatters)} clients, {tally}, {moves['done']} moves, "
            f"median pause {moves['pause_ms_p50']:.1f} ms",
            good,
        )
        return good

    @property
    def _elapsed(self) -> float:
        """Which share of the time they have talked."""
        return (time.monotonic() - self._began) / self._seconds

    def _look(self) -> list[Row]:
        """Ask for the hubs and connections, and show them. Returns the connections of our clients.

        Their loads are those since the last look: it waits until that is a while ago.
        """
        time.sleep(max(0.0, self._last_look + LOOK - time.monotonic()))
        self._last_look = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            status = pool.submit(self._server.status)
            rows = [row for row in self._server.connections() if row["id"] in self._nicks]
        hubs = status.result()["hubs"]
        rows.sort(key=lambda row: row["cpu"], reverse=True)
        nicks = {
            hub["id"]: [self._nicks[row["id"]] for row in rows if row["hub"] == hub["id"]] for hub in hubs
        }
        total = sum(hub["cpu"] for hub in hubs) or 1.0
        self._screen.show(
            [HubRow(hub["id"], hub["cpu"], hub["cpu"] / total, nicks[hub["id"]]) for hub in hubs],
            f"{sum(len(chatter.heard) for chatter in self._chatters):,} lines seen",
        )
        return rows

    def _move(self, row: Row, hub: int) -> str:
        """Move a connection, and return a line about it."""
        what = f"    {self._nicks[row['id']]:<4} {row['id']:<6}"
        try:
            self._server.move(row["id"], hub)
        except CommandFailed as failure:  # the connection is served where it was
            return f"{what} not moved: {failure}"
        return f"{what} hub {row['hub']} → hub {hub}"


def main() -> int:
    options = _parse()
    screen = Screen(sys.stdout)
    screen.title("actorrpc: chatting clients, whose connections move between hubs while they chat")
    try:
        # All moves are the demo's own.
        serving = Server("examples.chat.server:app", hubs=HUBS, options=["--policy", "none"])
        with _ended_by(signal.SIGTERM, signal.SIGHUP), serving as server:
            hubs = ", ".join(f"hub {hub['id']} (pid {hub['pid']})" for hub in server.status()["hubs"])
            screen.tell(f"serving on {server.address}: {hubs}")
            return 0 if Demo(server, screen, options.seconds).run() else 1
    except (CommandFailed, TimeoutError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted; all its processes have been ended", file=sys.stderr)
        return 130


@contextmanager
def _ended_by(*signals: signal.Signals) -> Iterator[None]:
    """Let these signals end the block as an exception does, so that everything is cleaned up."""

    def end(signum: int, frame: object) -> NoReturn:
        sys.exit(128 + signum)

    before = {signum: signal.signal(signum, end) for signum in signals}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.chat.demo", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--seconds", type=_seconds, default=12.0, help="how long they chat [%(default)s]")
    return parser.parse_args()


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 1 to 3600")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
