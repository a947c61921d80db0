"""The same vault for those with a certificate: ``actorrpc serve examples.auth.mutual:app``.

Nothing here looks at certificates: with ``--tls-client-ca`` only clients that the CA has signed get in, and
``call.identity`` is the name in the certificate, in whichever hub.
"""

from __future__ import annotations

import actorrpc
from examples.auth.server import Log, Vault

__all__ = ["app"]

app = actorrpc.App([Vault], interceptors=[Log()])
