"""What processes of different versions say of themselves, and whether they understand each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actorrpc.errors import ConfigError
from actorrpc.ipc.hello import Formats, Hello
from actorrpc.pb.control_pb2 import Hello as Message
from actorrpc.pb.control_pb2 import Peer, Ready, Start

OLD = Hello("0.2.0", Formats(1, 1), Formats(1, 1), Formats(4, 4))

#: The hello of 0.2.0, and the messages that carry it, byte for byte. These are never changed: each later
#: version has to read them.
HELLO = bytes.fromhex("0a05302e322e301204080110011a0408011001220408041004")
START = bytes.fromhex("080110e9074a19") + HELLO
READY = bytes.fromhex("0a0272761219") + HELLO
PEER = bytes.fromhex("080110e9071a19") + HELLO


def test_the_hello_stays_as_it_was_in_0_2_0() -> None:
    assert OLD.to_message().SerializeToString() == HELLO
    assert Hello.from_message(Message.FromString(HELLO)) == OLD


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (Start(hub=1, serial=1001, hello=OLD.to_message()), START),
        (Ready(error="rv", hello=OLD.to_message()), READY),
        (Peer(hub=1, serial=1001, hello=OLD.to_message()), PEER),
    ],
)
def test_what_carries_it_stays_too(message: Start | Ready | Peer, data: bytes) -> None:
    assert message.SerializeToString() == data
    assert Hello.from_message(type(message).FromString(data).hello) == OLD


@pytest.mark.parametrize(
    ("ours", "theirs", "spoken"),
    [
        (Formats(1, 1), Formats(1, 1), 1),
        (Formats(1, 2), Formats(1, 1), 1),
        (Formats(1, 1), Formats(1, 2), 1),
        (Formats(1, 3), Formats(2, 4), 3),
        (Formats(2, 4), Formats(1, 3), 3),
    ],
)
def test_two_speak_the_newest_that_both_know(ours: Formats, theirs: Formats, spoken: int) -> None:
    one, other = replace(OLD, links=ours), replace(OLD, links=theirs)
    assert one.agree_on_links(other) == other.agree_on_links(one) == spoken


@pytest.mark.parametrize("theirs", [Formats(0, 0), Formats(1, 1), Formats(4, 5)])
def test_two_that_know_none_of_the_same_say_what_each_knows(theirs: Formats) -> None:
    ours = replace(OLD, snapshots=Formats(2, 3))
    with pytest.raises(ConfigError, match=f"0.2.0 knows the formats 2 to 3 of snapshots, .* {theirs}$"):
        ours.agree_on_snapshots(replace(OLD, version="9", snapshots=theirs))


def test_who_says_nothing_is_of_before_the_hello() -> None:
    with pytest.raises(ConfigError, match=r"actorrpc before 0\.2\.0, which the broker is, 0$"):
        OLD.agree_with_broker(Hello.from_message(Start().hello))
