"""What tells whether an object was changed since."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ObjectState:
    """The state of an object.

    Attributes:
        num_bytes: Its size; -1 where a web server does not say.
        mtime_ns: Time of its last change in nanoseconds since 1970; -1 where a web server does not say.
        etag: What the store calls this version of it; None where it has no name.
    """

    num_bytes: int
    mtime_ns: int
    etag: str | None

    @property
    def version(self) -> str:
        """Return a name of this version of it: the ETag, or one made of size and time, as web servers do."""
        return self.etag or f"{self.num_bytes}-{self.mtime_ns}"


GONE = ObjectState(num_bytes=-1, mtime_ns=-1, etag=None)
"""The state of what is not there."""
