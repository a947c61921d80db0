"""The frames of what was said on an HTTP/2 connection, as hyperframe reads them.

What measures actorrpc does not rely on actorrpc's own session.
"""

from __future__ import annotations

from hyperframe.frame import Frame, PingFrame, SettingsFrame

__all__ = ["PREFACE", "answer", "split"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def split(data: bytes) -> tuple[list[Frame], bytes]:
    """The complete frames of ``data``, which begins with one, and the bytes that are left."""
    frames: list[Frame] = []
    rest = memoryview(data)
    while len(rest) >= 9:
        frame, length = Frame.parse_frame_header(rest[:9])
        if len(rest) - 9 < length:
            break
        frame.parse_body(rest[9 : 9 + length])
        frames.append(frame)
        rest = rest[9 + length :]
    return frames, bytes(rest)


def answer(frame: SettingsFrame | PingFrame) -> Frame:
    """The ACK that a frame of the peer's wants."""
    if isinstance(frame, PingFrame):
        return PingFrame(0, frame.opaque_data, flags=["ACK"])
    return SettingsFrame(0, flags=["ACK"])
