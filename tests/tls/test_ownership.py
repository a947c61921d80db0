"""No sequence number is used twice with one key, whatever becomes of a move.

Hypothesis moves one connection between processes: offers that arrive late, twice or never, moves that are
given up after records were sealed, a COMMIT that is lost, one that meets a target of another attempt, and
hubs that try to go on with what is not theirs. A spy has every record's key and nonce.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actorrpc.errors import TlsFault
from actorrpc.pb.tls_pb2 import TlsSnapshot
from actorrpc.tls.alerts import Alert
from actorrpc.tls.limits import MAX_IDLE_UPDATES
from actorrpc.tls.ownership import OWNERSHIP, Ownership, OwnershipEvent
from actorrpc.tls.record_layer import RecordLayer
from actorrpc.tls.snapshot import freeze_records, thaw_records
from tests.support.nonces import Nonces, NonceUsedTwice
from tests.support.tls_client import AES_128, CHACHA, Client

SIZES = st.sampled_from([1, 7, 100, 20_000])
ANY = st.integers(0, 1000)


@dataclass(eq=False)
class Holder:
    """What a process has of the connection: the record layer, and what its socket has not taken."""

    layer: RecordLayer
    backlog: bytes = b""


class Moves(RuleBasedStateMachine):
    """The client, the socket, and every process that has something of the connection."""

    def __init__(self, suite: int = AES_128) -> None:
        super().__init__()
        self.nonces = Nonces().watch()
        self.client = Client(suite)
        layer = self.client.server()
        layer.outbound.records_per_key = 6
        #: Who has the socket; None: it is under way, or the connection has ended.
        self.owner: Holder | None = Holder(layer)
        #: The socket is under way, and COMMIT says this number.
        self.commit: int | None = None
        self.frozen = False
        #: All offers that were ever made, and all processes that have something, or had.
        self.offers: list[bytes] = []
        self.targets: list[Holder] = []
        self.others: list[Holder] = []
        #: What has been given to be sent, both ways, and what has been read; what lies in the server's
        #: socket.
        self.sent = self.client_sent = self.read = self.inbox = b""
        #: KeyUpdates of the client since it has sent data.
        self.updates = 0

    def teardown(self) -> None:
        try:
            self.finish()
        finally:
            self.nonces.stop()

    def finish(self) -> None:
        """Where somebody has the socket, everything arrives in the end."""
        if self.owner is None:
            return
        if self.frozen:
            self.move_is_given_up()
        self.socket_takes(1 << 30)
        self.owner_reads(1 << 30)
        self.owner_sends(1)
        self.socket_takes(1 << 30)
        assert self.client.data_read == self.sent
        assert self.read == self.client_sent

    # ---- the connection

    @precondition(lambda self: self.serving)
    @rule(size=SIZES)
    def owner_sends(self, size: int) -> None:
        assert self.owner is not None
        if not self.owner.backlog:
            data = bytes((len(self.sent) & 0xFF,)) * size
            self.sent += data
            self.owner.backlog = self.owner.layer.send(data)

    @precondition(lambda self: self.serving)
    @rule(size=st.sampled_from([1, 6, 30, 17_000, 1 << 30]))
    def socket_takes(self, size: int) -> None:
        assert self.owner is not None
        taken, self.owner.backlog = self.owner.backlog[:size], self.owner.backlog[size:]
        self.client.read(taken)

    @rule(size=SIZES)
    def client_sends(self, size: int) -> None:
        data = bytes((len(self.client_sent) & 0xFF,)) * min(size, 16_000)
        self.updates = 0
        self.client_sent += data
        self.inbox += self.client.data(data)

    @precondition(lambda self: self.updates < MAX_IDLE_UPDATES)
    @rule(request=st.integers(0, 1))
    def client_changes_its_key(self, request: int) -> None:
        self.updates += 1
        self.inbox += self.client.key_update(request)

    @precondition(lambda self: self.serving)
    @rule(size=st.sampled_from([1, 6, 30, 17_000, 1 << 30]))
    def owner_reads(self, size: int) -> None:
        assert self.owner is not None
        piece, self.inbox = self.inbox[:size], self.inbox[size:]
        self.read += self.owner.layer.receive(piece)
        assert self.owner.layer.fault is None

    @precondition(lambda self: self.serving)
    @rule()
    def owner_rests(self) -> None:
        assert self.owner is not None
        self.owner.layer.rest()

    # ---- its moves

    @precondition(lambda self: self.serving)
    @rule()
    def owner_offers_it(self) -> None:
        assert self.owner is not None
        snapshot = freeze_records(self.owner.layer, self.owner.backlog)
        self.frozen = True
        self.offers.append(snapshot.SerializeToString())

    @precondition(lambda self: self.frozen)
    @rule()
    def move_is_given_up(self) -> None:
        """Refused, overdue, or the link has ended: whatever the targets have heard of it."""
        assert self.owner is not None
        self.owner.layer.resume()
        self.frozen = False

    @precondition(lambda self: self.offers)
    @rule(which=ANY)
    def offer_arrives(self, which: int) -> None:
        """Any that was ever made, as often as it likes; the last one most of the time."""
        offer = self.offers[-1] if which % 3 else self.offers[which % len(self.offers)]
        layer = thaw_records(TlsSnapshot.FromString(offer))
        layer.outbound.records_per_key = 6
        self.targets.append(Holder(layer))

    @precondition(lambda self: self.frozen)
    @rule()
    def kernel_takes_commit(self) -> None:
        assert self.owner is not None
        self.commit = self.owner.layer.freezes
        self.owner.layer.release()
        self.others.append(self.owner)
        self.owner, self.frozen = None, False

    @precondition(lambda self: self.commit is not None and self.targets)
    @rule(which=ANY)
    def commit_arrives(self, which: int) -> None:
        """At any target, though most hubs know which one is meant."""
        assert self.commit is not None
        place = which % len(self.targets)
        if which % 4:
            meant = [at for at, each in enumerate(self.targets) if each.layer.freezes == self.commit]
            place = meant[which % len(meant)] if meant else place
        target = self.targets[place]
        if target.layer.freezes != self.commit:
            with pytest.raises(RuntimeError, match="COMMIT is of freeze"):
                target.layer.own(self.commit)
            return
        self.targets.pop(place)
        target.backlog = target.layer.own(self.commit)
        self.owner, self.commit = target, None

    @precondition(lambda self: self.commit is not None)
    @rule(which=ANY)
    def commit_is_lost(self, which: int) -> None:
        """With the socket: the client sees a close, and nobody goes on."""
        if which % 4 == 0:
            self.commit = None

    @precondition(lambda self: self.targets)
    @rule(which=ANY)
    def target_discards(self, which: int) -> None:
        target = self.targets.pop(which % len(self.targets))
        target.layer.release()
        self.others.append(target)

    # ---- and what must not come of it

    @rule(which=ANY, what=ANY)
    def a_hub_goes_on_with_what_is_not_its_own(self, which: int, what: int) -> None:
        holders = [
            *self.targets,
            *self.others,
            *([self.owner] if self.owner is not None and self.frozen else ()),
        ]
        if not holders:
            return
        layer = holders[which % len(holders)].layer
        before = dict(self.nonces.sealed)
        acts = (
            lambda: layer.send(b"not mine to send"),
            lambda: layer.receive(self.inbox),
            layer.close,
            lambda: layer.fail(TlsFault(Alert.INTERNAL_ERROR, "not mine to end")),
            lambda: freeze_records(layer),
        )
        with pytest.raises(RuntimeError):
            acts[what % len(acts)]()
        assert self.nonces.sealed == before

    @invariant()
    def one_may_seal_and_has_the_socket(self) -> None:
        holders = [*self.targets, *self.others, *([self.owner] if self.owner is not None else ())]
        owned = [each for each in holders if each.layer.ownership is Ownership.OWNED]
        assert owned == ([self.owner] if self.serving else [])

    @invariant()
    def what_is_read_was_sent(self) -> None:
        assert self.sent.startswith(self.client.data_read)
        assert self.client_sent.startswith(self.read)

    @property
    def serving(self) -> bool:
        return self.owner is not None and not self.frozen


class MovesWithChaCha(Moves):
    def __init__(self) -> None:
        super().__init__(CHACHA)


Moves.TestCase.settings = MovesWithChaCha.TestCase.settings = settings(
    max_examples=40, stateful_step_count=50, deadline=None
)
TestMoves = Moves.TestCase
TestMovesWithChaCha = MovesWithChaCha.TestCase


# ---- the same by hand, and what the rules are good for


@pytest.fixture
def nonces() -> Iterator[Nonces]:
    watching = Nonces().watch()
    yield watching
    watching.stop()


def thawed(snapshot: TlsSnapshot) -> RecordLayer:
    return thaw_records(TlsSnapshot.FromString(snapshot.SerializeToString()))


def test_what_was_sealed_and_not_written_goes_first(nonces: Nonces) -> None:
    client = Client()
    source = client.server()
    records = source.send(b"first") + source.send(b"second")
    client.read(records[:30])
    target = thawed(freeze_records(source, records[30:]))
    source.release()
    client.read(target.own(1) + target.send(b"third"))
    assert client.data_read == b"firstsecondthird"


def test_a_move_that_is_given_up_after_the_target_was_ready(nonces: Nonces) -> None:
    client = Client()
    source = client.server()
    early = thawed(freeze_records(source))
    source.resume()
    client.read(source.send(b"sealed since"))
    late = thawed(freeze_records(source))
    source.release()
    with pytest.raises(RuntimeError, match="COMMIT is of freeze 2, and the snapshot of freeze 1"):
        early.own(2)
    client.read(late.own(2) + late.send(b"and here"))
    assert client.data_read == b"sealed sinceand here"


def test_two_that_have_thawed_one_snapshot_and_one_socket(nonces: Nonces) -> None:
    client = Client()
    source = client.server()
    snapshot = freeze_records(source)
    source.release()
    one, other = thawed(snapshot), thawed(snapshot)
    client.read(one.own(1) + one.send(b"one"))
    with pytest.raises(RuntimeError, match="THAWED seals and opens nothing"):
        other.send(b"other")
    other.release()
    with pytest.raises(RuntimeError, match="RELEASED"):
        other.send(b"other")


def test_the_spy_sees_what_the_rules_prevent(nonces: Nonces) -> None:
    """Two that own: as if a descriptor had been duplicated. Then the second record is found out."""
    source = Client().server()
    snapshot = freeze_records(source)
    one, other = thawed(snapshot), thawed(snapshot)
    one.own(1)
    other.own(1)
    one.send(b"one")
    with pytest.raises(NonceUsedTwice):
        other.send(b"other")
    with pytest.raises(NonceUsedTwice):  # nor does a change of keys help
        one.outbound.answer_due = other.outbound.answer_due = True
        one.send(b"one")
        other.send(b"other")


def test_the_spy_sees_a_source_that_goes_on_sealing(nonces: Nonces) -> None:
    source = Client().server()
    target = thawed(freeze_records(source))
    source.ownership = Ownership.OWNED  # nobody may do that
    source.send(b"by the source")
    target.own(1)
    with pytest.raises(NonceUsedTwice):
        target.send(b"by the target")


def test_a_number_is_used_up_even_if_sealing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    layer = client.server()
    protection = layer.outbound.protection
    with pytest.raises(TypeError):
        protection.seal(23, "no bytes")  # type: ignore[arg-type]
    protection.prepare()

    class Failing:
        def encrypt(self, *_: object) -> bytes:
            raise MemoryError

    protection._aead = Failing()  # type: ignore[assignment]
    before = protection.sequence
    with pytest.raises(MemoryError):
        layer.send(b"data")
    assert protection.sequence == before + 1


@pytest.mark.parametrize("event", OwnershipEvent)
@pytest.mark.parametrize("state", Ownership)
def test_each_step_that_is_not_in_the_table_is_refused(state: Ownership, event: OwnershipEvent) -> None:
    layer = Client().server()
    layer.ownership = state
    act = {
        OwnershipEvent.FREEZE: lambda: freeze_records(layer),
        OwnershipEvent.RESUME: layer.resume,
        OwnershipEvent.OWN: lambda: layer.own(0),
        OwnershipEvent.RELEASE: layer.release,
    }[event]
    if (state, event) in OWNERSHIP:
        act()
        assert layer.ownership is OWNERSHIP[state, event]
        return
    with pytest.raises(RuntimeError, match=f"{event.name} of a record layer that is {state.name}"):
        act()
    assert layer.ownership is state
    assert layer.freezes == 0


def test_who_has_let_go_has_no_secrets() -> None:
    client = Client()
    layer = client.server()
    layer.receive(client.data(b"data"))
    layer.send(b"data")
    held = [
        each
        for one in (layer.inbound.protection, layer.outbound.protection)
        for each in (one.secret, one._key)
    ]
    assert all(any(each) for each in held)
    layer.release()
    assert not any(any(each) for each in held)
    with pytest.raises(RuntimeError, match="the keys of this connection are gone"):
        layer.outbound.protection.seal(23, b"data")


def test_a_secret_that_was_renewed_is_overwritten() -> None:
    client = Client()
    layer = client.server()
    secret = layer.inbound.protection.secret
    layer.receive(client.key_update())
    assert not any(secret)
    assert layer.receive(client.data(b"data")) == b"data"
