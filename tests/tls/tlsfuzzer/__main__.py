"""Run scripts of tlsfuzzer: ``python -m tests.tls.tlsfuzzer CHECKOUT PYTHON [--write]``.

CHECKOUT is tlsfuzzer's repository, PYTHON an interpreter that has tlslite-ng. Prints a table, and ends with 1
if something fails that is not explained. With ``--write`` the table goes into docs/evidence/tls.md.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from actorrpc.tls.handshake.settings import Tls
from tests.support.certificates import Authority, Pair
from tests.support.programs import program
from tests.tls.tlsfuzzer.scripts import CLIENTS, SCRIPTS, explanation
from tests.tls.tlsfuzzer.server import http1_server

DOCS = Path(__file__).parents[3] / "docs" / "evidence" / "tls.md"
BEGIN, END = "<!-- tlsfuzzer -->\n", "<!-- end -->\n"

SERVERS = ("still", "moved", "openssl s_server")
#: Seconds for one script.
PATIENCE = 300.0


class Certificates:
    """All of RSA, as the scripts' clients want them by default."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder / "ca", kind="rsa")
        self.ca = authority.file
        self.server = authority.sign("localhost", ["localhost"], kind="rsa")
        self.client: Pair = authority.sign("ann", kind="rsa")


@contextmanager
def serving(name: str, certificates: Certificates, asks: bool) -> Iterator[str]:
    """The port of one of ``SERVERS``; ``asks``: it wants certificates of clients."""
    server = certificates.server
    if name != "openssl s_server":
        ca = certificates.ca if asks else None
        tls = Tls(server.cert, server.key, client_ca=ca, client="optional" if asks else "")
        with http1_server(tls, moves=name == "moved") as address:
            yield address.rpartition(":")[2]
        return
    verify = ("-verify", "1", "-CAfile", certificates.ca) if asks else ()
    command = [
        program("openssl"), "s_server", "-accept", "127.0.0.1:0", "-www", "-tls1_3", "-num_tickets", "0",
        "-cert", server.cert, "-key", server.key, *verify,
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield next(line for line in process.stdout if "ACCEPT" in line).strip().rpartition(":")[2]
        finally:
            process.kill()


@dataclass(frozen=True)
class Outcome:
    """How a script's conversations went. It runs the first, a plain one, twice."""

    total: int
    passed: int
    failed: list[str]

    def __str__(self) -> str:
        return f"{self.passed}/{self.total}"


def run(checkout: Path, python: str, script: str, port: str, client: Pair) -> Outcome:
    """Run one script. Raises AssertionError if it does not come to its end."""
    shown = ("-k", client.key, "-c", client.cert) if script in CLIENTS else ()
    command = [python, f"scripts/test-tls13-{script}.py", "-h", "127.0.0.1", "-p", port]
    done = subprocess.run(
        [*command, *SCRIPTS[script], *shown], cwd=checkout, capture_output=True, text=True, timeout=PATIENCE
    )
    counts = {key: int(count) for key, count in re.findall(r"^(TOTAL|PASS|FAIL): (\d+)$", done.stdout, re.M)}
    assert len(counts) == 3, f"{script}: {done.stdout[-2000:]}{done.stderr}"
    failed = re.findall(r"^\t'(.*)'$", done.stdout.rpartition("FAILED:")[2], re.M)
    assert bool(failed) == bool(counts["FAIL"]), done.stdout[-2000:]
    return Outcome(counts["TOTAL"], counts["PASS"], failed)


def table(outcomes: dict[str, dict[str, Outcome]]) -> str:
    lines = [f"| script | {' | '.join(SERVERS)} | what fails |", "|---" * (len(SERVERS) + 2) + "|"]
    for script, of_servers in outcomes.items():
        ours = [of_servers[name] for name in SERVERS[:2]]
        why = sorted({explanation(script, each) or "?" for outcome in ours for each in outcome.failed})
        cells = [str(of_servers.get(name, "n/a")) for name in SERVERS]
        lines.append(f"| {script} | {' | '.join(cells)} | {'; '.join(why)} |")
    return "\n".join([*lines, ""])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tls.tlsfuzzer", description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("python")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    outcomes: dict[str, dict[str, Outcome]] = {}
    with TemporaryDirectory() as folder, ExitStack() as stack:
        certificates = Certificates(Path(folder))
        ports = {
            (name, asks): stack.enter_context(serving(name, certificates, asks))
            for name in SERVERS
            for asks in (False, True)
        }
        for script in SCRIPTS:
            for name in SERVERS if script != "lengths" else SERVERS[:2]:  # s_server echoes nothing
                port = ports[name, script in CLIENTS]
                outcome = run(arguments.checkout, arguments.python, script, port, certificates.client)
                outcomes.setdefault(script, {})[name] = outcome
            print(script, *map(str, outcomes[script].values()), file=sys.stderr, flush=True)
    text = table(outcomes)
    print(text, end="")
    if arguments.write:
        before, _, rest = DOCS.read_text().partition(BEGIN)
        DOCS.write_text(f"{before}{BEGIN}{text}{END}{rest.partition(END)[2]}")
    unexplained = [
        f"{script}: {each}"
        for script, of_servers in outcomes.items()
        for name in SERVERS[:2]
        for each in of_servers[name].failed
        if not explanation(script, each)
    ]
    for each in unexplained:
        print("NOT EXPLAINED:", each)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
