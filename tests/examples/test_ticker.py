"""The ticker: the demo in short, and what its actor refuses."""

from __future__ import annotations

import re
import subprocess
import sys

import grpc
import pytest

from examples.ticker.exchange import Exchange
from examples.ticker.ticker_actorrpc import FeedStub, PricesStub
from examples.ticker.ticker_pb2 import StatusRequest, Symbol
from tests.support.server_process import served
from tests.support.waiting import PATIENCE, until

from .conftest import ROOT


def test_the_demo_proves_its_point() -> None:
    demo = subprocess.run(
        [sys.executable, "-m", "examples.ticker.demo", "--seconds", "1", "--subscribers", "100"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    assert (demo.returncode, demo.stderr) == (0, ""), demo.stdout
    found = re.search(
        r"^([\d,]+) prices read, by 1 at a time; ([\d,]+) delivered, 0 lost, 0 doubled; "
        r"by the kill [\d,]+ lost, ([\d,]+) calls made again, [\d.]+ s without prices$",
        demo.stdout,
        re.MULTILINE,
    )
    assert found, demo.stdout
    read, delivered, again = (int(each.replace(",", "")) for each in found.groups())
    assert delivered > read > 0
    assert 0 < again < 100, "only clients of the hub that was killed"
    # The broker may hear of a move from its target first.
    assert len(re.findall(r"ticker\.Feed/feed (?:to|is already on) hub \d", demo.stdout)) == 3
    assert "generation 2 serves" in demo.stdout


def test_there_is_one_feed() -> None:
    with Exchange() as exchange, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TICKER_EXCHANGE", exchange.address)
        with (
            served(app="examples.ticker.server:app") as server,
            grpc.insecure_channel(server.address) as channel,
        ):
            for wrong in "other", "":
                with pytest.raises(grpc.RpcError) as error:
                    FeedStub(channel).Status(StatusRequest(feed=wrong), timeout=PATIENCE)
                assert error.value.code().name == ("NOT_FOUND" if wrong else "INVALID_ARGUMENT")
            until(lambda: FeedStub(channel).Status(StatusRequest(feed="feed"), timeout=PATIENCE).published)
            with pytest.raises(grpc.RpcError, match="which symbol"):
                next(PricesStub(channel).Watch(Symbol(), timeout=PATIENCE))
            assert exchange.most_readers == 1
