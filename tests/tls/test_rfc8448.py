"""The numbers of RFC 8448, "Example Handshake Traces for TLS 1.3", 3 and 4: the key schedule and whole
records."""

from __future__ import annotations

import pytest

from actorrpc.tls.hkdf import expand_label, next_secret, traffic_iv, traffic_key
from actorrpc.tls.record_layer import take_over
from actorrpc.tls.records import ALERT, HANDSHAKE
from actorrpc.tls.suites import SUITES, Suite
from tests.support.tls_client import AES_128, Key

SUITE = SUITES[AES_128]

#: 3: the application traffic secrets of client and server, and what both send with them.
CLIENT_SECRET = bytes.fromhex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5")
SERVER_SECRET = bytes.fromhex("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643")
#: NewSessionTicket, and the record that it came in: the first that the server sealed with that secret.
TICKET = bytes.fromhex(
    "040000c90000001efad6aac502000000b22c035d829359ee5ff7af4ec900000000262a6494dc486d2c8a34cb33fa90bf1b0070ad3c49"
    "8883c9367c09a2be785abc55cd226097a3a982117283f82a03a143efd3ff5dd36d64e861be7fd61d2827db279cce145077d454a3664d"
    "4e6da4d29ee03725a6a4dafcd0fc67d2aea70529513e3da2677fa5906c5b3f7d8f92f228bda40dda721470f9fbf297b5aea617646fac"
    "5c03272e970727c621a79141ef5f7de6505e5bfbc388e93343694093934ae4d3570008002a000400000400"
)
TICKET_RECORD = bytes.fromhex(
    "17030300de3a6b8f90414a97d6959c3487680de5134a2b240e6cffac116e95d41d6af8f6b580dcf3d11d63c758db289a015940252f55"
    "713e061dc13e078891a38efbcf5753ad8ef170ad3c7353d16d9da773b9ca7f2b9fa1b6c0d4a3d03f75e09c30ba1e62972ac46f75f7b9"
    "81be63439b2999ce13064615139891d5e4c5b406f16e3fc181a77ca475840025db2f0a77f81b5ab05b94c01346755f69232c86519d86"
    "cbeeac87aac347d143f9605d64f650db4d023e70e952ca49fe5137121c74bc2697687e248746d6df353005f3bce18696129c8153556b"
    "3b6c6779b37bf15985684f"
)
#: 50 bytes of data, 0 to 49, from each side, and close_notify.
DATA = bytes(range(50))
CLIENT_DATA = bytes.fromhex(
    "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a62"
    "92a2977014bd1e3deae63aeebb21694915e4"
)
SERVER_DATA = bytes.fromhex(
    "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2e5"
    "f0a21c0047c2abf332540dd032e167c2955d"
)
CLIENT_END = bytes.fromhex("1703030013c9872760655666b74d7ff1153efd6db6d0b0e3")
SERVER_END = bytes.fromhex("1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9")


@pytest.mark.parametrize(
    ("secret", "key", "iv"),
    [
        # 3: server handshake, client handshake, server application, client application.
        (
            "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38",
            "3fce516009c21727d0f2e4e86ee403bc",
            "5d313eb2671276ee13000b30",
        ),
        (
            "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21",
            "dbfaa693d1762c5b666af5d950258d01",
            "5bd3c71b836e0b76bb73265f",
        ),
        (SERVER_SECRET.hex(), "9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984"),
        (CLIENT_SECRET.hex(), "17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9"),
        # 4: client early, server handshake, server application, client handshake, client application.
        (
            "3fbbe6a60deb66c30a32795aba0eff7eaa10105586e7be5c09678d63b6caab62",
            "920205a5b7bf2115e6fc5c2942834f54",
            "6d475f0993c8e564610db2b9",
        ),
        (
            "fe927ae271312e8bf0275b581c54eef020450dc4ecffaa05a1a35d27518e7803",
            "27c6bdc0a3dcea39a47326d79bc9e4ee",
            "9569ecdd4d0536705e9ef725",
        ),
        (
            "cc21f1bf8feb7dd5fa505bd9c4b468a9984d554a993dc49e6d285598fb672691",
            "e857c690a34c5a9129d833619684f95e",
            "0685d6b561aab9ef1013faf9",
        ),
        (
            "2faac08f851d35fea3604fcb4de82dc62c9b164a70974d0462e27f1ab278700f",
            "b1530806f4adfeac83f1413032bbfa82",
            "eb50c16be7654abf99dd06d9",
        ),
        (
            "2abbf2b8e381d23dbebe1dd2a7d16a8bf484cb4950d23fb7fb7fa8547062d9a1",
            "3cf122f301c6358ca7989553250efd72",
            "ab1aec26aa78b8fc1176b9ac",
        ),
    ],
)
def test_keys(secret: str, key: str, iv: str) -> None:
    assert traffic_key(bytes.fromhex(secret), SUITE).hex() == key
    assert traffic_iv(bytes.fromhex(secret), SUITE).hex() == iv


def test_a_label_without_a_context() -> None:
    """3 and 4: the key that the server's Finished is made with, and the one of the binder."""
    secret = bytes.fromhex("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38")
    finished = expand_label(secret, b"finished", 32, "sha256")
    assert finished.hex() == "008d3b66f816ea559f96b537e885c31fc068bf492c652f01f288a1d8cdc19fc8"
    secret = bytes.fromhex("69fe131a3bbad5d63c64eebcc30e395b9d8107726a13d074e389dbc8a4e47256")
    finished = expand_label(secret, b"finished", 32, "sha256")
    assert finished.hex() == "5588673e72cb59c87d220caffe94f2dea9a3b1609f7d50e90a48227db9ed7eaa"


def test_a_server_seals_what_the_trace_has() -> None:
    layer = take_over(SUITE, SERVER_SECRET, CLIENT_SECRET)
    assert layer.outbound.protection.seal(HANDSHAKE, TICKET) == TICKET_RECORD
    assert layer.send(DATA) == SERVER_DATA
    assert layer.close() == SERVER_END


def test_a_server_opens_what_the_trace_has() -> None:
    layer = take_over(SUITE, SERVER_SECRET, CLIENT_SECRET)
    assert layer.receive(CLIENT_DATA) == DATA
    assert not layer.ended
    assert layer.receive(CLIENT_END) == b""
    assert layer.ended


def test_a_client_opens_what_the_trace_has() -> None:
    """It counts the ticket as a record, as one who takes over after it does."""
    layer = take_over(SUITE, CLIENT_SECRET, SERVER_SECRET, opened=1)
    assert layer.receive(SERVER_DATA + SERVER_END) == DATA
    assert layer.ended
    assert layer.send(DATA) == CLIENT_DATA
    assert layer.outbound.protection.seal(ALERT, b"\1\0") == CLIENT_END


def test_the_tests_own_client_agrees_with_the_trace() -> None:
    server = Key(AES_128, SERVER_SECRET)
    assert server.open(TICKET_RECORD) == (22, TICKET)
    assert server.open(SERVER_DATA) == (23, DATA)
    assert server.open(SERVER_END) == (21, b"\1\0")


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_each_suite_derives_what_another_hkdf_does(suite: Suite) -> None:
    """RFC 8448 has no KeyUpdate, and one suite only: the rest is compared with ``cryptography``'s HKDF."""
    key = Key(suite.number, bytes(range(suite.hash_length)))
    for _ in range(3):
        assert traffic_key(key.secret, suite) == key.key
        assert traffic_iv(key.secret, suite) == key.iv
        following = next_secret(key.secret, suite)
        key.update()
        assert following == key.secret
    assert expand_label(key.secret, b"long", 200, suite.hash) == key.expand("long", 200)
