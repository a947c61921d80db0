"""``actorrpc tls``: commands for the certificates of a running server."""

from __future__ import annotations

import json

import click

from actorrpc.cli.ask import Failure, ask_broker
from actorrpc.cli.flags import json_flag, runtime_dir_flag
from actorrpc.pb.admin_pb2 import Request

__all__ = ["tls"]


@click.group()
def tls() -> None:
    """What a server has for clients that speak TLS."""


@tls.command("reload")
@json_flag
@runtime_dir_flag
def reload(as_json: bool, runtime_dir: str | None) -> None:
    """Have all hubs take up the files of certificates, keys and CAs as they are now.

    They are for connections that come from now on, but a client whose certificate the CAs do not admit any
    more is disconnected. If a file is wrong, all hubs go by what they have, and the exit status is 1; as it
    is if a hub does not answer.
    """
    reply = ask_broker(runtime_dir, Request(renew_tls=Request.RenewTls()))
    found = json.loads(reply.json)
    if as_json:
        print(reply.json)
    else:
        for each in found["certificates"]:
            print(f"{each['file']}: {', '.join(each['names']) or 'no names'}, until {each['ends'][:10]}")
        for warning in found["warnings"]:
            print(f"warning: {warning}")
    failed = [
        f"hub {each['id']} (pid {each['pid']}): {each['error']}" for each in found["hubs"] if each["error"]
    ]
    if failed:
        raise Failure(f"not all hubs have taken them up: {'; '.join(failed)}")
    if not as_json:
        count = len(found["hubs"])
        print(f"{count} hub{'s' * (count != 1)} serve{'s' * (count == 1)} with them")
