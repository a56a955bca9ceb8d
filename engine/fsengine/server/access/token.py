"""The secret that callers of a server show, read from a file and kept out of the list of processes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fsengine.errors import InvalidInputError
from fsengine.files.regular_file import open_regular

FEWEST_CHARACTERS = 16
MOST_CHARACTERS = 512
_ALLOWED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/")
"""Of a bearer token (RFC 6750) but for `=`, which Triton's option takes for its own."""

_ADVICE = "make one, for example: (umask 077; openssl rand -hex 32 > token)"
_ARG_START, _ARG_END = 45, 46
"""Fields 48 and 49 of /proc/PID/stat (proc(5)), counted from the one after the command."""


def read_token(path: Path, *, private: bool = True) -> str:
    """Read a token: the one line of a file.

    Args:
        path: The file.
        private: Whether its owner alone may be able to read it; secrets that are mounted in containers are not so.

    Raises:
        InvalidInputError: There is no such file, others may read it, or it holds no token of 16 to 512 letters, digits
            and `-._~+/`.
    """
    try:
        with open_regular(path) as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MOST_CHARACTERS + 3)
    except OSError as exc:
        raise InvalidInputError(f"the token file {path} cannot be read: {exc.strerror}; {_ADVICE}") from exc
    if private and mode & 0o077:
        raise InvalidInputError(
            f"the token file {path} may be read by others (mode {stat.S_IMODE(mode):04o}): chmod 600 {path}"
        )
    return checked_token(data.decode("ascii", "replace").strip(), f"the token file {path}")


def checked_token(token: str, origin: str) -> str:
    """Return a token.

    Args:
        token: The token.
        origin: Where it is from, for messages; the token itself stands in none.

    Raises:
        InvalidInputError: It is no token.
    """
    if not token:
        raise InvalidInputError(f"{origin} is empty; {_ADVICE}")
    if not set(token) <= _ALLOWED:
        raise InvalidInputError(
            f"{origin} holds something beside letters, digits and -._~+/, such as a space or a second line; {_ADVICE}"
        )
    if not FEWEST_CHARACTERS <= len(token) <= MOST_CHARACTERS:
        raise InvalidInputError(
            f"{origin} has {min(len(token), MOST_CHARACTERS + 1)} characters, expected "
            f"{FEWEST_CHARACTERS} to {MOST_CHARACTERS}; {_ADVICE}"
        )
    return token


def hide_in_command_line(pid: int, secret: str) -> bool:
    """Overwrite a secret in the command line that the list of processes shows of a running program.

    Triton takes tokens nowhere else. It has copied its options when it writes its first line.

    Args:
        pid: A process that this one started, or an ancestor of it did.
        secret: The secret.

    Returns:
        Whether nobody sees it any more.
    """
    wanted = secret.encode()
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
        with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
            memory.seek(start)
            line = memory.read(end - start)
            position = line.find(wanted)
            while position >= 0:
                memory.seek(start + position)
                memory.write(b"*" * len(wanted))
                position = line.find(wanted, position + len(wanted))
        return wanted not in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError, OverflowError):
        return False
