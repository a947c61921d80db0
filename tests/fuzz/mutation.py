"""Recordings with changes: most keep the frames whole, so that the change is read and not a broken length."""

from __future__ import annotations

from random import Random

from tests.support.raw import PREFACE

from .grammar import Client, random_steps

__all__ = ["mutate", "split"]

_LIMIT = 1 << 16


def split(data: bytes) -> list[bytes]:
    """The preface, if it is whole, each frame, and what is left."""
    parts = []
    at = len(PREFACE) if data.startswith(PREFACE) else 0
    if at:
        parts.append(PREFACE)
    while len(data) - at >= 9:
        end = at + 9 + int.from_bytes(data[at : at + 3], "big")
        if end > len(data):
            break
        parts.append(data[at:end])
        at = end
    if at < len(data):
        parts.append(data[at:])
    return parts


def mutate(data: bytes, random: Random, limit: int = _LIMIT) -> bytes:
    """A few changes to what a client sent; at most ``limit`` bytes of it."""
    parts = split(data)
    for _ in range(1 + random.randrange(4)):
        at = random.randrange(len(parts)) if parts else 0
        _CHANGES[random.randrange(len(_CHANGES))](parts, at, random)
    return b"".join(parts)[:limit]


def _drop(parts: list[bytes], at: int, random: Random) -> None:
    del parts[at : at + 1]


def _double(parts: list[bytes], at: int, random: Random) -> None:
    parts[at:at] = parts[at : at + 1] * (1 + random.randrange(3))


def _swap(parts: list[bytes], at: int, random: Random) -> None:
    parts[at : at + 2] = reversed(parts[at : at + 2])


def _header(parts: list[bytes], at: int, random: Random) -> None:
    """Another type, flag or stream."""
    if at < len(parts) and len(parts[at]) >= 9:
        part = bytearray(parts[at])
        where = random.choice((3, 4, 4, 8, 8))
        part[where] = random.randrange(11) if where == 3 else part[where] ^ 1 << random.randrange(8)
        parts[at] = bytes(part)


def _payload(parts: list[bytes], at: int, random: Random) -> None:
    """Other bytes in the payload; its length stays what the header says."""
    if at < len(parts) and len(parts[at]) > 9:
        part = bytearray(parts[at])
        for _ in range(1 + random.randrange(3)):
            part[random.randrange(9, len(part))] = random.randrange(256)
        parts[at] = bytes(part)


def _resize(parts: list[bytes], at: int, random: Random) -> None:
    """A shorter or longer payload, and a length that says so."""
    if at < len(parts) and len(parts[at]) >= 9:
        payload = parts[at][9:]
        payload = payload[: random.randrange(len(payload) + 1)] + random.randbytes(random.randrange(6))
        parts[at] = len(payload).to_bytes(3, "big") + parts[at][3:9] + payload


def _insert(parts: list[bytes], at: int, random: Random) -> None:
    """What some other client would do."""
    client = Client()
    client.next = 1 + 2 * random.randrange(8)
    client.sending = [client.next]
    client.next += 2
    steps = random_steps(random, 1 + random.randrange(3))
    parts[at:at] = [client.write(step) for step in steps]


def _byte(parts: list[bytes], at: int, random: Random) -> None:
    """Any byte, whatever it does to the frames."""
    if at < len(parts):
        part = bytearray(parts[at])
        if part:
            part[random.randrange(len(part))] = random.randrange(256)
        parts[at] = bytes(part)


_CHANGES = [_drop, _double, _swap, _header, _header, _payload, _payload, _resize, _insert, _insert, _byte]
