"""A vault for those with a token: ``actorrpc serve examples.auth.server:app``."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import actorrpc
from actorrpc import RpcError, StatusCode
from examples.auth.auth_actorrpc import VaultBase
from examples.auth.auth_pb2 import PutReply, PutRequest

__all__ = ["Auth", "Log", "Vault", "app"]

log = logging.getLogger("examples.auth")

#: Users by the SHA-256 of their token. The tokens of this example are "ada's token" and "bob's token".
USERS = {hashlib.sha256(f"{user}'s token".encode()).hexdigest(): user for user in ("ada", "bob")}


class Auth(actorrpc.Interceptor):
    """Lets in calls with ``authorization: Bearer TOKEN``; the others end before any actor is made.

    And says whose they are: behind a proxy, calls of several users come on one connection
    (docs/operate/proxies.md).
    """

    def on_call(self, call: actorrpc.Call[Any]) -> None:
        scheme, _, token = str(call.metadata.get("authorization", "")).partition(" ")
        user = USERS.get(hashlib.sha256(token.encode()).hexdigest())
        if scheme.lower() != "bearer" or user is None:
            raise RpcError(StatusCode.UNAUTHENTICATED, "send authorization: Bearer TOKEN, with a good token")
        call.identity = user


class Log(actorrpc.Interceptor):
    """One line for each call that is over, whoever refused or answered it."""

    def on_end(self, call: actorrpc.Call[Any], status: StatusCode, message: str) -> None:
        log.warning("%s of %s: %s %s", call.method, call.identity or "nobody", status.name, message)


class Vault(VaultBase):
    def on_connect(self) -> None:
        log.warning("a drawer is made")

    def Put(self, request: PutRequest, call: actorrpc.Call[PutReply]) -> PutReply:
        self.state.things.append(request.thing)
        return PutReply(owner=call.identity, things=len(self.state.things))


app = actorrpc.App([Vault], interceptors=[Log(), Auth()])
