"""``actor``: an actor that no server runs, whose handlers a test calls as the methods that they are."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import Message

from actorrpc.actor import Service, make
from actorrpc.hub.calls.identity import check_identity
from actorrpc.keys import check_key
from actorrpc.testing.recorder import Publication, Recorder, Subscription

__all__ = ["actor", "check_key_of", "published", "recorder_of", "subscriptions"]

AnyService = TypeVar("AnyService", bound=Service)


def actor(
    service: type[AnyService],
    *,
    state: Message | None = None,
    identity: str = "",
    key: str = "",
    connection_id: str = "",
    peer: str = "127.0.0.1:50000",
) -> AnyService:
    """Make an instance of a service as a hub does, with a state of the test's, or a new one.

        room = actorrpc.testing.actor(Room, state=RoomState(name="lobby"))
        reply = room.Join(JoinRequest(nick="ada"), actorrpc.testing.call(room.Join))

    It needs no loop and no client. A turn is a plain call of the method, in the test's own thread;
    ``__init__`` runs here, and the hooks, ``on_connect`` the first of them, are the test's to call.
    ``self.calls``, ``subscribe``, ``publish``, ``offload``, transients and the guard of attributes work;
    messages of topics go nowhere but to ``published``. ``connection_id`` is one of its own unless given. A
    keyed actor is made with its ``key``, and has neither an identity nor a connection.

        lobby = actorrpc.testing.actor(Room, key="lobby")

    Raises ConfigError for a class that no App would take, TypeError for a state of another type, or where the
    class has to have a key, or cannot, and RpcError for what cannot be a key.
    """
    check_identity(identity)
    recorder = Recorder(service, connection_id, peer)
    check_key_of(service, key)
    if key and (identity or connection_id):
        raise TypeError(
            f"{service.__name__} is keyed: it has neither an identity nor a connection of its own"
        )
    wanted = service.__rpc__.state
    if state is not None and (wanted is None or not isinstance(state, wanted)):
        takes = "has no state" if wanted is None else f"has a {wanted.DESCRIPTOR.full_name} as its state"
        raise TypeError(f"{service.__name__} {takes}, not {state!r}")
    return make(service, recorder, identity, state, key)


def check_key_of(service: type[Service], key: str) -> None:
    """Raise TypeError where the actors of a class have no keys and one is given, or the other way round, and
    RpcError for what cannot be a key."""
    if service.__rpc__.keyed is not None:
        if key == "":
            raise TypeError(f'{service.__name__} is keyed: give the key of the actor, such as key="lobby"')
        check_key(key)
    elif key != "":
        raise TypeError(f"{service.__name__} is not keyed, so its actors have no key such as {key!r}")


def published(instance: Service) -> list[Publication]:
    """What an actor made by ``actor`` has published so far: ``(topic, message)`` each, oldest first."""
    return list(recorder_of(instance).published)


def subscriptions(instance: Service) -> list[Subscription]:
    """What such an actor is subscribed to: ``(topic, call)`` each, the call being None for ``on_topic``."""
    return list(recorder_of(instance).subscriptions)


def recorder_of(instance: Service) -> Recorder:
    """What stands in for its connection. Raises TypeError for an actor of a server."""
    host = instance.__dict__.get("_host") if isinstance(instance, Service) else None
    if not isinstance(host, Recorder):
        raise TypeError(f"{instance!r} was not made by actorrpc.testing.actor")
    return host
