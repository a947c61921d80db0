"""Standard gRPC served from actors, on every core, with connections that move between processes.

Importing this package imports no gevent: a client program can use generated stubs with any channel,
and a hub is patched before it gets here. Any Python 3 can read this file, and learns from
``actorrpc.supported`` whether it is too old.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import actorrpc.supported as _supported
from actorrpc.actor import Actor, Service, concurrent, transient
from actorrpc.call import Call, Metadata
from actorrpc.errors import (
    CallCancelled,
    CallError,
    CallInterrupted,
    ConfigError,
    DeadlineExceeded,
    LostAttributeError,
    RpcError,
    StatusCode,
    TooManyRestarts,
)
from actorrpc.hub_values import per_hub
from actorrpc.service import Keyed, KeyFrom, Method, ServiceSpec

if TYPE_CHECKING:
    from actorrpc.app import App
    from actorrpc.config import Config
    from actorrpc.interceptor import Interceptor
    from actorrpc.ref_pb2 import ActorRef
    from actorrpc.server import Server, serve
    from actorrpc.tls.handshake.settings import Tls

__all__ = [
    "Actor",
    "ActorRef",
    "App",
    "Call",
    "CallCancelled",
    "CallError",
    "CallInterrupted",
    "Config",
    "ConfigError",
    "DeadlineExceeded",
    "Interceptor",
    "KeyFrom",
    "Keyed",
    "LostAttributeError",
    "Metadata",
    "Method",
    "RpcError",
    "Server",
    "Service",
    "ServiceSpec",
    "StatusCode",
    "Tls",
    "TooManyRestarts",
    "concurrent",
    "per_hub",
    "serve",
    "transient",
]

_LAZY = {
    "ActorRef": "actorrpc.ref_pb2",
    "App": "actorrpc.app",
    "Config": "actorrpc.config",
    "Interceptor": "actorrpc.interceptor",
    "Server": "actorrpc.server",
    "Tls": "actorrpc.tls.handshake.settings",
    "serve": "actorrpc.server",
}


#: What works on Linux only.
_SERVING = ("Server", "serve")


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError("module " + repr(__name__) + " has no attribute " + repr(name))
    if name in _SERVING and _supported.system_complaint():
        raise ImportError(_supported.system_complaint())
    return getattr(import_module(_LAZY[name]), name)
