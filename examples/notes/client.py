"""Keeps and finds notes: ``python -m examples.notes.client add buy milk``."""

from __future__ import annotations

import argparse
import sys

import grpc

from examples.notes.notes_actorrpc import NotesStub
from examples.notes.notes_pb2 import AddRequest, FindRequest

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Do what is asked. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.notes.client", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1:50051")
    parser.add_argument("what", choices=["add", "find", "watch"])
    parser.add_argument("words", nargs="*")
    given = parser.parse_args(arguments)
    text = " ".join(given.words)
    with grpc.insecure_channel(given.address) as channel:
        notes = NotesStub(channel)
        try:
            if given.what == "add":
                found = iter([notes.Add(AddRequest(text=text), timeout=5)])
            else:
                found = (notes.Find if given.what == "find" else notes.Watch)(FindRequest(word=text))
            for note in found:
                print(f"{note.id}: {note.text}", flush=True)
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            pass  # enough has been watched
    return 0


if __name__ == "__main__":
    sys.exit(main())
