"""The protocol files in examples/ are those of the installed tritonclient, and say what its descriptors say."""

from __future__ import annotations

from pathlib import Path

from render_protos import rendered_protos

PROTOS = Path(__file__).resolve().parents[2] / "examples" / "proto"


def test_the_committed_files_are_a_fresh_rendering() -> None:
    assert {path.name: path.read_text() for path in PROTOS.iterdir()} == rendered_protos()


def test_they_hold_the_notice_and_every_message_and_field() -> None:
    from tritonclient.grpc import model_config_pb2, service_pb2

    for module in (service_pb2, model_config_pb2):
        text = rendered_protos()[Path(module.DESCRIPTOR.name).name]
        assert "Redistribution and use in source and binary forms" in text
        for message in module.DESCRIPTOR.message_types_by_name.values():
            assert f"message {message.name} {{" in text
            for field in message.fields:
                assert f" {field.name} = {field.number};" in text
        for service in module.DESCRIPTOR.services_by_name.values():
            assert text.count("  rpc ") == len(service.methods)
