"""Keyed actors that call each other, and a service of connections beside them."""

from __future__ import annotations

import time

import actorrpc
from benchmarks.gen.bench_actorrpc import EchoBase, TallyBase, TallyStub, TravellerBase
from benchmarks.gen.bench_pb2 import Count, Note, Took, Trip


class Echo(EchoBase):
    def Say(self, request: Note, call: actorrpc.Call[Note]) -> Note:
        return Note(number=request.number, text=request.text)


class Tally(TallyBase):
    state: Count

    def Add(self, request: Note, call: actorrpc.Call[Count]) -> Count:
        self.state.calls += 1
        return self.state


class Traveller(TravellerBase):
    state: Count

    def Go(self, request: Trip, call: actorrpc.Call[Took]) -> Took:
        tally, note = TallyStub(self.actor(request.key)), Note(number=7, text="hello")
        each = []
        cpu, began = time.process_time(), time.monotonic()
        last = began
        for _ in range(request.calls):
            tally.Add(note)
            now = time.monotonic()
            each.append(now - last)
            last = now
        return Took(seconds=last - began, cpu=time.process_time() - cpu, each=each)


app = actorrpc.App([Echo, Tally, Traveller])
