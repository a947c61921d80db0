"""A certificate that was admitted is admitted again, or not, by OpenSSL's own rules: those of handshakes."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from actorrpc.errors import ConfigError
from actorrpc.tls.handshake import admission
from actorrpc.tls.handshake.admission import Admission
from actorrpc.tls.handshake.contexts import Contexts
from actorrpc.tls.handshake.handshake import Established, Handshake
from actorrpc.tls.handshake.key_log import KeyLog
from actorrpc.tls.handshake.settings import Tls
from tests.support.certificates import Authority, Pair


def der(file: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(Path(file).read_text())


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "other", "another CA")


def tls_of(server_pair: Pair, ca: str | None, client: str = "") -> Tls:
    return Tls(server_pair.cert, server_pair.key, ca, client)


@pytest.mark.parametrize("kind", ["ec", "rsa", "rsa 1024", "ed25519"])
@pytest.mark.parametrize("whose", ["own", "other's", "expired", "early", "server only"])
def test_it_says_what_a_handshake_says(
    authority: Authority, server_pair: Pair, other: Authority, log: KeyLog, kind: str, whose: str
) -> None:
    days, begins = {"expired": (-0.5, -1.0), "early": (9.0, 1.0)}.get(whose, (9.0, -1.0))
    signer = other if whose == "other's" else authority
    usage = "server" if whose == "server only" else ""
    pair = signer.sign(f"client {kind} {whose}", days=days, begins=begins, kind=kind, usage=usage)
    tls = tls_of(server_pair, authority.file)
    outcome = shake_hands(Contexts(tls, log), authority, pair)
    refusal = Admission(tls).why_not([der(pair.cert)])
    assert isinstance(outcome, Established) == (refusal == ""), (outcome, refusal)
    if kind != "rsa 1024":
        assert (refusal == "") == (whose == "own")
        if isinstance(outcome, str):
            assert refusal.rpartition(": ")[2] == outcome.rpartition(": ")[2], "in the same words"


def shake_hands(contexts: Contexts, authority: Authority, pair: Pair) -> Established | str:
    """The outcome of a handshake of TLS 1.3; why not, if it is refused."""
    client = ssl.create_default_context(cafile=authority.file)
    client.set_alpn_protocols(["h2"])
    try:
        client.load_cert_chain(pair.cert, pair.key)
    except ssl.SSLError as error:  # OpenSSL does not even show it
        return f"cannot be shown: {error.reason}"
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client.wrap_bio(incoming, outgoing, server_hostname="localhost")
    handshake = Handshake(contexts)
    while handshake.outcome is None:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        incoming.write(handshake.receive(outgoing.read()))
    outcome = handshake.outcome
    return outcome if isinstance(outcome, Established) else outcome.why


def test_what_leads_to_the_ca_is_kept_and_counts(
    authority: Authority, server_pair: Pair, log: KeyLog, tmp_path: Path
) -> None:
    between = authority.sign_authority(tmp_path / "between", "a CA between")
    pair = between.sign("client of that")
    bare, whole = der(pair.cert), [der(pair.cert), der(between.file)]
    tls = tls_of(server_pair, authority.file)
    assert Admission(tls).why_not([bare]) == (
        "its certificate is not admitted: unable to get local issuer certificate"
    )
    assert Admission(tls).why_not(whole) == ""
    chain = Pair(tmp_path, "chain")
    Path(chain.cert).write_text(Path(pair.cert).read_text() + Path(between.file).read_text())
    chain.key = pair.key
    outcome = shake_hands(Contexts(tls, log), authority, chain)
    assert isinstance(outcome, Established)
    assert [outcome.peer_certificate, *outcome.peer_intermediates] == whole
    assert outcome.admitted_by == Admission(tls).fingerprint


def test_who_shows_nothing(authority: Authority, server_pair: Pair) -> None:
    said = {
        client: Admission(tls_of(server_pair, authority.file, client)).why_not([])
        for client in ("none", "optional", "required")
    }
    assert said == {"none": "", "optional": "", "required": "it has no certificate, and needs one here"}
    assert Admission(None).why_not([]) == Admission(tls_of(server_pair, None)).why_not([b"x"]) == ""


@pytest.mark.parametrize("chain", [[b"x"], [b""], [bytes(60_000)], [b"x" * 100] * 400])
def test_what_is_no_certificate_is_not_admitted(
    authority: Authority, server_pair: Pair, chain: list[bytes]
) -> None:
    why = Admission(tls_of(server_pair, authority.file)).why_not(chain)
    assert why.startswith("its certificate cannot be verified: ")


def test_a_chain_of_many_records(authority: Authority, server_pair: Pair) -> None:
    pair = authority.sign("large", padding=50_000)
    assert Admission(tls_of(server_pair, authority.file)).why_not([der(pair.cert)]) == ""


def test_fingerprints_are_equal_where_the_same_are_admitted(
    authority: Authority, server_pair: Pair, other: Authority, log: KeyLog, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.pem"
    copy.write_bytes(Path(authority.file).read_bytes())
    own = Admission(tls_of(server_pair, authority.file)).fingerprint
    assert own == Admission(tls_of(server_pair, str(copy))).fingerprint
    assert own == Contexts(tls_of(server_pair, authority.file), log).admits
    others = [
        Admission(tls_of(server_pair, other.file)).fingerprint,
        Admission(tls_of(server_pair, authority.file, "optional")).fingerprint,
        Admission(tls_of(server_pair, authority.file, "none")).fingerprint,
    ]
    assert len({own, *others}) == 4
    assert others[-1] == Contexts(tls_of(server_pair, None), log).admits == b""


def test_a_file_that_is_wrong(server_pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the CA of clients .* cannot be used: No such file"):
        Admission(tls_of(server_pair, str(tmp_path / "nothing")))


def test_an_openssl_that_cannot_do_it_is_told_before_anybody_is_sent_away(
    authority: Authority, server_pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_SUITE", b"\xff\xff")
    with pytest.raises(ConfigError) as caught:
        Admission(tls_of(server_pair, authority.file))
    assert str(caught.value) == "OpenSSL cannot verify clients' certificates again: no shared cipher"
