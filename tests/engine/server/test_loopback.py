"""Which addresses are on this machine, and that no proxy is asked for them."""

from __future__ import annotations

import pytest

from fsengine.server.loopback import channel_options, is_loopback


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:8001", "127.9.9.9:1", "localhost:8001", "LOCALHOST.:8001", "a.localhost:1", "[::1]:8001", "0.0.0.0:1"],
)
def test_loopback_goes_through_no_proxy(address: str) -> None:
    assert is_loopback(address)
    options = dict(channel_options(address) or [])
    assert options["grpc.enable_http_proxy"] == 0
    # Given options replace those of tritonclient, without which gRPC refuses answers above 4 MB.
    assert options["grpc.max_receive_message_length"] == options["grpc.max_send_message_length"] == -1


def test_an_ipv4_address_may_be_written_as_ipv6() -> None:
    assert is_loopback("[::ffff:127.0.0.1]:8001")


@pytest.mark.parametrize("address", ["10.0.0.1:8001", "triton:8001", "localhost.example.org:8001", "[2001:db8::1]:1"])
def test_other_servers_follow_the_rules_of_grpc(address: str) -> None:
    assert not is_loopback(address)
    assert channel_options(address) is None
