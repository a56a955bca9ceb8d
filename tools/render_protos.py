"""Write the `.proto` files of the gRPC protocol, for callers in other languages, from the descriptors in tritonclient.

python tools/render_protos.py --out examples/proto
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from fsengine.files.atomic import temporary_file
from fsengine.terminal.messages import say
from tool_command import ToolCommand

_NOTICE = """\
// Rendered from the descriptors in the wheel of tritonclient by tools/render_protos.py, so without the comments of the
// original: https://github.com/triton-inference-server/common, protobuf/{name}.
//
// Copyright (c) 2018-2024, NVIDIA CORPORATION & AFFILIATES. All rights reserved.
//
// Redistribution and use in source and binary forms, with or without
// modification, are permitted provided that the following conditions
// are met:
//  * Redistributions of source code must retain the above copyright
//    notice, this list of conditions and the following disclaimer.
//  * Redistributions in binary form must reproduce the above copyright
//    notice, this list of conditions and the following disclaimer in the
//    documentation and/or other materials provided with the distribution.
//  * Neither the name of NVIDIA CORPORATION nor the names of its
//    contributors may be used to endorse or promote products derived
//    from this software without specific prior written permission.
//
// THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS ``AS IS'' AND ANY
// EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE
// IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR
// PURPOSE ARE DISCLAIMED.  IN NO EVENT SHALL THE COPYRIGHT OWNER OR
// CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL,
// EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED TO,
// PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, DATA, OR
// PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY
// OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT
// (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE
// OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.

"""

_INDENT = "  "


def rendered_protos() -> dict[str, str]:
    """Return the text of each file of the protocol by its name.

    Raises:
        ValueError: A descriptor uses what is not rendered.
    """
    from google.protobuf import descriptor_pb2
    from tritonclient.grpc import model_config_pb2, service_pb2

    texts = {}
    for module in (service_pb2, model_config_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        texts[Path(file.name).name] = "\n".join([_NOTICE.format(name=Path(file.name).name), *_file(file), ""])
    return texts


def _file(file: Any) -> Iterator[str]:
    if file.syntax != "proto3" or file.extension:
        raise ValueError(f"{file.name} is {file.syntax or 'proto2'} with {len(file.extension)} extensions")
    yield 'syntax = "proto3";'
    yield ""
    yield f"package {file.package};"
    yield from ("", *(f'import "{Path(name).name}";' for name in file.dependency)) if file.dependency else ()
    for service in file.service:
        yield from ("", f"service {service.name} {{")
        for method in service.method:
            asked = f"{'stream ' if method.client_streaming else ''}{_short(method.input_type)}"
            told = f"{'stream ' if method.server_streaming else ''}{_short(method.output_type)}"
            yield f"{_INDENT}rpc {method.name}({asked}) returns ({told}) {{}}"
        yield "}"
    for enum in file.enum_type:
        yield from ("", *_enum(enum, ""))
    for message in file.message_type:
        yield from ("", *_message(message, ""))


def _message(message: Any, indent: str) -> Iterator[str]:
    maps = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
    inner = indent + _INDENT
    yield f"{indent}message {message.name} {{"
    for nested in message.nested_type:
        if nested.name not in maps:
            yield from _message(nested, inner)
    for enum in message.enum_type:
        yield from _enum(enum, inner)
    begun: set[int] = set()
    for field in message.field:
        if not field.HasField("oneof_index") or field.proto3_optional:
            yield inner + _field(field, maps)
        elif field.oneof_index not in begun:
            begun.add(field.oneof_index)
            yield f"{inner}oneof {message.oneof_decl[field.oneof_index].name} {{"
            for one in message.field:
                if one.HasField("oneof_index") and one.oneof_index == field.oneof_index:
                    yield inner + _INDENT + _field(one, maps)
            yield f"{inner}}}"
    yield f"{indent}}}"


def _field(field: Any, maps: dict[str, Any]) -> str:
    entry = maps.get(field.type_name.rpartition(".")[2])
    if entry is not None:
        key, value = entry.field
        return f"map<{_type(key)}, {_type(value)}> {field.name} = {field.number};"
    rule = "repeated " if field.label == field.LABEL_REPEATED else "optional " if field.proto3_optional else ""
    return f"{rule}{_type(field)} {field.name} = {field.number};"


def _type(field: Any) -> str:
    if field.type_name:
        return _short(field.type_name)
    return str(field.Type.Name(field.type)).removeprefix("TYPE_").lower()


def _short(name: str) -> str:
    """Return a type's name within the package."""
    return name.removeprefix(".inference.")


def _enum(enum: Any, indent: str) -> Iterator[str]:
    yield f"{indent}enum {enum.name} {{"
    for value in enum.value:
        yield f"{indent}{_INDENT}{value.name} = {value.number};"
    yield f"{indent}}}"


@click.command(cls=ToolCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the files.",
)
def main(out: Path) -> None:
    """Write the `.proto` files of the gRPC protocol from the descriptors in tritonclient.

    Example: python tools/render_protos.py --out examples/proto
    """
    out.mkdir(parents=True, exist_ok=True)
    for name, text in rendered_protos().items():
        with temporary_file(out / name) as temporary:
            temporary.write_text(text)
        say(f"wrote {out / name}")


if __name__ == "__main__":
    main()
