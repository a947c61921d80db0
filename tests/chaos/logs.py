"""What a server may log in a storm: nothing, except about reloads, and the hubs that the storm has killed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tests.chaos.deaths import Death
from tests.chaos.reloads import Reloaded

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
#: The same of what was told to keyed actors: whether these have died, the book of turns tells.
_UNHEARD = re.compile(
    r"WARNING hub \d+: (and \d+ more in the last \d+ s like: )?"
    r"/peers\.Peer/Note, which was told to .*, ended with UNAVAILABLE: the hub has ended where"
)
#: grpcio connects again by itself when the hub of a client of TLS has died; that client is over, and its
#: channel may be closed in the midst of the handshake.
_LEFT = re.compile(
    r"INFO hub \d+: a TLS handshake has failed: the client has closed the connection before its handshake"
)
#: What the broker says of a reload.
_RELOADED = re.compile(
    r"INFO broker: reload: generation (\d+) serves, and the old one has ended, after [\d.]+ s"
)
_RELOADING = re.compile(r"INFO broker: (reload: generation \d+ starts|hub \d+ accepts from queue \d+)")


def unexpected(lines: Iterable[str], deaths: Sequence[Death], reloads: Sequence[Reloaded] = ()) -> list[str]:
    """The lines that should not be there, and the deaths and reloads that nobody speaks of."""
    generations = {str(reload.generation) for reload in reloads}
    killed = {(str(death.hub), str(death.pid)) for death in deaths}
    wrong = []
    for line in lines:
        if (died := _DIED.search(line)) and died.groups() in killed:
            killed.discard((died[1], died[2]))
        elif (reloaded := _RELOADED.search(line)) and reloaded[1] in generations:
            generations.discard(reloaded[1])
        elif reloads and _RELOADING.search(line):
            continue
        elif not (deaths and (any(each.search(line) for each in (_AFTER, _LEFT, _LOST, _UNHEARD)))):
            wrong.append(line)
    wrong += [f"nothing about generation {generation}, which serves" for generation in sorted(generations)]
    return wrong + [f"nothing about hub {hub} (pid {pid}), which was killed" for hub, pid in sorted(killed)]
