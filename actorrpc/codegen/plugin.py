"""The program ``protoc-gen-actorrpc``: protoc's plugin protocol on stdin and stdout.

The protocol is described in google/protobuf/compiler/plugin.proto; buf speaks it too.
"""

from __future__ import annotations

import sys
from pathlib import Path

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import Edition
from google.protobuf.message import DecodeError

from actorrpc.codegen.folders import warnings
from actorrpc.codegen.model import Schema
from actorrpc.codegen.names import module_name
from actorrpc.codegen.render import render
from actorrpc.codegen.source import CodegenError

__all__ = ["main", "respond"]


def main(out: str = ".") -> None:
    """Answer the request on stdin, and warn on stderr of what would not be found in the folder ``out``.

    protoc does not tell its plugins where it writes; mostly it is below the current folder.
    """
    if len(sys.argv) > 1 or sys.stdin.isatty():
        sys.exit(
            "protoc-gen-actorrpc is run by protoc; to generate code, see: python -m actorrpc.protoc --help"
        )
    try:
        request = CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    except DecodeError:
        sys.exit("protoc-gen-actorrpc: stdin is not a CodeGeneratorRequest, which protoc would write")
    for warning in warnings(request.file_to_generate, Path(out)):
        print(f"protoc-gen-actorrpc: {warning}", file=sys.stderr)
    sys.stdout.buffer.write(respond(request).SerializeToString())


def respond(request: CodeGeneratorRequest) -> CodeGeneratorResponse:
    """Generate all files of a request, or none of them and an error for protoc to print."""
    response = CodeGeneratorResponse(
        # What is generated depends on neither the presence nor the encoding of fields.
        supported_features=CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
        | CodeGeneratorResponse.FEATURE_SUPPORTS_EDITIONS,
        minimum_edition=Edition.EDITION_PROTO2,
        maximum_edition=Edition.EDITION_2024,
    )
    try:
        response.file.extend(_files(request))
    except CodegenError as error:
        response.error = str(error)
    return response


def _files(request: CodeGeneratorRequest) -> list[CodeGeneratorResponse.File]:
    if request.parameter:
        raise CodegenError(f'unknown parameter "{request.parameter}"; protoc-gen-actorrpc takes none')
    schema = Schema(request.proto_file)
    return [
        CodeGeneratorResponse.File(
            name=module_name(proto, "_actorrpc").replace(".", "/") + ".py", content=render(proto, services)
        )
        for proto in request.file_to_generate
        if (services := schema.services(proto))
    ]


if __name__ == "__main__":
    main()
