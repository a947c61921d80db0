"""Generated modules in a fresh interpreter: they import, and say what the .proto files say."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.processes import python

from .programs import PROTOS, modules_of


def run(script: str, generated: Path) -> None:
    done = python("-W", "error", "-c", dedent(script), path=[generated])
    assert done.returncode == 0, done.stderr


def test_all_modules_import_together(generated: Path) -> None:
    names = [name.removesuffix(".py").replace("/", ".") for name in modules_of(generated)]
    assert len(names) == 9
    run(
        f"""
        import importlib, sys
        for name in {names}:
            importlib.import_module(name)
        assert "gevent" not in sys.modules and "grpc" not in sys.modules
        """,
        generated,
    )


def test_specs_agree_with_descriptors(generated: Path) -> None:
    """Each ``__rpc__`` is compared with the service's descriptor, which protoc's own generator made."""
    modules = [name.removesuffix(".py").replace("/", ".") for name in modules_of(generated)]
    run(
        f"""
        import importlib
        import actorrpc
        from actorrpc.options_pb2 import KeyFrom, actor
        compared = 0
        for name in {modules}:
            messages = importlib.import_module(name.removesuffix("_actorrpc") + "_pb2")
            services = importlib.import_module(name)
            for service in messages.DESCRIPTOR.services_by_name.values():
                base = getattr(services, service.name + "Base")
                stub = getattr(services, service.name + "Stub")
                spec = base.__rpc__
                assert stub.__rpc__ is spec and spec.name == service.full_name
                assert [
                    (m.name, m.request.DESCRIPTOR, m.reply.DESCRIPTOR, m.client_streaming, m.server_streaming)
                    for m in spec.methods
                ] == [
                    (m.name, m.input_type, m.output_type, m.client_streaming, m.server_streaming)
                    for m in service.methods
                ]
                option = service.GetOptions()
                if option.HasExtension(actor):
                    assert issubclass(base, actorrpc.Actor)
                    assert spec.state.DESCRIPTOR.full_name == option.Extensions[actor].state
                    said = option.Extensions[actor]
                    assert (spec.keyed is None) == (said.scope == 0)
                    if spec.keyed:
                        assert (spec.keyed.field, spec.keyed.always) == (said.key, tuple(said.always))
                        assert spec.keyed.key_from.name == KeyFrom.Name(said.key_from)
                        assert spec.keyed.idle == (said.idle if said.HasField("idle") else 300)
                else:
                    assert issubclass(base, actorrpc.Service) and not issubclass(base, actorrpc.Actor)
                    assert spec.state is None
                compared += 1
        assert compared == 16, compared
        """,
        generated,
    )


def test_handlers_that_nobody_wrote(generated: Path) -> None:
    run(
        """
        import actorrpc
        from plain_actorrpc import EchoBase

        class Call:
            finished = 0
            def finish(self):
                self.finished += 1

        call, echo = Call(), EchoBase()
        for name in ("Say", "Count", "Sum", "Sum_end", "Ping"):
            message = [] if name.endswith("_end") else [None]
            try:
                getattr(echo, name)(*message, call)
            except actorrpc.RpcError as error:
                assert error.code is actorrpc.StatusCode.UNIMPLEMENTED
                assert error.message == f"/Echo/{name.removesuffix('_end')} is not implemented"
            else:
                raise AssertionError(name)
        assert call.finished == 0
        assert echo.Ping_end(call) is None
        assert call.finished == 1
        """,
        generated,
    )


def test_an_app_takes_what_derives_from_them(generated: Path) -> None:
    run(
        """
        import actorrpc
        from chat_actorrpc import ChatBase
        from odd_names_actorrpc import OddsBase
        from actorrpc.hub.calls.route import routes_of
        from plain_actorrpc import EchoBase, NothingBase
        from shop.api.v1.cart_actorrpc import CartsBase

        class Chat(ChatBase):
            def Join(self, request, call):
                return None

        app = actorrpc.App([Chat, OddsBase, EchoBase, NothingBase, CartsBase])
        wanted = {"/chat.Chat/Join", "/odd.Odds/import", "/odd.Odds/__private", "/Echo/Say"}
        assert wanted <= set(routes_of(app))
        """,
        generated,
    )


def test_names_that_python_mangles(generated: Path) -> None:
    run(
        """
        import actorrpc
        from actorrpc.hub.calls.route import routes_of
        from odd_names_actorrpc import OddsBase

        class Odds(OddsBase):
            pass

        try:
            getattr(Odds(), "__private")(None, None)
        except actorrpc.RpcError as error:
            assert error.message == "/odd.Odds/__private is not implemented"
        setattr(Odds, "__private", lambda self, request, call: request)
        assert getattr(Odds(), "__private")("hers", None) == "hers"
        assert "private_" not in dir(Odds)
        assert routes_of(actorrpc.App([Odds]))["/odd.Odds/__private"].handler(Odds(), "his", None) == "his"
        """,
        generated,
    )


def test_a_handler_says_what_it_serves(generated: Path) -> None:
    run(
        r"""
        import inspect
        from taken_actorrpc import TakenBase

        assert inspect.getdoc(TakenBase.publish_) == "Tell everybody.\n\nServes ``/taken.Taken/publish``."
        assert TakenBase.publish__.__doc__ == "Serves ``/taken.Taken/publish_``."
        assert TakenBase.Talk.__doc__ is None
        """,
        generated,
    )


def test_docstrings(generated: Path) -> None:
    run(
        r'''
        import inspect
        from chat_actorrpc import ChatBase
        from wrapped_actorrpc import TheServiceThatIsServedByAnActorAndHasAVeryLongNameBase as Wrapped

        assert inspect.getdoc(ChatBase) == (
            "Rooms in which everybody hears everybody.\n\n"
            "Each connection is an actor:\n  - it knows its nick,\n  - and it moves."
        )
        assert inspect.getdoc(ChatBase.Join) == "Take a seat, and learn who else is here."
        assert ChatBase.Say.__doc__ is None
        assert inspect.getdoc(ChatBase.Listen) == "Hear a room until you hang up."
        assert inspect.getdoc(ChatBase.Dictate) == "Say many lines; the reply comes after the last."
        assert inspect.getdoc(Wrapped) == (
            'Three quotes: """, four: """", a backslash: \\, an escape: \\n \\x41 \\N{BULLET}, '
                'and at the end a "quote"'
        )
        assert Wrapped.Ask.__doc__ == "A backslash at the end: \\"
        assert Wrapped.Say.__doc__.startswith('"Say ""hello""" \u2013 \xfcn')
        ''',
        generated,
    )


@pytest.mark.parametrize("proto", PROTOS)
def test_a_module_imports_alone(proto: str, generated: Path) -> None:
    """Its own imports suffice: nothing is there only because another module was imported before."""
    name = proto.removesuffix(".proto").replace("/", ".").replace("-", "_") + "_actorrpc"
    if f"{name.replace('.', '/')}.py" in modules_of(generated):
        run(f"import importlib; importlib.import_module({name!r})", generated)
