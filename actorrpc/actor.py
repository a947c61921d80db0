"""What users subclass: ``Service`` for stateless calls, ``Actor`` for a service with state.

The code generator writes a subclass of one of them for each service; users subclass that and write the
handlers. An instance belongs to one connection, or to one key. All that survives a move is ``state``; the
guard in ``__setattr__`` refuses what would be lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, NoReturn, ParamSpec, Protocol, TypeVar, overload

from google.protobuf.message import Message

from actorrpc.call import Call
from actorrpc.client.references import Target
from actorrpc.errors import LostAttributeError, StatusCode
from actorrpc.hub_values import per_hub
from actorrpc.ref_pb2 import ActorRef
from actorrpc.service import ServiceSpec

__all__ = [
    "MOVED",
    "Actor",
    "Held",
    "Host",
    "Service",
    "concurrent",
    "make",
    "overrides",
    "state_of",
    "transient",
]

T = TypeVar("T")
P = ParamSpec("P")
State = TypeVar("State", bound=Message)
Handler = TypeVar("Handler", bound=Callable[..., Any])
Served = TypeVar("Served", bound="Service")


class Host(Protocol):
    """What runs a service's instance, as the instance sees it: a connection of some hub."""

    @property
    def id(self) -> str: ...
    def calls_of(self, service: Service) -> tuple[Call[Any], ...]: ...
    def subscribe(self, service: Service, topic: str, call: Call[Any] | None) -> None: ...
    def unsubscribe(self, service: Service, topic: str, call: Call[Any] | None) -> None: ...
    def publish(self, topic: str, message: Message) -> None: ...
    def offload(self, function: Callable[[], T]) -> T: ...
    def actor(self, service: Service, key: str) -> Target: ...
    def ref(self, service: Service) -> ActorRef: ...


class _Moved:
    """What stands in for the state of an actor that has left this hub."""

    def __getattr__(self, name: str) -> NoReturn:
        self._refuse()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise RuntimeError(
            "the actor is served by another hub now, and its state with it. A greenlet of your own does not "
            "move with its actor: do the work in turns"
        )


MOVED = _Moved()


class Held:
    """What stands in for the state of an actor whose connection is frozen: whoever uses it waits until it is
    settled in which hub the actor lives. ``settle(what)`` waits, or raises RuntimeError where it cannot."""

    __slots__ = ("_instance", "_message", "_settle")

    def __init__(self, instance: Actor[Any], settle: Callable[[str], None]) -> None:
        object.__setattr__(self, "_instance", instance)
        object.__setattr__(self, "_message", instance.__dict__["state"])
        object.__setattr__(self, "_settle", settle)
        instance.__dict__["state"] = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._settled(), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._settled(), name, value)

    def __repr__(self) -> str:
        return f"<the state of an actor on its way to another hub: {self._message!r}>"

    def _settled(self) -> Any:
        """The state when the move is over, or ``MOVED``."""
        self._settle("use an actor's state")
        return self._instance.__dict__["state"]


def state_of(instance: Actor[Any]) -> Message:
    """The state, also while it is held."""
    state: Any = instance.__dict__["state"]
    message: Message = state._message if type(state) is Held else state
    return message


class transient(Generic[T]):  # lower case, as property and staticmethod are
    """Declare an attribute that does not travel: ``db = actorrpc.transient(connect_db)``.

    ``factory()`` makes a value for each actor, when that first reads it, and again after each move. What all
    of a hub are to share, such as a database engine, is declared with ``actorrpc.per_hub``. Raises TypeError
    for what cannot be called.
    """

    def __init__(self, factory: Callable[[], T]) -> None:
        if not callable(factory):
            raise TypeError(
                f"actorrpc.transient takes what makes the value, not the value: {factory!r} cannot be called"
            )
        self._factory = factory
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> transient[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> transient[T] | T:
        if instance is None:
            return self
        value = self._factory()
        # No __set__: from now on the instance's own attribute is found first.
        instance.__dict__[self._name] = value
        return value


def concurrent(handler: Handler) -> Handler:
    """Let a method of an actor run beside the actor's other turns, and beside itself.

    The handler, or an iterable that it returns, may then see ``state`` change whenever it blocks. What is
    not a method of the service, such as a hook, cannot be concurrent: ``App`` refuses it.
    """
    handler.__actorrpc_concurrent__ = True  # type: ignore[attr-defined]
    return handler


class Service:
    """Base of all services: its calls run concurrently, on one instance for each connection."""

    __rpc__: ClassVar[ServiceSpec]
    _settable: ClassVar[frozenset[str]] = frozenset()
    _host: Host
    #: Whose instance it is; "": the connection's.
    _identity = ""
    #: How those that it calls are told who calls, once it has called somebody.
    _as_caller = b""
    #: The key of a keyed actor; "": it has none.
    _key = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._settable = frozenset(
            name for base in cls.__mro__ for name, value in vars(base).items() if isinstance(value, transient)
        )

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self._settable:
            self._refuse(name, value)
        self.__dict__[name] = value

    def _refuse(self, name: str, value: object) -> NoReturn:
        shared = getattr(type(self), name, None)
        if isinstance(shared, per_hub):
            shared.__set__(self, value)  # which raises
        raise LostAttributeError(self._lost(name))

    def _lost(self, name: str) -> str:
        """What to do instead of setting an attribute."""
        cls = type(self).__name__
        return (
            f"{cls}.{name} would be lost when the connection moves: {cls} is stateless. Declare what may be "
            f"made anew there as `{name} = actorrpc.transient(factory)`, and what the whole hub shares as "
            f"`{name} = actorrpc.per_hub(factory)`, or give the service a state with "
            "`option (actorrpc.actor)` in its .proto"
        )

    @property
    def connection_id(self) -> str:
        """The connection's id, the same in every hub: what ``actorrpc connections`` shows.

        Raises RuntimeError for a keyed actor, which belongs to no connection.
        """
        if self._key:
            raise RuntimeError(
                f"{type(self).__name__}.connection_id: a keyed actor belongs to no connection; use self.key"
            )
        return self._host.id

    @property
    def calls(self) -> tuple[Call[Any], ...]:
        """The open calls of this actor, oldest first: also those that wait for their turn to begin."""
        return self._host.calls_of(self)

    def subscribe(self, topic: str, call: Call[Any] | None = None) -> None:
        """Send each message published to ``topic`` from now on out on ``call``, until the call ends.

        Without a call, each message becomes a turn of the actor: ``on_topic(topic, message)``. Messages
        come in the order in which the topic numbered them, the same for every subscriber; a move neither
        loses nor repeats one. Where messages are lost, since it was too slow, the call ends with DATA_LOSS.

        Raises RpcError with RESOURCE_EXHAUSTED beyond so many subscriptions of the connection.
        """
        self._host.subscribe(self, topic, call)

    def unsubscribe(self, topic: str, call: Call[Any] | None = None) -> None:
        """End a subscription; one that does not exist is ignored."""
        self._host.unsubscribe(self, topic, call)

    def publish(self, topic: str, message: Message) -> None:
        """Send ``message`` to every subscriber of ``topic``, whichever hub it is on. Never blocks.

        Raises RpcError: RESOURCE_EXHAUSTED for a message that is too large, or where too much waits to be
        published on this hub, UNAVAILABLE where the topic's home does not answer and too much waits for it;
        TypeError for anything but a Protobuf message.
        """
        if not isinstance(message, Message):
            raise TypeError(f"what is published is a Protobuf message, not {message!r}")
        self._host.publish(topic, message)

    def offload(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking code on the hub's thread pool and return its result; only this turn waits.

        It sees this turn's context variables. What it raises, whatever that is, is raised here.
        """
        return self._host.offload(lambda: function(*args, **kwargs))

    def actor(self, key: str) -> Target:
        """The keyed actor with this key, for a generated stub to call: ``RoomStub(self.actor("lobby"))``.

        The stub says of which service. Raises RpcError (INVALID_ARGUMENT) for what cannot be a key.
        """
        return self._host.actor(self, key)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.__rpc__.name}>"


class Actor(Service, Generic[State]):
    """A service with state: one instance for each connection, or for each key, where the .proto says
    ``scope: KEY``; its turns one after the other. A message is a turn, and so is each reply of an iterable:
    what one waits for, all others wait for.

    The hooks run as turns. What a hook raises is logged; the connection lives on, except where a hook
    says otherwise. A hook that blocks is not interrupted, also when the client has gone: see to it that what
    it waits for has a timeout.
    """

    state: State

    #: The version of what ``state`` means. Add 1 when new code could misread the states of older code, and
    #: override ``upgrade``; new fields that may be absent need neither.
    state_version: ClassVar[int] = 1

    @classmethod
    def upgrade(cls, old_version: int, state: Any) -> State:
        """Return ``state``, which code of an older ``state_version`` wrote, as this version has it.

        It may be changed in place. What it raises refuses the move, and the connection stays where it is, as
        it does where its state is newer than the code. It runs whenever such a state arrives.
        """
        raise NotImplementedError(f"{cls.__name__}.upgrade")

    def __setattr__(self, name: str, value: object) -> None:
        if name == "state":
            wanted = self.__rpc__.state
            if wanted is None or not isinstance(value, wanted):
                raise TypeError(
                    f"{type(self).__name__}.state must be a {wanted and wanted.__name__}: {value!r}"
                )
            current = self.__dict__.get("state")
            if type(current) is Held:
                current = current._settled()
            if current is MOVED:
                MOVED._refuse()
        elif name not in self._settable:
            self._refuse(name, value)
        self.__dict__[name] = value

    @property
    def key(self) -> str:
        """The key of a keyed actor, such as ``"lobby"``.

        Raises RuntimeError for the actor of a connection, which has none.
        """
        if not self._key:
            raise RuntimeError(
                f"{type(self).__name__}.key: {self.__rpc__.name} has an actor for each connection, and none "
                "has a key: `scope: KEY` in the .proto gives them one"
            )
        return self._key

    @property
    def ref(self) -> ActorRef:
        """A reference to this actor: a message, to be kept in states and sent to others, whose stubs call the
        actor wherever it lives by then: ``RoomStub(ref)``.

        That to the actor of a connection leads there as long as the connection lives. It is sealed: whoever
        has it can have handlers call the actor, and nobody can make it up. Raises RuntimeError for such an
        actor where the broker is of a version that knows no such references.
        """
        return self._host.ref(self)

    def _lost(self, name: str) -> str:
        state = self.__rpc__.state
        mover = "connection" if self.__rpc__.keyed is None else "actor"
        return (
            f"{type(self).__name__}.{name} would be lost when the {mover} moves. Make it a field of "
            f"{state.DESCRIPTOR.full_name if state else 'its state'} and use self.state.{name}, or declare "
            f"what may be made anew there as `{name} = actorrpc.transient(factory)`, and what the whole "
            f"hub shares as `{name} = actorrpc.per_hub(factory)`"
        )

    def on_connect(self) -> None:
        """Run before the actor's first turn. If it raises, or ``__init__`` does, the calls that have come get
        the error, and the next call tries again, with a new actor.

        Only actors of connections have it; keyed ones have ``on_activate``.
        """

    def on_call_end(self, call: Call[Any], status: StatusCode, message: str) -> None:
        """Run once for each call whose handler has begun, when it has ended, however it has: answered,
        finished, failed, cancelled, expired, or because its connection has gone. Forget here what the handler
        has noted of it.

        ``status`` and ``message`` are how it ended for the client, as the interceptors' ``on_end`` is told;
        CANCELLED where the client cancelled or has gone. Nothing can be sent on the call, and ``self.calls``
        does not have it any more. Calls that no handler has seen, such as those that an interceptor refused,
        are not told.

        It is a turn of the actor, also for a concurrent call. It takes its place in the mailbox when the call
        has ended and its handler has come to its end, with its ``finally`` blocks and those of an iterable
        that it returned: so what the client said before comes before. It runs where the actor is by then, in
        this hub or the next, and before ``on_disconnect``; only a hub that dies tells nobody.
        """

    def on_disconnect(self) -> None:
        """Run once after the client's connection has gone, as the last of the actor, when all else of it has
        ended; not when it moves, and not when a hub dies.

        Only actors of connections have it; keyed ones have ``on_passivate``.
        """

    def on_activate(self) -> None:
        """Run before the first turn of an activation: a keyed actor is made on its first use, and again on
        the first one after it was passivated. If it raises, or ``__init__`` does, the calls that have come
        get the error, and the next call tries again, with a new instance.

        It does not run when the actor moves: ``on_thaw`` does. Only keyed actors have it.
        """

    def on_passivate(self) -> None:
        """Run as the last turn of a keyed actor that has been idle for as long as its .proto says; what it
        raises is logged, and the actor is passivated all the same.

        It does not run when the actor moves: ``on_freeze`` does. Only keyed actors have it.
        """

    def on_freeze(self) -> None:
        """Run before each move, while ``state`` can still be changed. If it raises, nothing moves."""

    def on_thaw(self) -> None:
        """Run once after each ``on_freeze``, before any other turn: in the hub that now serves the
        connection, or in the same one if the move was given up, also because the client has gone. A
        connection that moves on before it has run is neither frozen nor thawed again on its way."""

    def on_topic(self, topic: str, message: Any) -> None:
        """Handle one message of a topic that the actor subscribed to without a call."""


def make(
    service: type[Served], host: Host, identity: str = "", state: Message | None = None, key: str = ""
) -> Served:
    """Make the instance of a service that ``host`` runs, with a new state if it is an actor and given none.

    A keyed actor is given its ``key``, and no identity. The class may have an ``__init__`` or ``__new__`` of
    its own, which may do, and raise, anything.
    """
    instance = service.__new__(service)
    instance.__dict__["_host"] = host
    if identity:
        instance.__dict__["_identity"] = identity
    if key:
        instance.__dict__["_key"] = key
    kind = service.__rpc__.state
    if kind is not None:
        instance.__dict__["state"] = kind() if state is None else state
    instance.__init__()  # type: ignore[misc]  # after the host, so that it may use the actor's API
    return instance


def overrides(service: type[Service], hook: str) -> bool:
    """Whether the class has the hook: those of ``Actor`` do nothing."""
    return issubclass(service, Actor) and getattr(service, hook) is not getattr(Actor, hook)
