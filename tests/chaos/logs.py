"""What a server may log in a storm: nothing, except about the hubs that the storm has killed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tests.chaos.deaths import Death

__all__ = ["unexpected"]

#: What the broker says about a hub that was killed, and then about what takes its place.
_DIED = re.compile(r"WARNING broker: hub (\d+) \(pid (\d+)\) was killed by SIGKILL")
_AFTER = re.compile(
    r"INFO broker: hub \d+ (starts again in [\d.]+ s|serves again \(pid \d+\)|accepts from queue \d+)"
)
#: A loss that is said is none that is hidden; its clients end with DATA_LOSS.
_LOST = re.compile(
    r"ERROR hub \d+: (and \d+ more in the last \d+ s like: )?"
    r"subscription to '[^']*' on connection [-\d]+ .* are lost"
)


def unexpected(lines: Iterable[str], deaths: Sequence[Death]) -> list[str]:
    """The lines that should not be there, and the deaths that nobody speaks of."""
    killed = {(str(death.hub), str(death.pid)) for death in deaths}
    wrong = []
    for line in lines:
        if (died := _DIED.search(line)) and died.groups() in killed:
            killed.discard((died[1], died[2]))
        elif not (deaths and (_AFTER.search(line) or _LOST.search(line))):
            wrong.append(line)
    return wrong + [f"nothing about hub {hub} (pid {pid}), which was killed" for hub, pid in sorted(killed)]
