"""What holds for all tests: signals, no judging by time, which tests are quick, what runs side by side."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest
from gevent.hub import Hub
from hypothesis import HealthCheck, settings

from actorrpc.log.limits import LIMITS
from tests import rings

# A shell that runs the tests in its background has them ignore SIGINT, and with them all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine that is busy with other things makes no example wrong.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")

_PRINT_EXCEPTION = Hub.print_exception

#: As ``repr`` shows one: it is another in each process.
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What has nothing to run need not be imported, in each process."""
    if collection_path.suffix != ".py" or rings.may_have(_within(collection_path), config.option.markexpr):
        return None
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _same_in_all_workers(items)
    for item in items:
        name = f"{_file(item)}::{item.name}"
        if rings.is_quick(name):
            item.add_marker("quick")
        if rings.is_brief(name):
            item.add_marker("brief")
        if rings.wants_the_machine(name):
            item.add_marker("whole_machine")
    if hasattr(config, "workerinput"):  # side by side: what takes longest begins first
        items.sort(key=lambda item: rings.rank(_file(item)))


def _same_in_all_workers(items: list[pytest.Item]) -> None:
    """With ``-n`` every process collects, and none runs anything unless all have found the same names."""
    if named := [item.nodeid for item in items if _ADDRESS.search(item.nodeid)]:
        raise pytest.UsageError(f"an address in a test's name, so give `ids`: {', '.join(named)}")


def _file(item: pytest.Item) -> str:
    return _within(item.path)


def _within(path: Path) -> str:
    """Relative to this folder, as `rings` has them."""
    return path.relative_to(Path(__file__).parent).as_posix()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What an earlier test has logged leaves out nothing of this one's."""
    LIMITS.forget()


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """What a command sets up for a process of its own is no inheritance of the tests that come after."""
    assert Hub.print_exception is _PRINT_EXCEPTION, "the log of the whole process was set up here"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``--dist loadfile``: files in our order."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """What a test logged may be no Unicode, on purpose, and xdist could not send it."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """`tox -- FILE` runs pytest for what goes side by side, then for the rest: one may find nothing."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and "whole_machine" in session.config.option.markexpr:
        session.exitstatus = pytest.ExitCode.OK


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """For ``-n auto``: tests wait for processes and clients half of the time."""
    return rings.workers()
