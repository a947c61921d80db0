"""Which tests are quick, and which go side by side: by the ring that a file of tests belongs to.

The inner rings are tables, two sessions joined in memory, and hubs in a thread of the test's own process.
The outer ones start servers and clients in processes of their own, or make storms. ``tox -e quick`` runs the
inner ones, and ``tox -e brief`` those of them that do not go through all cases of a rule.
"""

from __future__ import annotations

import os
from fnmatch import fnmatch

__all__ = ["is_brief", "is_quick", "may_have", "rank", "wants_the_machine", "workers"]

INNER = (
    "balancing/*",
    "broker/*",
    "chaos/test_accounts.py*",
    "chaos/test_checks.py*",
    "chaos/test_history.py*",
    "codegen/*",
    "hub/*",
    "ipc/*",
    "log/*",
    "loop/*",
    "moving/*",
    "net/*",
    "search/test_search.py*",
    "settings/*",
    "testing/*",
    "tls/*",
    "top/*",
    "wire/*",
    "test_*.py::*",
)
#: Of these folders what starts processes, or makes so many examples that it takes a minute by itself.
OUTER = (
    "balancing/test_benchmark.py*",
    "balancing/test_command.py*",
    "balancing/test_simulation.py*",
    "broker/test_accepting.py*",
    "broker/test_adoption.py*",
    "broker/test_answers.py*",
    "broker/test_balancing.py*",
    "broker/test_beside_calls.py*",
    "broker/test_boot.py*",
    "broker/test_calling_threads.py*",
    "broker/test_connected.py*",
    "broker/test_core_dumps.py*",
    "broker/test_grpcio.py*",
    "broker/test_descriptors.py*",
    "broker/test_dumps.py*",
    "broker/test_hangs.py*",
    "broker/test_keyed.py*",
    "broker/test_links.py*",
    "broker/test_listening.py*",
    "broker/test_log.py*",
    "broker/test_memory.py*",
    "broker/test_ownership.py*",
    "broker/test_hub_process.py*",
    "broker/test_exits.py*",
    "broker/test_formats.py*",
    "broker/test_new_config.py*",
    "broker/test_orphans.py*",
    "broker/test_reload_faults.py*",
    "broker/test_reload_option.py*",
    "broker/test_retiring.py*",
    "broker/test_scaling.py*",
    "broker/test_serving.py*",
    "broker/test_supervision.py*",
    "broker/test_systemd.py*",
    "broker/test_titles.py*",
    "broker/test_tls.py*",
    "broker/test_topics.py*",
    "broker/test_why.py*",
    "broker/test_worker.py*",
    "codegen/test_folders.py*",
    "codegen/test_fresh.py*",
    "codegen/test_golden.py*",
    "codegen/test_languages.py*",
    "codegen/test_plugin.py*",
    "codegen/test_protoc.py*",
    "codegen/test_refusals.py*",
    "codegen/test_stub.py*",
    "codegen/test_taken.py*",
    "codegen/test_types.py*",
    "codegen/test_wheel.py*",
    "moving/test_handoff.py::test_one_owner_whatever_happens*",
    "log/test_programs.py*",
    "testing/test_programs.py*",
    "top/test_live.py*",
    "test_benchmarks.py*",
    "test_cli.py*",
    "test_supported.py*",
    "test_weight.py*",
)
#: Of the inner rings what goes through every cut of a conversation, any order of events or all sources. It
#: takes more than half of their time, and what it tests is the same whatever runs it: where only another
#: version of Python is tried, it is left out.
EXHAUSTIVE = (
    "balancing/test_policies.py*",
    "broker/test_accept_queues.py*",
    "broker/test_life.py*",
    "broker/test_relief.py*",
    "broker/test_topic_homes.py*",
    "chaos/test_history.py*",
    "hub/securing/test_nonces.py*",
    "test_layers.py*",
    "test_suites.py*",
    "tls/test_contract.py*",
    "tls/test_ownership.py*",
    "wire/test_contract.py*",
    "wire/test_flood.py*",
    "wire/test_flow_to_client.py*",
    "wire/test_flow_to_server.py*",
    "wire/test_fuzz.py*",
    "wire/test_heads.py*",
    "wire/test_hpack.py*",
)
#: What measures, or fills the machine: one after another, and nothing beside it.
WHOLE_MACHINE = (
    "chaos/test_histories.py*",
    "chaos/test_life.py*",
    "chaos/test_storm.py*",
    "hostile/*",
    # A hub that h2load fills is to move 32 MB, and on a busy machine comes to that too late.
    "test_benchmarks.py::test_handoff_reports_every_figure*",
)
#: What takes longest by itself, so that it begins first: first files, of which each is one process's, and the
#: last one to end would hold up all; then folders.
LONG = (
    "test_benchmarks.py",
    "broker/test_hangs.py",
    "broker/test_accepting.py",
    "interop/test_proxies.py",
    "fuzz/*",
    "interop/*",
    "chaos/*",
    "broker/*",
    "forks/*",
    "examples/*",
    "balancing/*",
    "codegen/*",
    "turns/*",
)


def is_quick(test: str) -> bool:
    """Whether a test belongs to an inner ring; it is named as pytest does, from this folder on."""
    return _matches(test, INNER) and not _matches(test, OUTER)


def is_brief(test: str) -> bool:
    """Whether a test is quick and goes through no long list of cases; it is named as for ``is_quick``."""
    return is_quick(test) and not _matches(test, EXHAUSTIVE)


def wants_the_machine(test: str) -> bool:
    """Whether nothing may go on beside a test, which is named as for ``is_quick``."""
    return _matches(test, WHOLE_MACHINE)


def may_have(file: str, marks: str) -> bool:
    """Whether a file may have a test of these marks, as ``-m`` names them: else it need not be imported."""
    if marks == "quick":
        return is_quick(f"{file}::test")
    if marks == "brief":
        return is_brief(f"{file}::test")
    if marks == "whole_machine":
        return _matches(file, tuple(pattern.partition("::")[0] for pattern in WHOLE_MACHINE))
    return True


def rank(file: str) -> int:
    """Where it stands in the order of files that go side by side; those of one rank in the order of names."""
    return next((at for at, pattern in enumerate(LONG) if fnmatch(file, pattern)), len(LONG))


def workers() -> int:
    """How many processes run tests side by side: two for each core, since tests wait half of the time."""
    return min(8, 2 * len(os.sched_getaffinity(0)))


def _matches(file: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(file, pattern) for pattern in patterns)
