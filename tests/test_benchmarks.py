"""The benchmarks with tiny parameters: they run to their end, and report all they say they report.

How fast anything is, is not tested here.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("grpc")

from actorrpc.hub.moving.contents import contents
from benchmarks.accounting import core_wait, cpu_seconds, memory_bytes
from benchmarks.capacity.population import population
from benchmarks.capacity.search import crossing, search
from benchmarks.clients.open_loop import LINGER, Clients
from benchmarks.comparison import Comparison, Result
from benchmarks.figures import Figure, met
from benchmarks.figures import table as figure_table
from benchmarks.heavy_connections import HEAVY_CONNECTIONS, HeavyConnection
from benchmarks.idle import Usage
from benchmarks.idle import table as idle_table
from benchmarks.loads import LOADS, check_h2load
from benchmarks.numbered_clients import numbered_clients
from benchmarks.pauses import pauses_of
from benchmarks.policy_hubs import policy_hubs
from benchmarks.processes import BenchmarkError, Cores, server
from benchmarks.records import application_records
from benchmarks.two_hubs import Placement, two_hubs
from tests.support.processes import ROOT
from tests.support.waiting import until

SERVERS = ["grpcio", "grpcio.aio", "actorrpc"]

REPORT = """\
finished in 81.68ms, 3672.76 req/s, 238.22KB/s
requests: 300 total, 300 started, 300 done, 300 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 300 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 19.46KB (19925) total, 1.17KB (1200) headers (space savings 95.12%), 4.10KB (4200) data
"""


def benchmark(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"benchmarks.{program}", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )


def report(program: str, *arguments: str) -> dict[str, Any]:
    done = benchmark(program, "--json", "--no-verdict", *arguments)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


def test_unary_reports_each_server_under_each_load() -> None:
    loads = [load for load in LOADS if load.deadlines or shutil.which("h2load")]
    only = [f"--only={load.name}" for load in loads]
    found = report("unary", "--rounds=1", "--calls=300", "--least-cpu=0", *only)
    assert found["goal"] == 0.2 and found["met"] in (True, False)
    assert 0 < found["tick"] <= 0.01
    assert found["timeout_changes"] > 0.9
    results = found["results"]
    assert [(each["load"], each["server"]) for each in results] == [
        (load.name, name) for load in loads for name in SERVERS
    ]
    for each in results:
        cost = each["cpu_per_call"]
        assert 0 <= each["kernel_per_call"]["median"] <= cost["highest"]
        assert each["calls"] == 300 and len(cost["rounds"]) == 1
        assert cost["lowest"] <= cost["median"] <= cost["highest"] < 0.1
        assert each["ratio"] is not None


def test_unary_says_where_h2load_is_found() -> None:
    done = benchmark("unary", PATH="")
    assert done.returncode == 2
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert "nghttp2-client" in done.stderr


def test_idle_reports_both_servers() -> None:
    found = report("idle", "--connections=40", "--batches=4", "--warm-up=10")
    assert found["met"] is (found["ratio"] < 1)
    assert [each["server"] for each in found["results"]] == ["grpcio", "actorrpc"]
    for each in found["results"]:
        assert each["opening"] > 100
        assert len(each["bytes_per_connection"]["batches"]) == 4
        assert each["bytes_per_connection"]["mean"] < 1_000_000


def test_idle_prints_a_table() -> None:
    usages = [Usage("grpcio", 342, [18e3, 19e3, 17e3]), Usage("actorrpc", 341, [6e3, 6e3, 9e3])]
    title, head, grpcio, actorrpc = idle_table(usages).splitlines()
    assert title == "Memory per idle connection: median (lowest–highest) and mean of 3 batches."
    assert head.split("  ")[0] == "server"
    assert grpcio.split() == ["grpcio", "18,000", "(17,000–19,000)", "18,000", "342", "bytes"]
    assert actorrpc.split() == ["actorrpc", "6,000", "(6,000–9,000)", "7,000", "341", "bytes"]


def test_accepting_reports_each_mode() -> None:
    done = benchmark("accepting", "--json", "--rounds=1", "--connections", "20", "--hubs", "2")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [(line["accept"], line["hubs"], line["connections"]) for line in found] == [
        ("reuseport", 2, 20),
        ("acceptor", 2, 20),
    ]
    for line in found:
        assert 1 <= line["skew"][0] <= 2
        assert 0 < line["p50"][0] <= line["p99"][0]


def comparison(ours: float, sync: float | None = 2e-4, aio: float | None = 3e-4) -> Comparison:
    costs = {"grpcio": sync, "grpcio.aio": aio, "actorrpc": ours}
    results = {
        (name, LOADS[0].name): Result(name, LOADS[0], [2 * cost, cost, 0.5 * cost], 3, [cost / 4])
        for name, cost in costs.items()
        if cost is not None
    }
    return Comparison(Cores(None, None), 1.0, results, 0.99)


def test_unary_prints_a_table() -> None:
    title, head, *rows, tick, deadlines = comparison(4.1e-5).table().splitlines()
    assert "of 3 rounds; one core" in title and "µs per call" in head
    assert [row.split() for row in rows] == [
        ["50", "×", "1", "grpcio", "200.0", "(100.0–400.0)", "50.0", "1.000"],
        ["50", "×", "1", "grpcio.aio", "300.0", "(150.0–600.0)", "75.0", "1.500"],
        ["50", "×", "1", "actorrpc", "41.0", "(20.5–82.0)", "10.2", "0.205"],
    ]
    assert tick.startswith("Clock tick") and "99% of calls" in deadlines


def test_the_goal_is_a_fifth_of_the_better_grpcio() -> None:
    assert comparison(3.9e-5).met is True
    assert comparison(4.1e-5).met is False
    assert comparison(4.1e-5, sync=4e-4).met is True
    assert comparison(4.1e-5, sync=None).met is None
    assert [comparison(3.9e-5).verdict()[-4:], comparison(4.1e-5).verdict()[-7:]] == ["met.", "MISSED."]


def test_a_report_of_h2load_is_believed_only_if_every_call_was_answered() -> None:
    check_h2load(REPORT, 300)
    for wrong in (
        REPORT.replace("300 succeeded, 0 failed", "299 succeeded, 1 failed"),
        REPORT.replace("300 2xx, 0 3xx, 0 4xx", "299 2xx, 0 3xx, 1 4xx"),
        REPORT.replace("(4200) data", "(4186) data"),  # one of them was an error in the trailers
        REPORT.replace("300 total, 300 started, 300 done, 300", "200 total, 200 started, 200 done, 200"),
        "",
    ):
        with pytest.raises(BenchmarkError):
            check_h2load(wrong, 300)


def test_handoff_reports_every_figure() -> None:
    tiny = ["--rounds=1", "--moves=5", "--between=3", "--shuttles=250", "--connections=50"]
    loads = ["idle", "busy"] if shutil.which("h2load") else ["idle"]
    found = report("handoff", *tiny, *([] if "busy" in loads else ["--only-idle"]))
    assert found["met"] in (True, False)
    figures = {each["name"]: each for each in found["results"]}
    sizes = (100, 16_000, 1_000_000, 32_000_000)
    pauses = [f"pause_{p}_{size}_{load}" for load in loads for size in sizes for p in ("p50", "p99")]
    rest = ["floor", "floors", "moves_per_second", "drain", "prepare"]
    assert list(figures) == [*pauses, *(["busy"] if "busy" in loads else []), *rest]
    assert all(len(each["rounds"]) == 1 for each in figures.values())
    assert all(figures[name]["unmoved"] > 0 for name in pauses)
    with_goals = ["pause_p50_16000_idle", "pause_p99_16000_idle", *rest[1:]]
    assert [name for name, each in figures.items() if each["met"] is not None] == with_goals
    assert figures["drain"]["goal"] == pytest.approx(0.04)  # of 4 s for 5,000
    assert figures["moves_per_second"]["goal_is"] == "least"
    assert 200 < figures["prepare"]["median"] < 5000


def test_rebalancing_compares_a_policy_with_none_and_the_best_placement() -> None:
    figures = rebalancing("heavy", "--seconds=0.5")
    assert goals(figures) == ["heavy: steady: calls, of static", "heavy: steady: p99, of static"]
    assert figures["heavy: none: moves of the policy"]["median"] == 0


def test_rebalancing_knows_of_shifting_loads_and_of_caps() -> None:
    figures = rebalancing("shifting", "caps", "--seconds=0.2", "--shifting=1", "--period=0.5")
    assert goals(figures) == ["shifting every 0.5 s: steady: calls, of none"]
    assert figures["caps: 8 a hub: clients of the fullest hub, of the mean"]["median"] == 1


def rebalancing(*arguments: str) -> dict[str, Any]:
    found = report("rebalancing", "--rounds=1", *arguments)
    assert found["met"] in (True, False)
    assert all(len(each["rounds"]) == 1 for each in found["results"])
    return {each["name"]: each for each in found["results"]}


def goals(figures: dict[str, Any]) -> list[str]:
    return [name for name, each in figures.items() if each["goal"] is not None]


def test_rebalancing_wants_questions_that_it_knows() -> None:
    done = benchmark("rebalancing", "weather")
    assert done.returncode == 2 and "weather" in done.stderr


def test_capacity_reports_what_each_policy_holds_on_real_hubs() -> None:
    tiny = ["--rounds=1", "--per-core=2", "--settle=0.1", "--seconds=0.3"]
    found = report("capacity", "real", "--policy=none", "--policy=steady", *tiny)
    figures = {each["name"]: each for each in found["results"]}
    assert list(figures) == [
        "real: p99 with 1 clients of the 4 that fill the cores",
        "real: none: clients held at twice that p99",
        "real: steady: clients held at twice that p99",
        "real: steady: clients, of none",
        "real: how late clients were to call, p99 of the worst run",
        "real: how long a hub waited for its core, worst run",
    ]
    assert all(len(each["rounds"]) == 1 and each["median"] >= 0 for each in figures.values())
    assert all(
        1 <= figures[name]["median"] <= 4 for name in figures if name.endswith("held at twice that p99")
    )
    assert goals(figures) == ["real: steady: clients, of none"]


def test_capacity_wants_some_time() -> None:
    done = benchmark("capacity", "--seconds=0")
    assert done.returncode == 2 and "some time" in done.stderr


def test_a_search_finds_where_a_limit_is_reached() -> None:
    asked: list[int] = []

    def wait(clients: int) -> float:
        asked.append(clients)
        return 1 / (1 - clients / 100) if clients < 100 else 1e6

    assert search(wait, 10, 100, wait(10), 2.0, 3) == pytest.approx(50, abs=0.1)
    assert asked == [10, 20, 40, 80, 57, 48, 52]
    assert search(wait, 10, 100, 3.0, 2.0, 6) == 10  # too many at first
    assert search(wait, 10, 100, 1.0, 1e7, 6) == 100  # never too many
    assert search(lambda clients: 9.0, 1, 4, 1.0, 2.0, 6) == pytest.approx(2 ** (math.log(2) / math.log(9)))


def test_a_limit_lies_between_two_numbers_of_clients_on_a_scale_of_ratios() -> None:
    assert crossing((10, 2.0), (40, 8.0), 4.0) == pytest.approx(20)
    assert crossing((10, 4.0), (40, 8.0), 4.0) == 10


def test_clients_are_the_same_for_each_policy_and_ask_for_as_much_as_there_are() -> None:
    few, many = population(7, 20, 2, 64), population(7, 200, 2, 64)
    assert few == population(7, 20, 2, 64) != population(8, 20, 2, 64)
    assert [each.hub for each in few] == [each.hub for each in many[:20]]
    ratios = [one.load / other.load for one, other in zip(few, many[:20], strict=True)]
    assert ratios == pytest.approx([ratios[0]] * 20)
    for clients in (few, many):
        assert sum(each.load for each in clients) == pytest.approx(len(clients) / 64)
        assert {each.hub for each in clients} == {0, 1}


def test_calls_without_an_answer_count_and_those_after_them_are_made() -> None:
    """A hub is stopped as soon as its clients are there: nobody calls less often, and no call is left out."""
    with policy_hubs("none", 2) as hubs:
        plan = {
            "seed": 1, "microseconds": 100, "period": 0.01, "settle": 0.1, "seconds": 0.2,
            "probes": hubs.pids, "clients": [(hubs.pids[0], 100.0)],
        }  # fmt: skip
        clients = Clients(hubs.address, plan)
        starts = clients.starts()
        os.kill(hubs.pids[0], signal.SIGSTOP)
        try:
            clients.run(starts)
        finally:
            os.kill(hubs.pids[0], signal.SIGCONT)
            clients.close()
    found = clients.document()
    assert [len(took) for took in found["probes"]] == [20, 20]
    assert min(found["probes"][0]) >= LINGER
    assert min(found["probes"][1]) < LINGER
    assert len(found["late"]) == len(starts) > 60


def test_handoff_has_clients_that_speak_tls() -> None:
    tiny = ["--rounds=1", "--moves=5", "--between=3", "--shuttles=250", "--connections=50"]
    found = report("handoff", *tiny, "--only-idle", "--tls")
    figures = {each["name"]: each for each in found["results"]}
    assert all(len(each["rounds"]) == 1 for each in figures.values())
    assert figures["prepare"]["median"] > 300


@pytest.mark.skipif(not shutil.which("h2load"), reason="h2load is not installed")
def test_tls_reports_every_figure() -> None:
    tiny = ["--rounds=1", "--calls=500", "--handshakes=20", "--least-cpu=0.05", "--moves=5", "--between=3"]
    found = report("tls", *tiny, "--connections=20", "--batches=2")
    assert found["met"] in (True, False)
    figures = {each["name"]: each for each in found["results"]}
    costs = [f"{key}_{name}" for key in ("ping-pong", "pipelined", "1 MB", "handshake") for name in SERVERS]
    assert [name for name in figures if name in costs] == costs
    assert all(figures[name]["median"] > 0 and figures[name]["plaintext"] > 0 for name in costs)
    goals = {name: each["goal"] for name, each in figures.items() if each["goal"] is not None}
    assert goals == {
        "ping-pong_ratio": 1 / 4,
        "overhead_ping-pong": 15,
        "pipelined_ratio": 1 / 12,
        "overhead_pipelined": 15,
        "1 MB_ratio": 1.3,
        "handshake_ratio": 1,
        "replies_in_a_record": 2,
        "pause_ratio": 1.2,
        "more_memory": 4096,
    }
    assert figures["replies_in_a_record"]["met"] is True
    assert figures["handshake_actorrpc"]["median"] > figures["handshake_actorrpc"]["plaintext"]


def test_a_ticket_is_good_for_the_hub_that_gave_it() -> None:
    done = benchmark("resumption", "--clients=10", "--visits=2", "--handshakes=5")
    assert done.returncode == 0, done.stderr
    lines = dict(line.rsplit(": ", 1) for line in done.stdout.splitlines()[:-1])
    assert lines["resumed, 1 hub"] == "100%" and lines["resumed after a reload"] == "0%"
    assert 0 <= int(lines["resumed, 8 hubs"][:-1]) < 70
    costs = [float(value[:-3]) for value in lines.values() if value.endswith(" µs")]
    assert len(costs) == 3 and min(costs) > 0
    assert done.stdout.splitlines()[-1].startswith("grpcio's client ")


def test_records_are_counted() -> None:
    handshake, data = b"\x16\3\3\0\2ab", b"\x17\3\3\0\3abc"
    assert application_records(handshake + data + data + data[:6]) == 3
    assert application_records(b"") == 0


def test_handoff_says_where_h2load_is_found() -> None:
    done = benchmark("handoff", PATH="")
    assert done.returncode == 2
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert "nghttp2-client" in done.stderr and "--only-idle" in done.stderr


def test_reload_reports_every_figure() -> None:
    tiny = ["--rounds=1", "--connections=30", "--streams=5", "--seconds=0.5", "--period=0.05"]
    found = report("reload", *tiny)
    assert found["met"] in (True, False)
    figures = {each["name"]: each for each in found["results"]}
    calls = [f"call_{when}_{what}" for when in ("starting", "moving") for what in ("p50", "p99", "max")]
    pauses = ["pause_p50", "pause_p99"]
    assert list(figures) == ["load", "disconnects", "failed_calls", "ready", "gone", *pauses, *calls]
    assert all(len(each["rounds"]) == 1 for each in figures.values())
    assert goals(figures) == ["load", "disconnects", "failed_calls", "gone", "pause_p99"]
    assert figures["disconnects"]["median"] == figures["failed_calls"]["median"] == 0
    assert 0 < figures["ready"]["median"] < figures["gone"]["median"]
    assert all(figures[name]["median"] > 0 for name in (*pauses, *calls))
    assert all(figures[name]["unmoved"] > 0 for name in calls)


def test_reload_wants_connections_of_both_kinds() -> None:
    done = benchmark("reload", "--connections=5", "--streams=5")
    assert done.returncode == 2 and "without one" in done.stderr


def test_numbered_clients_say_what_they_have_lost() -> None:
    with two_hubs(Placement(None, None, None)) as hubs, numbered_clients(hubs.address, 8, 0.01) as clients:
        # Each has a stream and has made a call by then: so some have made others.
        until(lambda: sum(hub["calls"] for hub in hubs.broker.status()["hubs"]) > 4 * 8)
        places = Counter(hub for _, hub in hubs.connections("bench.Movable"))
        [(hub, count)] = places.most_common(1)
        os.kill(hubs.pids[hub], signal.SIGKILL)
        until(lambda: not Path(f"/proc/{hubs.pids[hub]}").exists())
        found = clients.end()
    assert len(found.failed) == found.lost == count >= 4
    assert found.calls and all(took > 0 for _, took in found.calls)


@pytest.mark.skipif(not shutil.which("h2load"), reason="h2load is missing")
def test_metering_reports_every_figure() -> None:
    found = report("metering", "--rounds=1", "--seconds=2", "--connections=400", "--report-rounds=2")
    assert found["met"] in (True, False)
    figures = {each["name"]: each for each in found["results"]}
    errors = [f"error_{share}_{where}" for where in ("alone", "beside") for share in (0.3, 0.1, 0.05, 0.002)]
    reports = [f"{what}_{active}" for active in (0, 20) for what in ("reports", "bytes")]
    assert list(figures) == [*errors, "bracket", *reports]
    assert all(each["rounds"] for each in figures.values())
    assert figures["bytes_20"]["median"] < 8000
    without = [name for name, each in figures.items() if each["met"] is None]
    assert without == [name for name in figures if "0.002" in name or "bytes" in name]


def test_move_cost_reports_every_figure() -> None:
    found = report("move_cost", "--rounds=1", "--only=1,000", "--only=users")
    assert found["met"] in (True, False)
    lines = ("source", "target", "weighing", "priced", "learnt")
    kinds = ("1,000 users", "1,000 users with 1,000 calls")
    assert [each["name"] for each in found["results"]] == [
        f"{line}: {kind}" for kind in kinds for line in lines
    ]
    assert all(each["rounds"][0] > 0 for each in found["results"])


def test_move_cost_makes_each_kind_of_connection() -> None:
    """As much of each as its name says: what is counted is what is in it."""
    for name, wanted in (
        ("1,000 calls, 40 fields of their own", {"calls": 1000, "heads": 1000, "fields": 45_000}),
        ("1,000 calls, 40 fields, all the same", {"calls": 1000, "heads": 1}),
        ("10,000 messages of 0 B", {"calls": 1, "turns": 10_000}),
        ("1,000 users with 1,000 calls", {"calls": 1000, "cells": 1000}),
        ("4,000 subscriptions", {"subscriptions": 4000}),
        ("20 notes on each of 1,000 calls", {"entries": 20_000}),
        ("20 trailing fields on 1,000 calls", {"metadata": 20_000}),
    ):
        heavy = HeavyConnection()
        try:
            HEAVY_CONNECTIONS[name](heavy)
            found = contents(heavy.connection)
            assert {key: getattr(found, key) for key in wanted} == wanted, name
        finally:
            heavy.close()


def test_a_move_falls_in_the_round_trip_with_the_first_reply_from_the_other_hub() -> None:
    one, other = 11, 22
    found = pauses_of(
        [(1.0, one), (1.5, one), (9.0, other), (2.0, other), (5.0, one), (6.5, other), (1.0, other)]
    )
    assert found.unmoved == [1.0, 1.5, 2.0, 1.0]
    assert found.extra == [9.0 - 1.25, 5.0 - 1.25, 6.5 - 1.25]
    assert pauses_of([(1.0, one)]).extra == []
    with pytest.raises(ValueError):
        pauses_of([])


def test_a_move_that_costs_nothing_has_no_pause() -> None:
    assert pauses_of([(2.0, 1), (2.0, 1), (2.0, 2), (1.0, 1)]).extra == [0.0, -1.0]


def test_handoff_prints_a_table() -> None:
    figures = [
        Figure("pause", "pause, 16 kB, idle: p50", "ms", 0.5, rounds=[0.4, 0.3, 0.6], beside=[0.2, 0.2, 0.3]),
        Figure("rate", "moves per second", "/s", 2000, at_least=True, rounds=[1000.0, 1999.0, 3000.0]),
        Figure("floor", "send_fds", "ms", rounds=[0.05]),
    ]
    head, pause, rate, floor = figure_table(figures).splitlines()
    assert head.split() == ["median", "(lowest–highest)", "unmoved", "goal"]
    wanted = ["pause,", "16", "kB,", "idle:", "p50", "0.40", "(0.30–0.60)", "ms", "0.20", "≤", "0.50", "met"]
    assert pause.split() == wanted
    assert rate.split()[3:] == ["1,999", "(1,000–3,000)", "/s", "≥", "2,000", "MISSED"]
    assert floor.split() == ["send_fds", "0.05", "(0.05–0.05)", "ms"]
    assert (met(figures), met(figures[:1]), met(figures[2:])) == (False, True, None)


def test_accounting_counts_descendants() -> None:
    """CPU of a child that was waited for, and memory of one that lives."""
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    hold = "held = b'x' * 30_000_000; print('held', flush=True); input()"
    script = f"""
import subprocess, sys
for each in ({burn!r}, {hold!r}):
    subprocess.run([sys.executable, "-c", each])
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert 0.19 <= cpu_seconds(process.pid) < 10
        assert 30_000_000 < memory_bytes(process.pid) < 300_000_000
        assert 0 <= core_wait(process.pid) < 60
        process.communicate(b"\n")
    with pytest.raises(ProcessLookupError):
        cpu_seconds(process.pid)


def test_a_server_ends_with_its_block_and_with_its_benchmark() -> None:
    with pytest.raises(KeyError), server("grpcio_aio") as running:
        raise KeyError
    assert not Path(f"/proc/{running.pid}").exists()

    script = """
import os
from benchmarks.processes import server
with server("actorrpc_one") as running:
    os.kill(os.getpid(), 9)
"""
    # The server has the pipe of stderr too: there is no timeout only if both have gone.
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == -9 and done.stderr == b""
