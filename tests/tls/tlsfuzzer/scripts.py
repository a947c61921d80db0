"""Which of tlsfuzzer's scripts are run, with which options, and why some of what they want is not so here.

Left out are those of what a server has to be told to do or does not have here (resumption, PSK, tickets in
number, KeyUpdate at once, authentication after the handshake, certificate compression, ML-KEM and ML-DSA), of
what is TLS 1.2's (renegotiation, downgrades), and of timing.
"""

from __future__ import annotations

import re

__all__ = ["CLIENTS", "SCRIPTS", "explanation"]

#: Options by script, without "test-tls13-" before it and ".py" behind.
SCRIPTS: dict[str, tuple[str, ...]] = {
    # Records, alerts, keys: our record layer, after the handshake, and OpenSSL before that.
    "ccs": (),
    "connection-abort": ("-n", "10"),
    "conversation": (),
    "empty-alert": (),
    "keyupdate": ("-n", "0"),
    "lengths": ("-n", "100"),
    "multiple-ccs-messages": (),
    "record-layer-limits": (),
    "record-padding": (),
    "symetric-ciphers": ("-n", "100"),
    "unencrypted-alert": (),
    "zero-content-type": (),
    "zero-length-data": (),
    # The handshake: OpenSSL, with what we look at before it.
    "0rtt-garbage": (),
    "certificate-verify": ("-n", "30"),
    "count-tickets": ("-t", "0"),
    "crfg-curves": (),
    "ecdhe-curves": ("-n", "30"),
    "finished": ("-n", "50"),
    "finished-plaintext": (),
    "hrr": (),
    "invalid-ciphers": ("-n", "30"),
    "keyshare-omitted": (),
    "large-number-of-extensions": (),
    "legacy-version": (),
    "nociphers": (),
    "pkcs-signature": (),
    "rsa-signatures": (),
    "signature-algorithms": ("-n", "0"),
    "unrecognised-groups": ("-n", "30"),
}

#: Those that need a server which asks for certificates, and show one.
CLIENTS = {"certificate-verify"}

_OPENSSL = "OpenSSL's handshake does so"
_TOO_LONG = "a ClientHello of more than 64 kB is not taken"
_UPDATE = "our KeyUpdate comes before our next data, and once for several requests (RFC 9846, 4.7.3)"

#: By script: which conversations fail, and why.
_EXPLAINED: dict[str, dict[str, str]] = {
    "connection-abort": {"After NewSessionTicket": "there are no tickets"},
    "multiple-ccs-messages": {
        "CCS": f"decode_error for a change_cipher_spec in the place of ServerHello: {_OPENSSL}"
    },
    "record-layer-limits": {"Finished msg": f"another alert, or none yet: {_OPENSSL}"},
    "symetric-ciphers": {"CCM": "CCM is not offered"},
    "0rtt-garbage": {"downgrade to TLS 1.2": "TLS 1.2 is not allowed"},
    "large-number-of-extensions": {
        "": f"EncryptedExtensions names our groups, as it may (RFC 9846, 4.2.7): {_OPENSSL}"
    },
    "legacy-version": {r"version \(3, 0\)": f"another alert: {_OPENSSL}"},
    "signature-algorithms": {"32715": _TOO_LONG},
    "unrecognised-groups": {"key_share of size 256": _TOO_LONG},
    "keyupdate": {"app data split, conversation": _UPDATE, "multiple KeyUpdate messages": _UPDATE},
    "certificate-verify": {
        "sigalgs in cert request": "the signatures that may be used are OpenSSL's, not the script's"
    },
    "crfg-curves": {"empty x": f"another alert: {_OPENSSL}"},
    "finished": {"padding": f"another alert, or none yet: {_OPENSSL}"},
}


def explanation(script: str, conversation: str) -> str:
    """Why a conversation fails; "" if nobody knows."""
    for pattern, why in _EXPLAINED.get(script, {}).items():
        if re.search(pattern, conversation):
            return why
    return ""
