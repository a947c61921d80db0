"""What a message is said to take once it is parsed: never less than it does, and not much more.

What it takes is measured in a process of its own: Protobuf's memory is not Python's, and is known only by how
the process grows.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import any_pb2, descriptor_pb2, field_mask_pb2, struct_pb2
from google.protobuf.internal import api_implementation
from hypothesis import given
from hypothesis import strategies as st

from actorrpc.hub.metering.weight import Scale, _long_ones, scale_of
from tests.apps.shapes_pb2 import Item

MB = 1 << 20
COPIES = 4

#: A measured size is right to so much, for all copies: a process grows by pages, and in steps.
GRAIN = MB

#: Where that is so, it may be said to take so many times what it does.
TOO_MUCH = 4


def filled(unit: bytes, size: int = MB) -> bytes:
    return unit * (size // len(unit))


def field(number: int, contents: bytes) -> bytes:
    """A field that has a length."""
    assert number < 16 and len(contents) < 128
    return bytes((number << 3 | 2, len(contents))) + contents


def long_field(number: int, contents: bytes) -> bytes:
    length, coded = len(contents), b""
    while length > 127:
        coded += bytes((length & 127 | 128,))
        length >>= 7
    return bytes((number << 3 | 2,)) + coded + bytes((length,)) + contents


def distinct(count: int) -> Iterator[bytes]:
    return (b"%06x" % number for number in range(count))


#: The type, the message, and whether it takes what it could: nothing in it looks like a larger object.
SHAPES: dict[str, tuple[Any, bytes, bool]] = {
    "empty messages": (struct_pb2.ListValue, filled(field(1, b"")), False),
    "one more than twice as many": (struct_pb2.ListValue, field(1, b"") * ((1 << 19) + 1), False),
    "lists in lists": (struct_pb2.ListValue, filled(field(1, field(6, b""))), False),
    "structs in lists": (struct_pb2.ListValue, filled(field(1, field(5, field(1, b"")))), True),
    "the same key": (struct_pb2.Struct, filled(field(1, b"")), False),
    "other keys": (struct_pb2.Struct, b"".join(field(1, field(1, key)) for key in distinct(90_000)), False),
    "other keys with values": (
        struct_pb2.Struct,
        b"".join(field(1, field(1, key) + field(2, field(3, b"x"))) for key in distinct(70_000)),
        False,
    ),
    "one of several, in turn": (struct_pb2.Value, filled(field(5, b"") + field(6, b"")), False),
    "tags longer than they need be": (struct_pb2.ListValue, filled(b"\x8a\0\0"), False),
    "tags of five bytes": (struct_pb2.ListValue, filled(b"\x8a\x80\x80\x80\0\0"), False),
    "empty strings": (field_mask_pb2.FieldMask, filled(field(1, b"")), True),
    "short strings": (field_mask_pb2.FieldMask, filled(field(1, b"a")), True),
    "large types": (descriptor_pb2.FileDescriptorProto, filled(field(4, b"")), True),
    "large types in large types": (descriptor_pb2.FileDescriptorProto, filled(field(4, field(3, b""))), True),
    "with a list each": (descriptor_pb2.FileDescriptorProto, filled(field(4, field(10, b"a"))), True),
    "packed numbers": (descriptor_pb2.FileDescriptorProto, long_field(10, bytes(MB)), False),
    "packed numbers in pieces": (descriptor_pb2.FileDescriptorProto, filled(field(10, bytes(16))), False),
    "numbers by themselves": (descriptor_pb2.FileDescriptorProto, filled(b"\x50\0"), False),
    "packed in places": (
        descriptor_pb2.SourceCodeInfo,
        filled(field(1, field(1, b"\0") + field(2, b"\0"))),
        False,
    ),
    "unknown fields": (any_pb2.Any, filled(b"\x78\0"), False),
    "unknown fields in messages": (struct_pb2.ListValue, filled(field(1, b"\x78\0")), False),
    "a long string": (descriptor_pb2.FileDescriptorProto, long_field(1, b"*2:BJRZbjrz" * 95_000), False),
    "a long string in a message": (
        descriptor_pb2.FileDescriptorProto,
        long_field(4, long_field(1, b"\x0a\0" * 500_000)),
        False,
    ),
    "bytes": (Item, long_field(3, bytes(MB)), False),
}

upb_only = pytest.mark.skipif(api_implementation.Type() != "upb", reason="the figures are those of upb")


def measured(name: str) -> int:
    """Bytes that one message of a shape takes, in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-m", __name__, name],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    return int(run.stdout)


@upb_only
@pytest.mark.parametrize("name", SHAPES)
def test_a_message_takes_no_more_than_it_weighs(name: str) -> None:
    type, payload, dense = SHAPES[name]
    taken, weight = measured(name), scale_of(type.DESCRIPTOR).weigh(payload)
    print(f"{name}: {taken / len(payload):.1f} for a byte, and weighs {weight / len(payload):.1f}")
    assert taken <= weight + GRAIN // COPIES
    if dense:
        assert weight <= TOO_MUCH * taken


@pytest.mark.parametrize("name", ["a long string", "a long string in a message", "bytes"])
def test_text_and_data_weigh_what_they_are(name: str) -> None:
    type, payload, _ = SHAPES[name]
    assert scale_of(type.DESCRIPTOR).weigh(payload) < 1.2 * len(payload)


TYPES = (
    struct_pb2.Struct,
    struct_pb2.ListValue,
    descriptor_pb2.FileDescriptorProto,
    field_mask_pb2.FieldMask,
    Item,
)


@pytest.mark.parametrize("type", TYPES)
@given(st.binary(max_size=5000))
def test_whatever_comes_is_weighed(type: Any, payload: bytes) -> None:
    assert scale_of(type.DESCRIPTOR).weigh(payload) >= len(payload)


def test_small_strings_are_passed_over_while_that_is_quick() -> None:
    blobs = long_field(3, b"\x0a\x12\x1a\x22" * 200) * 1500
    assert scale_of(descriptor_pb2.FileDescriptorProto.DESCRIPTOR).weigh(blobs) < 2 * len(blobs)


def test_numbers_without_an_end_are_not_followed() -> None:
    for payload in (b"\xff" * 4 * MB, b"\x0a" + b"\xff" * 4 * MB):
        assert scale_of(struct_pb2.Struct.DESCRIPTOR).weigh(payload) > 4 * MB


@pytest.mark.parametrize("type", TYPES)
def test_what_is_light_needs_no_look(type: Any) -> None:
    scale = Scale(type.DESCRIPTOR)
    if scale.light >= 0:
        assert scale.weigh(bytes(scale.light)) <= 8192
    assert scale.weigh(bytes(scale._small)) <= 64 * 1024


texts = st.text(st.sampled_from("ab\n\x12\x1a"), max_size=600).map(lambda text: text * 3)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(allow_nan=False), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)


@given(st.dictionaries(texts, values, min_size=1, max_size=5))
def test_what_is_passed_over_is_text(value: dict[str, Any]) -> None:
    """Were it anything else, objects would not be counted."""
    struct = struct_pb2.Struct()
    struct.update(value)
    payload = struct.SerializeToString() * 9  # the same keys again: as good as once
    scale = scale_of(struct.DESCRIPTOR)
    known = {text.encode() for text in _texts(value)}
    for begin, end, _ in _long_ones(payload, scale._type, scale._types):
        assert payload[begin:end] in known


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _texts(each)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _measure(name: str) -> int:
    type, payload, _ = SHAPES[name]
    SHAPES.clear()
    type.FromString(payload[:0])
    before = _resident()
    parsed = [type.FromString(payload) for _ in range(COPIES)]
    return (_resident() - before) // len(parsed)


if __name__ == "__main__":
    print(_measure(sys.argv[1]))
