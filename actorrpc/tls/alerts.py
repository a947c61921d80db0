"""Alerts (RFC 9846, 6): how a side says that it sends no more, or what is wrong."""

from __future__ import annotations

__all__ = ["FATAL", "WARNING", "Alert", "alert_message", "alert_name"]

WARNING, FATAL = 1, 2


class Alert:
    """Descriptions of alerts that mean something here: plain numbers, since a peer may send any."""

    CLOSE_NOTIFY = 0
    UNEXPECTED_MESSAGE = 10
    BAD_RECORD_MAC = 20
    RECORD_OVERFLOW = 22
    HANDSHAKE_FAILURE = 40
    BAD_CERTIFICATE = 42
    UNSUPPORTED_CERTIFICATE = 43
    CERTIFICATE_REVOKED = 44
    CERTIFICATE_EXPIRED = 45
    CERTIFICATE_UNKNOWN = 46
    ILLEGAL_PARAMETER = 47
    UNKNOWN_CA = 48
    ACCESS_DENIED = 49
    DECODE_ERROR = 50
    DECRYPT_ERROR = 51
    PROTOCOL_VERSION = 70
    INSUFFICIENT_SECURITY = 71
    INTERNAL_ERROR = 80
    INAPPROPRIATE_FALLBACK = 86
    USER_CANCELED = 90
    MISSING_EXTENSION = 109
    UNSUPPORTED_EXTENSION = 110
    UNRECOGNIZED_NAME = 112
    CERTIFICATE_REQUIRED = 116
    GENERAL_ERROR = 117
    NO_APPLICATION_PROTOCOL = 120


_NAMES = {number: name.lower() for name, number in vars(Alert).items() if isinstance(number, int)}


def alert_name(description: int) -> str:
    """As RFC 9846 calls it, or its number."""
    return _NAMES.get(description, f"alert {description}")


def alert_message(description: int) -> bytes:
    """What an alert record says. Only ``close_notify`` and ``user_canceled`` are not fatal."""
    level = WARNING if description in (Alert.CLOSE_NOTIFY, Alert.USER_CANCELED) else FATAL
    return bytes((level, description))
