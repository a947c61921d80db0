"""The coverage-guided run: atheris in a process of its own, since it takes over the one it is in.

It wants to see `actorrpc` being imported, so nothing here imports it at the top.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

from .corpus import FOLDER

__all__ = ["guided"]

LONGEST = 16_384
#: Seconds for one input, of which most need a hundredth; and the memory of it all, in MB.
PATIENCE, MEMORY = 30, 1024


def guided(seconds: int, *, records: bool = False) -> int:
    """Fuzz for so long; returns atheris' exit code, 0 if nothing was wrong. Prints an input that was.

    ``records``: the record layer of TLS, and not the session.
    """
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: pip install atheris (it has wheels for Linux on x86-64)")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "found")
        found.mkdir()
        command = [
            sys.executable, "-m", "tests.fuzz.guided", *(["records"] if records else []),
            str(found), *([] if records else [str(FOLDER)]),
            f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-artifact_prefix={folder}/",
            f"-timeout={PATIENCE}", f"-rss_limit_mb={MEMORY}", "-print_final_stats=1",
        ]  # fmt: skip
        code = subprocess.run(command).returncode
        for crash in sorted(Path(folder).glob("*-*")):
            print(f"{crash.name}: {crash.read_bytes().hex()}")
        return code


def _fuzz_records() -> None:
    import atheris

    with atheris.instrument_imports(include=["actorrpc.tls"]):
        from .records import one_input

    def test_one_input(data: bytes) -> None:
        one_input(data)

    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()


def _fuzz() -> None:
    import atheris

    with atheris.instrument_imports(include=["actorrpc.wire"]):
        from .target import one_input
    from .mutation import mutate

    def mutator(data: bytes, max_size: int, seed: int) -> bytes:
        """Change frames as frames, mostly; else bytes, as libFuzzer does it."""
        random = Random(seed)
        if random.randrange(4):
            return mutate(data, random, max_size)
        return bytes(atheris.Mutate(data, max_size))

    def test_one_input(data: bytes) -> None:
        one_input(data)

    atheris.Setup(sys.argv, test_one_input, custom_mutator=mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1] == "records":
        del sys.argv[1]
        _fuzz_records()
    else:
        _fuzz()
