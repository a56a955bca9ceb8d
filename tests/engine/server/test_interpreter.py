from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fsengine.errors import ServerError
from fsengine.server.interpreter import check_machine, find_library, library_folders, library_name


def test_this_machine_is_fit() -> None:
    check_machine()


def test_the_library_is_found_in_the_first_folder_that_has_it(tmp_path: Path) -> None:
    (tmp_path / "with").mkdir()
    (tmp_path / "with" / library_name()).touch()
    assert find_library([tmp_path / "without", tmp_path / "with"]) == tmp_path / "with"


def test_a_missing_library_is_an_error_that_says_what_brings_it(tmp_path: Path) -> None:
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    with pytest.raises(ServerError, match=f"apt install libpython{minor}") as caught:
        find_library([tmp_path])
    assert str(tmp_path) in str(caught.value)


def test_the_interpreters_own_folder_comes_first() -> None:
    assert str(library_folders()[0]).startswith(sys.base_prefix)
