"""What scripts raise. The model knows its own by ``Scripted``, and by their kind what a call may end with."""

from __future__ import annotations

from actorrpc.errors import RpcError, StatusCode

__all__ = ["Scripted", "error_of"]


class Scripted(BaseException):
    """Stands in the bases of what a script raises, so that the model knows its own."""

    kind = "bug"


class _Bug(ZeroDivisionError, Scripted):
    kind = "bug"


class _Exit(SystemExit, Scripted):
    kind = "exit"


class _Rpc(RpcError, Scripted):
    kind = "rpc"


class _Odd(RpcError, Scripted):
    kind = "odd"

    def __init__(self) -> None:
        super().__init__(StatusCode.NOT_FOUND, "")
        self.message = KeyError("x")  # type: ignore[assignment]


def error_of(kind: str) -> BaseException:
    match kind:
        case "rpc":
            return _Rpc(StatusCode.NOT_FOUND, "as asked")
        case "odd":
            return _Odd()
        case "exit":
            return _Exit(3)
    return _Bug("as asked")
