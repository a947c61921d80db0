"""Steps of a client, mostly right, cut and moved anywhere: the session does what the model expects."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .grammar import BEGIN, CONNECTION_MISSTEPS, KINDS, MISSTEPS, OWNER, STREAM_MISSTEPS, Client, Step
from .model import ENHANCE_YOUR_CALM
from .trial import IMPATIENT, PINGED, Trial

NUMBER = st.integers(0, 255)
RIGHT = [kind for kind in KINDS if kind not in MISSTEPS]
#: What ends a connection at once is rare, so that sequences get somewhere.
WRONG = list(STREAM_MISSTEPS) * 4 + list(CONNECTION_MISSTEPS)
STEP = st.tuples(st.sampled_from(RIGHT * 8 + list(OWNER) * 8 + WRONG), NUMBER, NUMBER, NUMBER)
#: Where each step's bytes are cut: few reads, or one for each byte.
CUTS = st.lists(st.integers(1, 40), max_size=4)

repeatable = settings(
    max_examples=int(os.environ.get("ACTORRPC_SESSION_PROGRAMS", "300")),
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def run(steps: list[Step], cuts: list[int], restless: bool, together: int) -> Trial:
    """One trial; ``together`` steps of the client come in one read, or in reads of the lengths ``cuts``."""
    trial = Trial(restless=restless)
    client = Client()
    unread = BEGIN
    for number, step in enumerate(steps):
        if step[0] in OWNER:
            trial.own(step)
            continue
        unread += client.write(step)
        if number % together == 0:
            for cut in cuts:
                trial.feed(unread[:cut])
                unread = unread[cut:]
            trial.feed(unread)
            unread = b""
    trial.feed(unread)
    return trial


@repeatable
@given(st.lists(STEP, min_size=25, max_size=80), CUTS, st.booleans(), st.integers(1, 4))
def test_the_session_does_what_the_model_expects(
    steps: list[Step], cuts: list[int], restless: bool, together: int
) -> None:
    run(steps, cuts, restless, together)


@repeatable
@given(st.lists(st.tuples(st.sampled_from(RIGHT), NUMBER, NUMBER, NUMBER), max_size=40), CUTS)
def test_a_client_that_is_right_is_never_cut_off(steps: list[Step], cuts: list[int]) -> None:
    model = run(steps, cuts, restless=True, together=1).model
    assert model.fault in (None, 3), "only DATA beyond a window, which this client does not count"


def test_every_kind_of_step_is_taken() -> None:
    for kind in MISSTEPS:
        for number in range(0, 256, 5):
            before: list[Step] = [("whole_call", 0, 4, 1), ("call", 0, 4, 1), ("call", 1, 4, 2)]
            run([*before, (kind, number, number * 7 % 256, number * 11 % 256)], [], False, 1)


@pytest.mark.parametrize("kind", ["ping", "settings_ack", "settings", "priority", "unknown"])
def test_a_flood_ends_a_connection(kind: str) -> None:
    trial = Trial(IMPATIENT)
    trial.feed(BEGIN)
    flood = Client().write((kind, 1, 1, 1)) * 100
    for _ in range(30):  # the model raises if it goes on for longer
        trial.feed(flood)
        if trial.model.fault is not None:
            break
    assert trial.model.fault == ENHANCE_YOUR_CALM


def test_pings_that_come_too_fast_end_a_connection() -> None:
    trial = Trial(PINGED)
    trial.feed(BEGIN)
    for _ in range(5):
        trial.feed(Client().write(("ping", 1, 1, 1)))
    assert trial.model.fault == ENHANCE_YOUR_CALM
