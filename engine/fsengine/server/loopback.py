"""Channels to a server on this machine, which no proxy stands before."""

from __future__ import annotations

import ipaddress

_ANY_SIZE = -1


def is_loopback(address: str) -> bool:
    """Return whether `host:port` is on this machine by its very name, such as `localhost:8001` or `[::1]:8001`."""
    return is_loopback_host(address.rpartition(":")[0])


def is_loopback_host(host: str) -> bool:
    """Return whether a name or an address stands for this machine; see `is_loopback`."""
    name = host.removeprefix("[").removesuffix("]").lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    number = _number(host)
    if number is None:
        return False
    mapped = getattr(number, "ipv4_mapped", None)
    return (mapped or number).is_loopback or number.is_unspecified


def is_unspecified_host(host: str) -> bool:
    """Return whether a server that listens on it does so on every address, such as `0.0.0.0` or `[::]`."""
    number = _number(host)
    return not host or (number is not None and (getattr(number, "ipv4_mapped", None) or number).is_unspecified)


def _number(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]").rstrip("."))
    except ValueError:
        return None


def channel_options(address: str) -> list[tuple[str, int]] | None:
    """Return the options of a gRPC channel to `host:port`; None for those that tritonclient gives by itself.

    gRPC sends what is meant for 127.0.0.1 to the proxy of `http_proxy`, `https_proxy` or `grpc_proxy` too, unless
    `no_proxy` says otherwise. Channels to other machines keep to these rules.
    """
    return [("grpc.enable_http_proxy", 0), *unlimited_messages()] if is_loopback(address) else None


def unlimited_messages() -> list[tuple[str, int]]:
    """Return the options of a channel for messages of any size, which tritonclient leaves out where any are given."""
    return [("grpc.max_send_message_length", _ANY_SIZE), ("grpc.max_receive_message_length", _ANY_SIZE)]
