"""What can go wrong between a client and an object store, and rules that say for which requests it does."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

S3_CODES = {400: "InvalidRequest", 401: "InvalidAccessKeyId", 403: "AccessDenied", 404: "NoSuchKey"}
S3_CODES |= {409: "OperationAborted", 429: "TooManyRequests", 500: "InternalError", 502: "BadGateway"}
S3_CODES |= {503: "ServiceUnavailable", 504: "GatewayTimeout"}


@dataclass(frozen=True)
class Fault:
    """Something that happens to a request."""


@dataclass(frozen=True)
class Refuse(Fault):
    """The connection is broken off as soon as the request's headers came."""


@dataclass(frozen=True)
class Hang(Fault):
    """Nothing is answered for so long, then the connection is broken off; the server never gets the request."""

    seconds: float


@dataclass(frozen=True)
class Delay(Fault):
    """The server gets the request so much later."""

    seconds: float


@dataclass(frozen=True)
class LostAnswer(Fault):
    """The server does what it was asked, and the connection breaks before the first byte of its answer."""


@dataclass(frozen=True)
class Cut(Fault):
    """The connection ends after so many bytes of the answer's body; an answer that is no longer arrives whole."""

    after_bytes: int


@dataclass(frozen=True)
class Stall(Fault):
    """The answer's body stops for a while after so many bytes, then goes on."""

    after_bytes: int
    seconds: float


@dataclass(frozen=True)
class Answer(Fault):
    """An error that the server does not know of is answered in its place, in S3's form."""

    code: int
    s3_code: str
    message: str
    retry_after_s: float | None = None

    def headers(self) -> list[str]:
        return [] if self.retry_after_s is None else [f"Retry-After: {self.retry_after_s:g}"]

    def body(self) -> bytes:
        return (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{self.s3_code}</Code>'
            f"<Message>{self.message}</Message><RequestId>0000000000000000</RequestId></Error>"
        ).encode()


class Status(Answer):
    """A status of the HTTP, with the code of S3 that goes with it unless another is given."""

    def __init__(self, code: int, s3_code: str = "") -> None:
        super().__init__(code, s3_code or S3_CODES.get(code, "InternalError"), f"This is a fault of status {code}.")


class Throttle(Answer):
    """S3's wish for fewer requests, maybe with the time after which to ask again."""

    def __init__(self, retry_after_s: float | None = None) -> None:
        super().__init__(503, "SlowDown", "Please reduce your request rate.", retry_after_s)


class InsufficientStorage(Answer):
    """The store is full, as MinIO says it; only what writes (PUT and POST) gets it."""

    def __init__(self) -> None:
        super().__init__(507, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold.")


Rule = Callable[[str, str, int], "Fault | None"]
"""Gets the method, the path with its query, and the number of the request, from 1 on."""


def no_faults(method: str, path: str, number: int) -> Fault | None:
    """Let everything through."""
    return None


def always(fault: Fault) -> Rule:
    """Give all requests a fault."""

    def rule(method: str, path: str, number: int) -> Fault | None:
        return fault

    return rule


def first(count: int, fault: Fault) -> Rule:
    """Give the first requests that this rule is asked about a fault."""
    left = iter(range(count))

    def rule(method: str, path: str, number: int) -> Fault | None:
        return None if next(left, None) is None else fault

    return rule


def first_of_each(count: int, fault: Fault) -> Rule:
    """Give the first requests with the same method and path a fault; those that follow get through."""
    asked: Counter[tuple[str, str]] = Counter()

    def rule(method: str, path: str, number: int) -> Fault | None:
        asked[method, path] += 1
        return fault if asked[method, path] <= count else None

    return rule


def for_seconds(seconds: float, fault: Fault) -> Rule:
    """Give all requests a fault until so long after the first that this rule is asked about."""
    end_s = math.inf

    def rule(method: str, path: str, number: int) -> Fault | None:
        nonlocal end_s
        end_s = min(end_s, time.monotonic() + seconds)
        return fault if time.monotonic() < end_s else None

    return rule


def sometimes(share: float, *faults: Fault, seed: int = 0) -> Rule:
    """Give a share of the requests one of some faults, drawn.

    What the n-th request with the same method and path gets depends on these and the seed, not on the order in which
    the requests of parallel clients come.
    """
    asked: Counter[tuple[str, str]] = Counter()

    def rule(method: str, path: str, number: int) -> Fault | None:
        asked[method, path] += 1
        drawn = random.Random(f"{seed} {method} {path} {asked[method, path]}")
        return drawn.choice(faults) if drawn.random() < share else None

    return rule


def only(rule: Rule, *, methods: Collection[str] = (), containing: str = "") -> Rule:
    """Ask a rule only about requests of some methods (all if none is named) and with a text in their path."""

    def narrowed(method: str, path: str, number: int) -> Fault | None:
        meant = (not methods or method in methods) and containing in path
        return rule(method, path, number) if meant else None

    return narrowed


def either(*rules: Rule) -> Rule:
    """Give the fault of the first rule that has one; the rules after it are not asked."""

    def rule(method: str, path: str, number: int) -> Fault | None:
        for one in rules:
            if fault := one(method, path, number):
                return fault
        return None

    return rule
