"""A program: calls all of ``taken_app`` at the address on its command line, by grpcio.

First through the generated stubs, then by paths only, as a client would that knows nothing of actorrpc.
"""

from __future__ import annotations

import sys

import grpc
from taken_actorrpc import TakenStub, UntakenStub
from taken_pb2 import Note

ASKED = Note(text="asked")
UNARY = ("publish_", "on_connect", "import", "key", "Talk_end", "__init__")


def main(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        taken = TakenStub(channel)
        assert taken.state(ASKED, timeout=60).text == "connected"
        assert taken.publish(ASKED, timeout=60).text == "published"
        for name in UNARY:
            path = channel.unary_unary(
                f"/taken.Taken/{name}",
                request_serializer=Note.SerializeToString,
                response_deserializer=Note.FromString,
            )
            stub = getattr(taken, "__init___" if name == "__init__" else name)
            for call in (stub, path):
                assert call(ASKED, timeout=60).text == f"{name} asked"
        assert [reply.text for reply in taken.calls(ASKED, timeout=60)] == ["/taken.Taken/calls"]
        joined = taken.join(iter([ASKED, ASKED]), timeout=60)
        assert [reply.text for reply in joined] == ["join asked", "join asked", "the end"]
        while taken.state(ASKED, timeout=60).text != "asked":  # until what was published has come
            pass
        assert taken.Talk(iter([ASKED, ASKED]), timeout=60).text == "askedaskedasked"
        assert UntakenStub(channel).subscribe(iter([ASKED]), timeout=60).text == "subscribed"


if __name__ == "__main__":
    main(sys.argv[1])
