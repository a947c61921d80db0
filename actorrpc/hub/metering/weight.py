"""How much memory a message takes once it is parsed, at most: told from its bytes, without parsing it.

Two bytes on the wire can be a message in a message, and that is an object: with a type of 300 fields 2.5 kB.
So a message is weighed by its type. Whatever is an object begins with its tag, and the first byte of that is
one of a few; as many objects can be in a message as there are such bytes in it. A byte that is something else
counts as well, so that text and numbers weigh more than they take: but for long ones, which are looked for
among the first fields. All else is counted in C: a megabyte of the smallest objects is weighed in 5 ms and
parsed in 6 to 300.

The figures are upb's, which is what the wheels of protobuf parse with, measured and rounded up. Protobuf in
pure Python takes more for each object, and makes objects of unknown fields too.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.internal import api_implementation

__all__ = ["Scale", "scale_of"]

#: What takes no more than this need not be counted: an open call, with the stack of its handler, takes more.
_LIGHT = 8192
#: What takes no more than this, whatever is in it, is not looked at: that would take a microsecond.
_SMALL = 64 * 1024

_UPB = api_implementation.Type() == "upb"

#: An object that is a message, beside its fields; and what it has beside itself if it has unknown ones.
_MESSAGE = 24 if _UPB else 640
_UNKNOWNS = 64
#: Of a message, a field that is a string, and one that is a list, a message or a large number.
_STRING_FIELD = 16
_FIELD = 8
#: A list that is not empty, beside its elements: its header, and room for the first four. A map, too.
_LIST = 88 if _UPB else 240
_MAP = 224 if _UPB else 480
#: How much more than its elements a list takes that has just grown to twice its size: what it had before is
#: given back only with the message.
_GROWTH = 3
#: An entry of a map that has just grown.
_ENTRY = 128 if _UPB else 480
#: A string has a length that memory is given out in.
_STRING = 8 if _UPB else 80
#: What the arena keeps for later, or cannot use at the end of a block.
_SLACK = 1.1
#: A message that is alone.
_ROOT = 2048
#: Strings and packed numbers of so many bytes are looked for: among some fields, one for so many bytes of the
#: message, and further as long as fields have so many. A look takes half a microsecond.
_LONG = 64
_MOST_LOOKS = 32
_BYTES_FOR_A_LOOK = 512
#: In pure Python, a byte of unknown fields.
_UNKNOWN = 0 if _UPB else 90

#: What a number takes that has not the size of the others.
_SIZES = {
    FieldDescriptor.CPPTYPE_STRING: _STRING_FIELD,
    FieldDescriptor.CPPTYPE_BOOL: 1,
    FieldDescriptor.CPPTYPE_INT32: 4,
    FieldDescriptor.CPPTYPE_UINT32: 4,
    FieldDescriptor.CPPTYPE_ENUM: 4,
    FieldDescriptor.CPPTYPE_FLOAT: 4,
}
#: Bytes of memory for a byte on the wire, in lists of numbers: a varint may be one byte.
_PACKED = {
    **dict.fromkeys(
        (
            FieldDescriptor.TYPE_DOUBLE,
            FieldDescriptor.TYPE_FLOAT,
            FieldDescriptor.TYPE_FIXED64,
            FieldDescriptor.TYPE_SFIXED64,
            FieldDescriptor.TYPE_FIXED32,
            FieldDescriptor.TYPE_SFIXED32,
            FieldDescriptor.TYPE_BOOL,
        ),
        _GROWTH,
    ),
    **dict.fromkeys(
        (
            FieldDescriptor.TYPE_INT32,
            FieldDescriptor.TYPE_UINT32,
            FieldDescriptor.TYPE_SINT32,
            FieldDescriptor.TYPE_ENUM,
        ),
        4 * _GROWTH,
    ),
    **dict.fromkeys(
        (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_SINT64), 8 * _GROWTH
    ),
}

# Wire types of tags (encoding.md, "Message Structure").
_VARINT, _I64, _LEN, _GROUP, _I32 = 0, 1, 2, 3, 5
_FIXED = {_I64: 8, _I32: 4}
_WIRE_TYPES = {
    FieldDescriptor.TYPE_DOUBLE: _I64,
    FieldDescriptor.TYPE_FIXED64: _I64,
    FieldDescriptor.TYPE_SFIXED64: _I64,
    FieldDescriptor.TYPE_FLOAT: _I32,
    FieldDescriptor.TYPE_FIXED32: _I32,
    FieldDescriptor.TYPE_SFIXED32: _I32,
}


class Scale:
    """Weighs messages of one type."""

    def __init__(self, type: Descriptor) -> None:
        costs: dict[int, tuple[int, int]] = {}
        heads: dict[int, int] = {}
        numbers: set[int] = set()
        self._per_number = 0
        self._type = type.full_name
        #: For all types that may be in it, by name, and each field, by number: the name of its type, if that
        #: is a message's; else what a byte of it takes beside itself, where it has a length.
        self._types: dict[str, dict[int, str | int]] = {}
        for each in _reachable(type):
            self._types[each.full_name] = {field.number: _contents(field) for field in _fields(each)}
            for field in _fields(each):
                for byte in (first := _first_bytes(field)):
                    cost, most = costs.get(byte, (0, 0))
                    costs[byte] = (max(cost, _cost(field)), max(most, _heads_in(field.message_type)))
                    heads[byte] = max(_head(field), heads.get(byte, 0))
                if _is_repeated(field) and _PACKED.get(field.type, 0):
                    numbers |= first
                    self._per_number = max(self._per_number, _PACKED[field.type])
        #: What begins with one of these bytes takes so much, and may have so many lists and maps in it. Few
        #: classes: each is a look at all of a message.
        self._classes = _classes(costs)
        #: What begins with one of these may be the first in a list or a map, and have packed numbers in it.
        self._heads = _classes({byte: (head, 0) for byte, head in heads.items()})
        self._numbers = bytes(sorted(numbers))
        self._root = _ROOT + _size(type) + _heads_in(type) * _MAP
        most = max((cost for cost, _ in costs.values()), default=0) + max(heads.values(), default=0)
        #: Whatever is an object has a tag and one byte more; so each byte takes this at most.
        self._most_per_byte = (most / 2 + self._per_number + 1 + _UNKNOWN) * _SLACK
        #: A message of so many bytes need not be counted; and one of so many need not be looked at.
        self.light, self._small = (
            max(-1, int((limit - self._root) / self._most_per_byte)) for limit in (_LIGHT, _SMALL)
        )

    def weigh(self, payload: bytes) -> int:
        """The memory that the message in ``payload`` takes once it is parsed, at most. It is not checked."""
        length = len(payload)
        if length <= self._small:
            return self._root + int(length * self._most_per_byte)
        payload, weight = self._without_long(payload)
        weight += length + len(payload) * _UNKNOWN
        heads = 0
        for first_bytes, cost, most in self._classes:
            count = _count(payload, first_bytes)
            heads += count * most
            weight += count * cost
        for first_bytes, head, _ in self._heads:
            count = min(heads, _count(payload, first_bytes))
            heads -= count
            weight += count * head
        if _count(payload, self._numbers):
            weight += len(payload) * self._per_number
        return self._root + int(weight * _SLACK)

    def _without_long(self, payload: bytes) -> tuple[bytes, int]:
        """The message without what is in the long strings and packed numbers among its first fields, and what
        that takes beside its own bytes."""
        kept, begin, weight = [], 0, 0
        for start, end, per_byte in _long_ones(payload, self._type, self._types):
            kept.append(payload[begin:start])
            begin = end
            weight += (end - start) * per_byte
        return b"".join((*kept, payload[begin:])), weight

    def __repr__(self) -> str:
        costs = ", ".join(f"{cost} for {len(first)} tags" for first, cost, _ in self._classes)
        return f"<Scale {self._most_per_byte:.0f} for a byte at most, {costs}>"


@cache
def scale_of(type: Descriptor) -> Scale:
    """The scale of a message type."""
    return Scale(type)


def _count(payload: bytes, wanted: bytes) -> int:
    """How many of its bytes are one of those."""
    return len(payload) - len(payload.translate(None, wanted)) if wanted else 0


def _reachable(root: Descriptor) -> list[Descriptor]:
    """The type, and those of all messages that may be in it."""
    found = {root.full_name: root}
    waiting = [root]
    while waiting:
        for field in _fields(waiting.pop()):
            type = field.message_type
            if type is not None and type.full_name not in found:
                found[type.full_name] = type
                waiting.append(type)
    return list(found.values())


def _fields(type: Descriptor) -> Iterator[FieldDescriptor]:
    yield from type.fields
    if type.is_extendable:
        yield from type.file.pool.FindAllExtensions(type)


def _is_map(field: FieldDescriptor) -> bool:
    type = field.message_type
    return type is not None and bool(type.GetOptions().map_entry)


def _is_repeated(field: FieldDescriptor) -> bool:
    """Whether it is a list."""
    repeated: Any = getattr(field, "is_repeated", None)
    if repeated is None:  # protobuf before 6.31, where `label` is not deprecated yet
        repeated = getattr(field, "label") == FieldDescriptor.LABEL_REPEATED  # noqa: B009
    return bool(repeated) and not _is_map(field)


def _heads_in(type: Descriptor | None) -> int:
    """How many lists and maps a message of that type may have."""
    if type is None:
        return 0
    return sum(bool(_head(field)) for field in _fields(type))


def _head(field: FieldDescriptor) -> int:
    """What a list or a map takes beside its elements, once it has one: its head."""
    if _is_map(field):
        return _MAP
    return _LIST if _is_repeated(field) else 0


def _size(type: Descriptor) -> int:
    """What a message of that type takes that has nothing in it but unknown fields."""
    if not _UPB:
        return _MESSAGE
    alone = [_field_size(field) for field in type.fields if field.containing_oneof is None]
    shared = [4 + max(_field_size(field) for field in each.fields) for each in type.oneofs]
    return _MESSAGE + _UNKNOWNS + sum(alone) + sum(shared) + len(alone) // 8


def _field_size(field: FieldDescriptor) -> int:
    """What a message has for a field, set or not."""
    return _FIELD if field.message_type is not None or _is_repeated(field) else _number_size(field)


def _number_size(field: FieldDescriptor) -> int:
    return _SIZES.get(field.cpp_type, _FIELD)


def _cost(field: FieldDescriptor) -> int:
    """What comes with a tag of that field takes, beside its bytes, what is in it, and the head of a list."""
    cost, type = 0, field.message_type
    if type is not None and _is_map(field):
        return _ENTRY + sum(_cost(each) for each in type.fields)
    if type is not None:
        cost = _size(type)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        cost = _STRING
    if _is_repeated(field):
        cost += _GROWTH * (_FIELD if type is not None else _number_size(field))
    elif field.is_extension:
        cost += _ENTRY
    return cost


def _contents(field: FieldDescriptor) -> str | int:
    """What ``Scale._types`` says of a field."""
    if field.message_type is not None:
        return str(field.message_type.full_name)
    return _PACKED.get(field.type, 0)


def _long_ones(
    payload: bytes, type: str, types: dict[str, dict[int, str | int]]
) -> Iterator[tuple[int, int, int]]:
    """Where long strings and packed numbers, known or unknown, begin and end, with what a byte of them takes
    beside itself. The walk goes into messages, and ends where the payload is not a message, or after a
    while."""
    inside = [(len(payload), type)]
    at = 0
    try:
        looks = 0
        least = min(_MOST_LOOKS, len(payload) // _BYTES_FOR_A_LOOK)
        while looks < least or at >= looks * _BYTES_FOR_A_LOOK:
            looks += 1
            while at == inside[-1][0]:
                inside.pop()
            tag, at = _varint(payload, at)
            wire_type = tag & 7
            if wire_type == _VARINT:
                _, at = _varint(payload, at)
            elif wire_type in _FIXED:
                at += _FIXED[wire_type]
            elif wire_type == _LEN:
                length, at = _varint(payload, at)
                if at + length > inside[-1][0]:
                    return
                contents = types[inside[-1][1]].get(tag >> 3, 0)
                if isinstance(contents, str):
                    inside.append((at + length, contents))
                    continue
                if length >= _LONG:
                    yield at, at + length, contents
                at += length
            else:
                return
            if at > inside[-1][0]:
                return
    except IndexError:  # its end
        return


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    """A number (encoding.md, "Base 128 Varints"), and the position behind it. Raises IndexError for none."""
    value = 0
    for shift in range(0, 64, 7):
        byte = payload[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise IndexError(at)  # no message has one of more bytes


def _first_bytes(field: FieldDescriptor) -> set[int]:
    """What a tag may begin with that brings an object. As any varint, it may be longer than it needs to."""
    if field.type == FieldDescriptor.TYPE_GROUP:
        types = {_GROUP}
    elif field.message_type is not None or field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        types = {_LEN}
    elif _is_repeated(field) or field.is_extension:
        types = {_LEN, _WIRE_TYPES.get(field.type, _VARINT)}
    else:
        return set()  # a number in its place takes nothing of its own
    tags = {field.number << 3 | type for type in types}
    return {tag & 0x7F | 0x80 for tag in tags} | {tag for tag in tags if tag < 0x80}


def _classes(costs: dict[int, tuple[int, int]]) -> list[tuple[bytes, int, int]]:
    """First bytes with about the same cost, together, with the largest costs; the largest first."""
    classes: dict[tuple[int, bool], list[int]] = {}
    for byte, (cost, most) in costs.items():
        if cost:
            classes.setdefault(((cost * cost).bit_length(), most > 0), []).append(byte)
    found = [
        (bytes(sorted(group)), max(costs[byte][0] for byte in group), max(costs[byte][1] for byte in group))
        for group in classes.values()
    ]
    return sorted(found, key=lambda each: each[1], reverse=True)
