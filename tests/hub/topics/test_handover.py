"""Logs in pieces: what is taken apart at one home is put together at the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorrpc.hub.links import MAX_HUB_FRAME
from actorrpc.hub.topics import handover
from actorrpc.hub.topics import numbered_log as topic_log
from actorrpc.hub.topics.handover import PIECE, Arrivals, Departure
from actorrpc.hub.topics.numbered_log import LINGER, TopicLog
from actorrpc.hub.topics.publications import MAX_PUBLICATION
from actorrpc.pb.control_pb2 import HubToHub

#: Bytes that a message of pieces takes beside what is counted.
OVERHEAD = 1000


def log(epoch: str, kept: int, *payloads: bytes, now: float = 0.0) -> TopicLog:
    made = TopicLog(epoch, kept)
    for payload in payloads:
        made.append("T", payload, now)
    return made


def pieces(logs: dict[str, TopicLog]) -> Iterator[HubToHub]:
    departure = Departure((1, 7), logs=logs)
    while not departure.sent:
        yield departure.next()


def arrived(messages: Iterator[HubToHub]) -> dict[str, TopicLog]:
    arrivals = Arrivals()
    for message in messages:
        last = arrivals.hear(0, message.handover)
    assert last
    logs, forgotten = arrivals.take(0, 7)
    assert not forgotten
    assert (len(arrivals), arrivals.logs.logs, arrivals.logs.size) == (0, {}, 0)
    return logs


def content(logs: dict[str, TopicLog]) -> dict[str, object]:
    return {
        topic: (log.epoch, log.kept, log.size, [(each.sequence, each.payload) for each in log.entries])
        for topic, log in logs.items()
    }


names = st.text(max_size=30)
payloads = st.lists(st.integers(0, 300).map(bytes), max_size=6)


@given(st.dictionaries(names, st.tuples(st.integers(0, 9), payloads), max_size=6), st.integers(1, 900))
def test_any_logs_arrive_as_they_were(logs: dict[str, tuple[int, list[bytes]]], piece: int) -> None:
    before = {topic: log(f"e{topic}", kept, *some) for topic, (kept, some) in logs.items()}
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(handover, "PIECE", piece)
        messages = [*pieces(before)]
    assert [each.handover.last for each in messages] == [False] * (len(messages) - 1) + [True]
    assert content(arrived(iter(messages))) == content(before)


def test_the_largest_messages_and_names_fit_into_a_frame() -> None:
    large = bytes(MAX_PUBLICATION)
    before = {"a": log("1", 0, b"small", large), "n" * len(large): log("2", 3), "b": log("3", 0, b"", large)}
    sizes = []
    for message in pieces(before):
        sizes.append(message.ByteSize())
    assert max(sizes) < MAX_PUBLICATION + PIECE + OVERHEAD < MAX_HUB_FRAME


def test_a_long_name_travels_once() -> None:
    before = {"n" * 1_000_000: log("1", 0, *[bytes(1000)] * 500)}
    assert sum(message.ByteSize() for message in pieces(before)) < 1_600_000


def test_small_logs_share_a_message() -> None:
    assert len([*pieces({f"topic {number}": log("1", 0, b"x") for number in range(100)})]) == 1


def test_what_is_begun_again_takes_the_place_of_what_came_before() -> None:
    before = {"a": log("1", 2, bytes(PIECE), b"x"), "b": log("2", 0, b"y")}
    messages = [*pieces(before)]
    assert len(messages) > 1
    assert content(arrived(iter([*messages[:-1], *messages]))) == content(before)


def test_messages_are_as_old_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "monotonic", lambda: 1000.0)
    messages = [*pieces({"a": log("1", 0, b"x", now=1000.0 - LINGER / 2)})]
    monkeypatch.setattr(handover, "monotonic", lambda: 50.0)
    (entry,) = arrived(iter(messages))["a"].entries
    assert entry.at == 50.0 - LINGER / 2


def test_what_is_too_much_is_left_out_and_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_log, "LOGS_BYTES", 8000)
    arrivals = Arrivals()
    for message in pieces({f"topic {number}": log("1", 0, bytes(100)) for number in range(50)}):
        arrivals.hear(0, message.handover)
    assert arrivals.logs.size <= 8000
    logs, forgotten = arrivals.take(0, 7)
    assert forgotten
    assert 0 < len(logs) < 50


def test_what_has_not_come_wholly_when_a_link_ends_is_dropped_and_no_more() -> None:
    arrivals = Arrivals()
    for source, version in ((0, 7), (0, 8), (1, 8)):
        messages = [*pieces({f"{source} {version}": log("1", 0, bytes(PIECE), b"x")})]
        for message in messages[: None if version == 7 else -1]:
            message.handover.version = version
            arrivals.hear(source, message.handover)
    arrivals.drop_incomplete(0)
    assert [*arrivals.take(0, 7)[0]] == ["0 7"]
    assert arrivals.take(0, 8) == ({}, False)
    assert [*arrivals.take(1, 8)[0]] == ["1 8"]


def test_what_has_come_wholly_and_comes_again_is_not_whole_meanwhile() -> None:
    arrivals = Arrivals()
    messages = [*pieces({"a": log("1", 0, bytes(PIECE), b"x")})]
    for message in [*messages, messages[0]]:
        arrivals.hear(0, message.handover)
    arrivals.drop_incomplete(0)
    assert arrivals.take(0, 7) == ({}, False)


def test_publications_that_have_been_numbered_are_known_at_the_next_home() -> None:
    before = log("1", 0, b"x")
    before.numbered.update({3: 5, 4: 2**63})
    assert arrived(pieces({"a": before}))["a"].numbered == {3: 5, 4: 2**63}


def test_what_a_dead_hub_has_sent_is_dropped_and_no_more() -> None:
    arrivals = Arrivals()
    for source, topic in ((0, "a"), (1, "b")):
        for message in pieces({topic: log("1", 0, b"x")}):
            arrivals.hear(source, message.handover)
    arrivals.drop(0)
    assert arrivals.take(0, 7) == ({}, False)
    assert [*arrivals.take(1, 7)[0]] == ["b"]
