"""What an app's classes may define, and what is refused since it would never be called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest

import actorrpc
from actorrpc import RpcError, StatusCode
from actorrpc.config import Config
from actorrpc.hub.calls.call import ServerCall
from actorrpc.hub.calls.chain import chain_of
from tests.apps.shapes_actorrpc import StatefulBase, StatelessBase
from tests.apps.shapes_pb2 import Item


def handler(self, message, call):
    pass


def end(self, call):
    pass


def hook(self):
    pass


def generator(self):
    yield


async def coroutine(self):
    pass


def service(base: type[Any], **attributes: Any) -> type[Any]:
    return type("Chat", (base,), attributes)


class KeyedBase(StatefulBase):
    __rpc__ = replace(StatefulBase.__rpc__, keyed=actorrpc.Keyed())


HOOKS = "on_connect, on_call_end, on_disconnect, on_activate, on_passivate, on_freeze, on_thaw, on_topic"


@pytest.mark.parametrize(
    ("base", "attributes", "words"),
    [
        (
            StatefulBase,
            {"Uanry": handler},
            "Chat.Uanry is not a method of shapes.Stateful; did you mean Unary?",
        ),
        (
            StatelessBase,
            {"unary": handler},
            "Chat.unary is not a method of shapes.Stateless; did you mean Unary",
        ),
        (
            StatefulBase,
            {"Colect_end": end},
            "Chat.Colect_end is not a method of shapes.Stateful; did you mean ",
        ),
        (StatefulBase, {"Unary_end": end}, "Chat.Unary_end would never run: the client of Unary sends one"),
        (
            StatefulBase,
            {"on_conect": hook},
            "Chat.on_conect is not a hook of an actor; did you mean on_con",
        ),
        (
            StatefulBase,
            {"onConnect": hook},
            "Chat.onConnect is not a hook of an actor; did you mean on_con",
        ),
        (
            StatefulBase,
            {"on_login": hook},
            f"Chat.on_login is not a hook of an actor: those are {HOOKS}. Other",
        ),
        (
            StatelessBase,
            {"on_conect": hook},
            "Chat.on_conect is not a hook of an actor; did you mean on_con",
        ),
        (
            StatelessBase,
            {"on_connect": hook},
            "Chat.on_connect would never run: shapes.Stateless is stateless, and only actors have hooks",
        ),
        (
            StatelessBase,
            {"on_call_end": lambda self, call, status, message: None},
            "Chat.on_call_end would never run: shapes.Stateless is stateless, and only actors have hooks",
        ),
        (
            StatefulBase,
            {"on_callend": hook},
            "Chat.on_callend is not a hook of an actor; did you mean on_call_end?",
        ),
        (
            StatefulBase,
            {"on_call_ends": hook},
            "Chat.on_call_ends is not a hook of an actor; did you mean on_call_end?",
        ),
        (
            StatefulBase,
            {"on_end": hook},
            "Chat.on_end is not a hook of an actor: those are on_connect, on_call",
        ),
        (StatefulBase, {"on_call_end": hook}, "Chat.on_call_end must take (self, call, status, message): "),
        (StatefulBase, {"on_topic": hook}, "Chat.on_topic must take (self, topic, message): too many"),
        (StatefulBase, {"on_connect": None}, "Chat.on_connect must take (self): None is not a callable"),
        (StatefulBase, {"on_connect": coroutine}, "Chat.on_connect is async: "),
        (
            StatefulBase,
            {"on_connect": generator},
            "Chat.on_connect is a generator, of which nothing would",
        ),
        (
            StatefulBase,
            {"on_activate": hook},
            "Chat.on_activate would never run: shapes.Stateful has an actor for each connection; call it "
            "on_connect",
        ),
        (
            StatefulBase,
            {"on_passivate": hook},
            "Chat.on_passivate would never run: shapes.Stateful has an actor for each connection; call it "
            "on_disconnect",
        ),
        (
            KeyedBase,
            {"on_connect": hook},
            "Chat.on_connect would never run: shapes.Stateful has an actor for each key; call it on_activate",
        ),
        (
            KeyedBase,
            {"on_disconnect": hook},
            "Chat.on_disconnect would never run: shapes.Stateful has an actor for each key; call it "
            "on_passivate",
        ),
        (
            StatelessBase,
            {"on_activate": hook},
            "Chat.on_activate would never run: shapes.Stateless is stateless, and only actors have hooks",
        ),
        (
            KeyedBase,
            {"on_activated": hook},
            "Chat.on_activated is not a hook of an actor; did you mean on_activate?",
        ),
        (KeyedBase, {"on_activate": lambda self, key: None}, "Chat.on_activate must take (self): missing"),
        (
            StatefulBase,
            {"on_connect": actorrpc.concurrent(lambda self: None)},
            "Chat.on_connect is not a method of shapes.Stateful, so @actorrpc.concurrent does nothing for",
        ),
        (
            StatefulBase,
            {"history": actorrpc.concurrent(lambda self: None)},
            "Chat.history is not a method of shapes.Stateful, so @actorrpc.concurrent",
        ),
        (
            StatefulBase,
            {"Collect_end": actorrpc.concurrent(lambda self, call: None)},
            "Chat.Collect_end runs as Collect does: give that @actorrpc.concurrent",
        ),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else None,
)
def test_what_would_never_be_called_is_refused_in_one_line(base, attributes, words):
    with pytest.raises(actorrpc.ConfigError) as caught:
        actorrpc.App([service(base, **attributes)])
    assert str(caught.value).startswith(words) and "\n" not in str(caught.value)


def test_each_has_the_hooks_of_its_scope():
    others = {"on_freeze": hook, "on_thaw": hook, "on_topic": lambda self, topic, message: None}
    assert actorrpc.App([service(KeyedBase, on_activate=hook, on_passivate=hook, **others)]).services
    assert actorrpc.App([service(StatefulBase, on_connect=hook, on_disconnect=hook, **others)]).services


def test_a_mixin_counts_as_well():
    class Greets:
        def on_conect(self):
            pass

    class Chat(Greets, StatefulBase):
        pass

    with pytest.raises(actorrpc.ConfigError, match=r"Chat.on_conect is not a hook of an actor"):
        actorrpc.App([Chat])


class Anything:
    """Answers whatever it is asked for, as proxies do."""

    def __getattr__(self, name: str) -> object:
        return True


@pytest.mark.parametrize("base", [StatefulBase, StatelessBase])
def test_other_attributes_are_the_apps_own(base):
    class Common(base):
        limit = 5
        proxy = Anything()
        cache = actorrpc.transient(dict)
        Options = type("Options", (), {})

        def unary(self, number):
            """Takes other arguments than the handler whose name is alike."""

        def connect(self):
            pass

        def topic(self, topic, message):
            pass

        def publish(self, topic, message):
            super().publish(topic, message)

        def _on_conect(self):
            pass

        @property
        def unaries(self):
            return 1

        @staticmethod
        def count(message, call):
            pass

        @classmethod
        def made(cls, message, call):
            pass

        def Talk(self, message, call):
            pass

    class Chat(Common):
        def Talks(self, message, call):
            """Not taken for the handler, which is there."""

        @actorrpc.concurrent
        def Collect(self, message, call):
            pass

        @actorrpc.concurrent
        def Collect_end(self, call):
            pass

    assert actorrpc.App([Chat]).services


def test_hooks_need_not_be_plain_methods():
    class Chat(StatefulBase):
        @staticmethod
        def on_connect():
            pass

        @classmethod
        def on_topic(cls, topic, message):
            pass

        def on_disconnect(self, *arguments, reason=""):
            pass

    assert actorrpc.App([Chat]).services


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("on_cal", "Auth.on_cal is not a hook of an interceptor; did you mean on_call?"),
        ("onCall", "Auth.onCall is not a hook of an interceptor; did you mean on_call?"),
        (
            "on_connect",
            "Auth.on_connect is not a hook of an interceptor: those are on_call, on_request, ",
        ),
    ],
)
def test_an_interceptors_hook_that_is_none_is_refused(name, words):
    auth = type("Auth", (actorrpc.Interceptor,), {name: lambda self, call: None})()
    with pytest.raises(actorrpc.ConfigError) as caught:
        actorrpc.App([service(StatelessBase)], interceptors=[auth])
    assert str(caught.value).startswith(words) and "\n" not in str(caught.value)


def test_what_an_interceptors_instance_keeps_is_its_own():
    class Auth(actorrpc.Interceptor):
        def __init__(self, on_refused):
            self.on_refused = on_refused

        def check(self, call):
            pass

        def _on_cal(self, call):
            pass

    assert actorrpc.App([service(StatelessBase)], interceptors=[Auth(print)]).services


def test_an_interceptors_hook_that_is_a_generator_is_refused():
    class Auth(actorrpc.Interceptor):
        def on_call(self, call):
            yield

    with pytest.raises(actorrpc.ConfigError, match=r"Auth.on_call is a generator"):
        actorrpc.App([service(StatelessBase)], interceptors=[Auth()])


def test_a_hook_that_an_interceptors_instance_was_given_runs():
    seen = []
    auth = actorrpc.Interceptor()
    auth.on_call = seen.append  # type: ignore[method-assign]
    app = actorrpc.App([service(StatelessBase)], interceptors=[auth])
    chain = chain_of(app, Config())
    assert chain is not None and chain.admits


def test_a_transient_that_cannot_be_made_is_refused_with_its_class():
    with pytest.raises(TypeError, match="takes what makes the value, not the value: 5 cannot be called"):

        class Chat(StatefulBase):
            cache = actorrpc.transient(5)


@pytest.mark.parametrize("message", ["text", b"bytes", Item, None])
def test_only_messages_are_published(message):
    published: list[object] = []

    class Host:
        def publish(self, topic, message):
            published.append(message)

    chat = service(StatelessBase)()
    vars(chat)["_host"] = Host()
    with pytest.raises(TypeError, match="what is published is a Protobuf message, not "):
        chat.publish("t", message)
    chat.publish("t", Item())
    assert published == [Item()]


def finish(code: Any) -> None:
    ServerCall.finish(object.__new__(ServerCall), code)


@pytest.mark.parametrize("give", [RpcError, finish])
@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (
            grpc.StatusCode.NOT_FOUND,
            TypeError,
            "give actorrpc.StatusCode.NOT_FOUND, not grpc.StatusCode.",
        ),
        (grpc.StatusCode.OK, TypeError, "give actorrpc.StatusCode.OK, not grpc.StatusCode.OK"),
        ("not_found", TypeError, "give actorrpc.StatusCode.NOT_FOUND, not 'not_found'"),
        ("no such room", TypeError, "a status code is a member of actorrpc.StatusCode, not 'no such room'"),
        (None, TypeError, "a status code is a member of actorrpc.StatusCode, not None"),
        (17, ValueError, "17 is not a status code: those of gRPC are 0 to 16"),
        (-1, ValueError, "-1 is not a status code"),
    ],
    ids=str,
)
def test_a_code_that_is_no_status_is_told_what_to_give(
    give: Callable[[Any], Any], code: Any, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as caught:
        give(code)
    assert str(caught.value).startswith(words)


def test_a_statuss_number_will_do():
    assert RpcError(5).code is StatusCode.NOT_FOUND  # type: ignore[arg-type]
