"""The log of a program: what it ends with, and what nobody has caught in it."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.support.processes import ROOT, environment
from tests.support.waiting import PATIENCE

PROGRAM = """
import logging, sys
from gevent import monkey
monkey.patch_all()
import os, threading, warnings
import gevent
from actorrpc.log import log_to_stderr, log_uncaught
log_to_stderr("program")
log = logging.getLogger("actorrpc.hub")
log_uncaught(log)
waitpid = monkey.get_original("os", "waitpid")  # gevent's may miss a child that ends at once
"""


def run(source: str) -> subprocess.CompletedProcess[str]:
    env = {**environment(), "PYTHONWARNINGS": "default"}
    command = [sys.executable, "-c", PROGRAM + source]
    return subprocess.run(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)


def test_what_was_logged_last_is_written() -> None:
    done = run("""
from actorrpc.log import about
for number in range(200):
    log.error("line %d", number, extra=about(number))
for number in range(20):
    log.error("last %d", number)
""")
    lines = [line.partition("program: ")[2] for line in done.stderr.splitlines()]
    written = [f"line {number}" for number in range(200)] + [f"last {number}" for number in range(5)]
    assert lines == [*written, "and 15 more in the last 1 s like: last 4"]


ENDS = {
    "exit": "sys.exit(3)",
    "error": "raise ValueError('why')",
    "child": "pid = os.fork()\nif pid: waitpid(pid, 0)\nelse: log.error('of the child')",
}


@pytest.mark.parametrize("end", ENDS)
def test_each_line_is_written_once_however_the_program_ends(end: str) -> None:
    done = run(f"log.error('%s', 'of the parent')\n{ENDS[end]}")
    assert done.stderr.count("of the parent") == 1
    assert done.stderr.count("of the child") == (end == "child")
    assert done.returncode == {"exit": 3, "error": 1, "child": 0}[end]


def run_told(source: str, level: str = "info", format: str = "text") -> list[str]:
    """What a process says whose log is as ``serve`` was told, without the time."""
    begin = f"from actorrpc.log import log_as_told\nlog_as_told('program', {level!r}, {format!r})\n"
    begin += "import io, logging.config\nfrom actorrpc.log import outlive_configuration\n"
    begin += "lib, other = map(logging.getLogger, ('some.lib', 'other'))\n"
    done = run(begin + source)
    assert done.returncode == 0, done.stderr
    return [re.sub(r"^[\d-]+ [\d:,]+ ", "", line) for line in done.stderr.splitlines()]


def test_what_an_app_logs_comes_out_as_ours_does() -> None:
    said = run_told("""
outlive_configuration()
lib.debug("no")
lib.info("a %s", "b" + chr(10) + "c")
logging.info("by the root")
other.setLevel(logging.DEBUG)
other.debug("as it wants")
log.info("ours")
""")
    assert said == [
        r"INFO program some.lib: a b\nc",
        "INFO program root: by the root",
        "DEBUG program other: as it wants",
        "INFO program: ours",
    ]


def test_an_app_s_lines_are_of_the_level_that_was_told() -> None:
    source = (
        "lib.debug('d'); lib.info('i'); lib.warning('w'); log.debug('d'); log.info('i'); log.warning('w')"
    )
    both = [["DEBUG", "d"], ["INFO", "i"], ["WARNING", "w"]]
    for level, those in (("debug", both), ("info", both[1:]), ("warning", both[2:]), ("error", [])):
        assert run_told(source, level) == [
            *(f"{name} program some.lib: {text}" for name, text in those),
            *(f"{name} program: {text}" for name, text in those),
        ]


def test_all_of_it_is_json_if_that_was_told() -> None:
    said = [json.loads(line) for line in run_told("lib.info('a\\nb')\nlog.info('c')", format="json")]
    assert [(line["logger"], line["role"], line["message"]) for line in said] == [
        ("some.lib", "program", "a\nb"),
        ("actorrpc.hub", "program", "c"),
    ]


#: How an app configures logging, and what it then writes itself, as it would in any process.
APPS = {
    "without a wish": ("logging.basicConfig()", ""),
    "basic": ("logging.basicConfig(stream=own, format='%(message)s')", "w"),
    "basic with our level": (
        "logging.basicConfig(stream=own, format='%(message)s', level=logging.INFO)",
        "iw",
    ),
    "debug": ("logging.basicConfig(stream=own, format='%(message)s', level=logging.DEBUG)", "diw"),
    "a handler": ("logging.root.addHandler(logging.StreamHandler(own))", "w"),
    "one logger": ("lib.addHandler(logging.StreamHandler(own)); lib.setLevel('INFO')", "iw"),
    "dict": (
        "logging.config.dictConfig({'version': 1, 'root': {'handlers': ['own'], 'level': 'INFO'},"
        " 'handlers': {'own': {'class': 'logging.StreamHandler', 'stream': own}},"
        " 'disable_existing_loggers': False})",
        "iw",
    ),
    "file": (
        "logging.config.fileConfig(io.StringIO('[loggers]\\nkeys=root\\n[handlers]\\nkeys=own\\n[formatters]\\n"
        "keys=\\n[logger_root]\\nlevel=DEBUG\\nhandlers=own\\n[handler_own]\\nclass=StreamHandler\\nargs=(own,)'),"
        "{}, False)",
        "diw",
    ),
}


@pytest.mark.parametrize("how", APPS)
def test_an_app_that_configures_logging_has_it_its_own_way(how: str) -> None:
    configure, letters = APPS[how]
    said = run_told(f"""
own = logging.own = io.StringIO()
{configure}
outlive_configuration()
lib.debug("d"); lib.info("i"); lib.warning("w")
log.info("ours")
logging.getLogger("actorrpc").handlers[0].flush()
sys.stderr.write("".join(own.getvalue().split()) + chr(10))
""")
    theirs = (
        [] if letters else [f"{level} program some.lib: {level[0].lower()}" for level in ("INFO", "WARNING")]
    )
    assert said == [*theirs, "INFO program: ours", letters]


def test_children_of_multiprocessing_write_theirs() -> None:
    """They end with os._exit."""
    done = run("""
import multiprocessing
os.waitpid = waitpid  # which multiprocessing waits with
def child(generation):
    for number in range(50):
        log.error("%s of %d", number, generation)
    log.warning("the last of %d", generation)
    if generation < 3:
        grow(generation + 1)
def grow(generation):
    one = multiprocessing.get_context("fork").Process(target=child, args=(generation,))
    one.start()
    one.join()
    assert one.exitcode == 0
for _ in range(3):
    grow(1)
""")
    assert [done.stderr.count(f"program: the last of {each}\n") for each in (1, 2, 3)] == [3, 3, 3], (
        done.stderr
    )
    assert done.stderr.count("and 45 more in the last ") == 9


def test_a_child_tells_what_it_has_left_out() -> None:
    done = run("""
from actorrpc.forks import end_child
pid = os.fork()
if pid:
    waitpid(pid, 0)
else:
    for number in range(20):
        log.error("line %d", number)
    end_child()
""")
    assert done.stderr.splitlines()[-1].endswith("and 15 more in the last 1 s like: line 4")


CONFIGURED = {
    "others": "logging.config.dictConfig({'version': 1})",
    "level": "logging.config.dictConfig({'version': 1, 'loggers': {'actorrpc': {'level': 'INFO'}}})",
    "file": "logging.config.fileConfig(io.StringIO('[loggers]\\nkeys=root\\n[handlers]\\nkeys=\\n"
    "[formatters]\\nkeys=\\n[logger_root]\\nhandlers='))",
    "root": "logging.basicConfig(level=logging.DEBUG, force=True)",
}


@pytest.mark.parametrize("how", CONFIGURED)
def test_an_app_that_configures_logging_silences_nothing_of_ours(how: str) -> None:
    done = run(f"""
import io, logging.config
from actorrpc.log import outlive_configuration
{CONFIGURED[how]}
outlive_configuration()
logging.getLogger("actorrpc").error("one")
for number in range(20):
    log.error("last %d", number)
""")
    lines = [line.partition("program: ")[2] for line in done.stderr.splitlines()]
    assert lines == [
        "one",
        *(f"last {number}" for number in range(5)),
        "and 15 more in the last 1 s like: last 4",
    ]


def test_what_an_app_gives_to_ours_is_left() -> None:
    done = run("""
import logging.config
from actorrpc.log import outlive_configuration
given = {"level": "ERROR", "handlers": ["own"]}
own = {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"}
logging.config.dictConfig({"version": 1, "handlers": {"own": own}, "loggers": {"actorrpc": given}})
outlive_configuration()
log.warning("no")
log.error("yes")
""")
    assert done.stderr == "yes\n"


def test_what_is_written_and_how_may_change() -> None:
    """At a reload."""
    done = run_told(
        """
from actorrpc.log import log_otherwise
lib.info("no")
log_otherwise("program", "info", "json")
lib.info("yes")
logging.getLogger("actorrpc").info("yes")
log_otherwise("program", "error", "text")
lib.warning("no")
lib.error("plain")
""",
        level="warning",
    )
    first, second, last = done
    assert [json.loads(line)["message"] for line in (first, second)] == ["yes", "yes"]
    assert last == "ERROR program some.lib: plain"


def test_a_change_leaves_what_an_app_has_configured() -> None:
    assert run_told("""
from actorrpc.log import log_otherwise
logging.basicConfig(level=logging.ERROR, format="%(message)s")
outlive_configuration()
log_otherwise("program", "debug", "text")
lib.warning("no")
lib.error("yes")
""") == ["yes"]


UNCAUGHT = {
    "program": (
        "raise Said(TEXT)",
        "CRITICAL program: this process ends with an error that nothing has caught",
    ),
    "greenlet": ("gevent.spawn(fail, TEXT).join()", "ERROR program: <Greenlet at "),
    "callback": ("gevent.get_hub().loop.run_callback(fail, TEXT)\ngevent.sleep(0)", "ERROR program: "),
    "thread": ("t = threading.Thread(target=fail, args=(TEXT,))\nt.start(); t.join()", "ERROR program: "),
    "native thread": ("gevent.get_hub().threadpool.apply(threaded)", "ERROR program: <Greenlet at "),
    "finalizer": ("class D:\n def __del__(self): fail(TEXT)\nD()", "ERROR program: Exception ignored in"),
    "warning": ("warnings.warn(TEXT)", "WARNING program: <string>:"),
}


@pytest.mark.parametrize("what", UNCAUGHT)
def test_what_nobody_catches_forges_no_line(what: str) -> None:
    source, words = UNCAUGHT[what]
    done = run(f"""
TEXT = "a\\n2026-01-01 00:00:00,000 ERROR program: forged\\x1b[2J"
class Said(Exception): pass
def fail(text): raise Said(text)
def threaded(): gevent.spawn(fail, TEXT).join()
{source}
""")
    first, *others = done.stderr.splitlines()
    assert words in first, done.stderr
    assert all(line.startswith("    ") for line in others), done.stderr
    assert "forged\\x1b[2J" in done.stderr
    assert "\x1b" not in done.stderr


def test_without_a_standard_error_nothing_is_written_elsewhere() -> None:
    """The descriptor 2 is then the next file's that is opened."""
    program = "import os, sys; os.close(2); os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
    source = """
import select, socket
one, other = socket.socketpair()
log.error("a line")
logging.shutdown()
print(one.fileno(), select.select([other], [], [], 0)[0])
"""
    command = [sys.executable, "-c", program, PROGRAM + source]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, timeout=PATIENCE)
    assert done.returncode == 0
    assert done.stdout == b"2 []\n"
