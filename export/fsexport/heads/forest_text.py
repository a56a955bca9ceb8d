"""LightGBM's text form, checked before LightGBM sees it: its parser ends the whole process on a damaged file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fsengine.errors import InvalidInputError
from fsexport.heads.forest_trial import try_forest

_BOM = b"\xef\xbb\xbf"
_END = b"end of trees\n"
_REQUIRED = ("num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "feature_names", "feature_infos")
_KNOWN = {*_REQUIRED, "version", "objective", "monotone_constraints", "tree_sizes"}
_FLAGS = {"tree", "average_output"}
_NUMBERS = ("num_class", "num_tree_per_iteration", "label_index", "max_feature_idx")


def read_forest(path: Path) -> str:
    """Read a LightGBM model and return a text that LightGBM loads to the same trees.

    Line ends become LF, a byte order mark goes, and what follows the trees (importances, the parameters of the
    training) is left out, since it decides nothing that is served. The sizes that LightGBM wrote of its trees tell a
    file that was cut or altered from a whole one. What passes is still loaded in another process first.

    Args:
        path: What `Booster.save_model` wrote.

    Raises:
        InvalidInputError: The file cannot be read, is no LightGBM model, or is damaged; what is wrong is named.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise InvalidInputError(f"{path} cannot be read: {exc.strerror or exc}") from exc
    try:
        text = checked_forest(data)
    except ValueError as exc:
        raise InvalidInputError(
            f"{path} is no LightGBM model in text form that can be used: {exc}; expected a whole file, as "
            "Booster.save_model writes it"
        ) from exc
    if (failure := try_forest(text)) is not None:
        raise InvalidInputError(f"{path} is no LightGBM model that can be used: {failure}; save it again")
    return text


def checked_forest(data: bytes) -> str:
    """Return the header and the trees of a model, with LF at the ends of lines.

    Raises:
        ValueError: They are not whole; the message says what was found.
    """
    data = data.removeprefix(_BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    head, separator, rest = data.partition(b"\n\n")
    if not data.startswith(b"tree\n"):
        raise ValueError(f"it begins with {data[:20]!r}, not with a line 'tree'")
    if not separator:
        raise ValueError("it ends within its first lines")
    try:
        lines = head.decode("utf-8").split("\n")
    except UnicodeDecodeError as exc:
        raise ValueError(f"byte {exc.start} is not UTF-8") from exc
    fields = _header(lines)
    trees = rest.lstrip(b"\n")
    if "tree_sizes" in fields:
        sizes = [_number("tree_sizes", size) for size in fields["tree_sizes"].split()]
        trees = _sized(trees, sizes)
        count = len(sizes)
    else:
        end = trees.find(b"\n" + _END)
        if end < 0:
            raise ValueError("the line 'end of trees' is missing")
        trees = trees[: end + 1]
        count = len(re.findall(rb"^Tree=\d+$", trees, re.MULTILINE))
    per_iteration = int(fields["num_tree_per_iteration"])
    if not count or count % per_iteration:
        raise ValueError(f"it has {count} trees, expected a multiple of {per_iteration}")
    try:
        return "\n".join(lines) + "\n\n" + trees.decode("ascii") + _END.decode()
    except UnicodeDecodeError as exc:
        raise ValueError(f"its trees hold {trees[exc.start : exc.start + 1]!r}, which is not ASCII") from exc


def _header(lines: Sequence[str]) -> Mapping[str, str]:
    """Return the `key=value` lines of a header.

    Raises:
        ValueError: A line is unknown, missing, there twice, or does not fit another one.
    """
    fields: dict[str, str] = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if (key not in _KNOWN if equals else line not in _FLAGS) or key in fields:
            raise ValueError(f"the line {line[:60]!r} is unknown, or there twice")
        if equals:
            fields[key] = value
    if missing := [key for key in _REQUIRED if key not in fields]:
        raise ValueError(f"the line {missing[0]}= is missing")
    numbers = {key: _number(key, fields[key]) for key in _NUMBERS}
    if not numbers["num_class"] or not numbers["num_tree_per_iteration"]:
        raise ValueError("it has no class")
    if numbers["num_tree_per_iteration"] != numbers["num_class"] and numbers["num_class"] > 1:
        raise ValueError(
            f"num_class is {numbers['num_class']}, and num_tree_per_iteration {numbers['num_tree_per_iteration']}"
        )
    if (stated := re.search(r"num_class:(\S*)", fields.get("objective", ""))) and stated[1] != fields["num_class"]:
        raise ValueError(f"num_class is {fields['num_class']}, and the objective says {stated[1]!r}")
    for key in ("feature_names", "feature_infos"):
        if len(fields[key].split(" ")) != numbers["max_feature_idx"] + 1:
            raise ValueError(
                f"{key} has {len(fields[key].split(' '))} entries, and max_feature_idx is {numbers['max_feature_idx']}"
            )
    return fields


def _number(key: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise ValueError(f"{key} holds {text[:20]!r}, which is no whole number")
    return int(text)


def _sized(trees: bytes, sizes: Sequence[int]) -> bytes:
    """Return the trees, each of which must begin and end where the sizes say.

    Raises:
        ValueError: One does not.
    """
    start = 0
    if not trees.startswith(b"Tree=0\n"):
        raise ValueError("'Tree=0' does not follow its first lines")
    for number, size in enumerate(sizes, start=1):
        start += size
        following = _END if number == len(sizes) else f"Tree={number}\n".encode()
        if not trees.startswith(following, start):
            raise ValueError(
                f"tree {number} of {len(sizes)} has not the {size} bytes that tree_sizes says: the file was altered or "
                "cut"
            )
    return trees[:start]
