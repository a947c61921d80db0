"""HPACK (RFC 7541): a decoder made for blocks that repeat, and an encoder without state.

A gRPC client sends the same headers with each call. Once its table has them, a block is a few index bytes
and leaves the table as it is: such a block is looked up as a whole, until the table changes. A client that
sets deadlines has one new literal in each block, which often goes into the table: then fields are decoded one
by one, and only Huffman-coded strings that have not come before cost more than a look-up.
(`hpack`'s decoder needed several times the time of all the rest of a call; its tables are used.)

The encoder uses the static table and literals only: it has nothing to freeze.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hpack.exceptions import HPACKDecodingError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from actorrpc.errors import ConnectionFault
from actorrpc.wire.frames import ErrorCode

__all__ = ["DEFAULT_TABLE_SIZE", "SMALL_BLOCK", "Decoder", "Field", "encode", "encode_field"]

Field = tuple[str, str]

#: SETTINGS_HEADER_TABLE_SIZE by default (RFC 9113, 6.5.2).
DEFAULT_TABLE_SIZE = 4096

#: What an entry counts beyond its name and value (RFC 7541, 4.1).
_ENTRY_OVERHEAD = 32

#: RFC 7541, appendix A. Index 0 is not used.
_STATIC: tuple[Field, ...] = (
    ("", ""),
    *((name.decode(), value.decode()) for name, value in HeaderTable.STATIC_TABLE),
)
_STATIC_LAST = len(_STATIC) - 1

#: The first byte of a field that a table has, with its value: 0x81 for the first entry of the static table,
#: 0xBE for the newest of the dynamic one, and 0xFF where the index is too large for the byte (6.1).
_INDEXED = 0x80
_INDEXED_STATIC = _INDEXED + _STATIC_LAST
_NEWEST = _INDEXED_STATIC + 1
_INDEXED_FAR = 0xFF
_STATIC_NAMES = {name: index for index, (name, _) in reversed(list(enumerate(_STATIC))) if index}
_STATIC_FIELDS = {field: index for index, field in enumerate(_STATIC) if index}

#: Huffman-coded strings that have been decoded before, for all connections; emptied when full.
_huffman_memo: dict[bytes, str] = {}
_HUFFMAN_MEMO_ENTRIES = 4096
_HUFFMAN_MEMO_STRING = 256

#: A decoder remembers whole blocks while its table does not change: those of at most so many bytes, and as
#: many as fit into so much memory, which an idle connection keeps. A block of indexes takes 300 bytes; but a
#: field that no table has is a tuple with two strings.
SMALL_BLOCK = 512
_BLOCK_MEMO_MEMORY = 8192
_BLOCK_ENTRY, _BLOCK_FIELD, _BLOCK_LITERAL = 180, 8, 208

#: A block that is decoded in parts: each ends with the field that reaches so many bytes.
_PART_BYTES = 16_384

#: A character has at most 30 bits of code (RFC 7541, appendix B): a longer code is more text than a table
#: holds.
_LONGEST_CODED = 65_536

_CUT_SHORT = "a header block that ends early or names no entry"


class Decoder:
    """The decoding side of one connection.

    Strings are ISO 8859-1, one character for each byte: what a value may contain is not HPACK's affair.
    """

    __slots__ = ("_blocks", "_blocks_memory", "coded", "entries", "limit", "longest", "max_size", "size")

    def __init__(self, limit: int = DEFAULT_TABLE_SIZE, longest: int = _LONGEST_CODED) -> None:
        #: The dynamic table, newest entry last.
        self.entries: list[Field] = []
        self.size = 0
        #: The size that the peer chose, at most ``limit``, which is our SETTINGS_HEADER_TABLE_SIZE.
        self.max_size = limit
        self.limit = limit
        #: A string with more bytes of Huffman code is returned as the code itself, and no table keeps it.
        self.longest = longest
        #: The bytes of Huffman code in what was decoded last, which take most of the time, and of table size
        #: updates, of which a block may have thousands. Not set for a block of at most ``SMALL_BLOCK`` bytes,
        #: which may have been decoded before.
        self.coded = 0
        self._blocks: dict[bytes, tuple[Field, ...]] = {}
        self._blocks_memory = 0

    def decode(self, block: bytes) -> tuple[Field, ...]:
        """The fields of a complete header block, in order.

        Raises ConnectionFault with COMPRESSION_ERROR (RFC 9113, 4.3) for anything RFC 7541 forbids.
        The fields are no more than ``len(block)``, each shared with the table: memory stays bounded.
        """
        fields = self._blocks.get(block)
        if fields is not None:
            return fields
        try:
            fields, _ = self._fields(block, 0, len(block))
        except (IndexError, HPACKDecodingError) as error:
            raise _compression_error(_CUT_SHORT) from error
        return fields

    def decode_parts(self, block: bytes) -> Iterator[tuple[tuple[Field, ...], int]]:
        """The same as ``decode``, some thousand fields at a time, so that one need not keep them all; with
        each part, how many bytes it had.

        The table is up to date when all parts have been taken.
        """
        position = 0
        while position < len(block):
            begin = position
            try:
                fields, position = self._fields(block, begin, min(begin + _PART_BYTES, len(block)))
            except (IndexError, HPACKDecodingError) as error:
                raise _compression_error(_CUT_SHORT) from error
            yield fields, position - begin

    def _fields(self, block: bytes, position: int, stop: int) -> tuple[tuple[Field, ...], int]:
        """The fields that begin before ``stop``, and where the next one does."""
        # Plain and long on purpose: where calls have deadlines, each of them comes through here.
        fields: list[Field] = []
        literals = 0
        entries = self.entries
        changed = False
        self.coded = 0
        begin = position
        end = len(block)
        while position < stop:
            byte = block[position]
            position += 1
            if byte >= _NEWEST and byte != _INDEXED_FAR:
                fields.append(entries[_INDEXED_STATIC - byte])
                continue
            if byte > _INDEXED and byte != _INDEXED_FAR:
                fields.append(_STATIC[byte - _INDEXED])
                continue
            if byte & 0x80:
                index, position = _integer(block, position, 0x7F) if byte & 0x7F else (0, position)
                fields.append(self._entry(index))
                continue
            if byte & 0x40:  # literal with incremental indexing (6.2.1)
                index = byte & 0x3F
                prefix = 0x3F
            elif byte & 0x20:  # dynamic table size update (6.3)
                index = byte & 0x1F
                self.coded += 1
                if index == 0x1F:
                    index, position = _integer(block, position, 0x1F)
                    self.coded += 1
                if fields or begin:
                    raise _compression_error("a table size update after a field")
                self._resize(index)
                changed = True
                continue
            else:  # literal without indexing, or never indexed (6.2.2, 6.2.3)
                index = byte & 0x0F
                prefix = 0x0F
            if index == prefix:
                index, position = _integer(block, position, prefix)
            if index:
                name = self._entry(index)[0]
            else:
                name, position = self._string(block, position)
            length = block[position]
            if length < 0x7F:  # neither Huffman-coded nor long: as `_string` does it
                position += 1 + length
                if position > end:
                    raise IndexError(position)
                value = str(block[position - length : position], "latin-1")
            else:
                value, position = self._string(block, position)
            field = (name, value)
            fields.append(field)
            literals += 1
            if byte & 0x40:
                self._insert(field)
                changed = True
        decoded = tuple(fields)
        if changed:
            if self._blocks_memory:
                self._blocks.clear()
                self._blocks_memory = 0
        elif end <= SMALL_BLOCK:
            self._remember(block, decoded, literals)
        return decoded, position

    def _remember(self, block: bytes, fields: tuple[Field, ...], literals: int) -> None:
        """Keep a block that has left the table as it is, and its fields."""
        memory = _BLOCK_ENTRY + 3 * len(block) + _BLOCK_FIELD * len(fields) + _BLOCK_LITERAL * literals
        if self._blocks_memory + memory > _BLOCK_MEMO_MEMORY:
            self._blocks.clear()
            self._blocks_memory = 0
            if memory > _BLOCK_MEMO_MEMORY:
                return
        self._blocks[block] = fields
        self._blocks_memory += memory

    def _string(self, block: bytes, position: int) -> tuple[str, int]:
        """A string literal (RFC 7541, 5.2), and the position behind it."""
        byte = block[position]
        length = byte & 0x7F
        position += 1
        if length == 0x7F:
            length, position = _integer(block, position, 0x7F)
        end = position + length
        if end > len(block):
            raise IndexError(end)
        raw = block[position:end]
        if byte < 0x80:
            return str(raw, "latin-1"), end
        if length > self.longest:
            return str(raw, "latin-1"), end
        self.coded += length  # known or not: what a client pays does not depend on what others have sent
        text = _huffman_memo.get(raw)
        if text is None:
            text = decode_huffman(raw).decode("latin-1")
            if length <= _HUFFMAN_MEMO_STRING:
                if len(_huffman_memo) >= _HUFFMAN_MEMO_ENTRIES:
                    _huffman_memo.clear()
                _huffman_memo[raw] = text
        return text, end

    def _entry(self, index: int) -> Field:
        if 0 < index <= _STATIC_LAST:
            return _STATIC[index]
        offset = index - _STATIC_LAST
        if not 0 < offset <= len(self.entries):
            raise IndexError(index)
        return self.entries[-offset]

    def _insert(self, field: Field) -> None:
        self.entries.append(field)
        self.size += len(field[0]) + len(field[1]) + _ENTRY_OVERHEAD
        if self.size > self.max_size:
            self._evict()

    def _resize(self, size: int) -> None:
        if size > self.limit:
            raise _compression_error(f"a table of {size} bytes, over the limit of {self.limit}")
        self.max_size = size
        self._evict()

    def _evict(self) -> None:
        """Drop the oldest entries until the table fits (RFC 7541, 4.3 and 4.4)."""
        entries = self.entries
        gone = 0
        size = self.size
        while size > self.max_size:
            name, value = entries[gone]
            size -= len(name) + len(value) + _ENTRY_OVERHEAD
            gone += 1
        del entries[:gone]
        self.size = size

    def restore(self, entries: Iterable[Field], max_size: int) -> None:
        """Take over another decoder's ``entries`` and ``max_size``. Raises ConnectionFault if it cannot."""
        self._resize(max_size)
        for field in entries:
            self._insert(field)

    def __repr__(self) -> str:
        return f"<Decoder {len(self.entries)} entries, {self.size} of {self.max_size} bytes>"


def _integer(block: bytes, position: int, prefix: int) -> tuple[int, int]:
    """An integer whose prefix was full (RFC 7541, 5.1), and the position behind it."""
    value = prefix
    shift = 0
    while True:
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
        shift += 7
        if shift > 28:
            raise _compression_error("an integer of more than 32 bits")


def _compression_error(what: str) -> ConnectionFault:
    return ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"HPACK: {what}")


def encode_field(name: bytes, value: bytes) -> bytes:
    """One field: indexed where the static table has it whole, else a literal that no table keeps."""
    index = _STATIC_FIELDS.get((name.decode("latin-1"), value.decode("latin-1")))
    if index is not None:
        return bytes((0x80 | index,))
    index = _STATIC_NAMES.get(name.decode("latin-1"))
    if index is not None:
        return _encode_integer(index, 0x0F, 0) + _encode_string(value)
    return b"\x00" + _encode_string(name) + _encode_string(value)


def encode(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A header block."""
    return b"".join(encode_field(name, value) for name, value in fields)


def _encode_string(text: bytes) -> bytes:
    return _encode_integer(len(text), 0x7F, 0) + text


def _encode_integer(value: int, prefix: int, pattern: int) -> bytes:
    if value < prefix:
        return bytes((pattern | value,))
    out = bytearray((pattern | prefix,))
    value -= prefix
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
