"""The names that `import fsclient` gives, and what importing it costs."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import fsclient
from fsengine import errors

HEAVY = ("torch", "onnxruntime", "pyarrow", "numpy", "tritonclient", "PIL", "click")


def test_every_public_name_is_there_sorted_and_nothing_else() -> None:
    public = [name for name in fsclient.__all__ if name != name.upper()]
    constants = [name for name in fsclient.__all__ if name == name.upper()]
    assert fsclient.__all__ == sorted(constants) + sorted(public)
    for name in fsclient.__all__:
        assert getattr(fsclient, name) is not None
    assert dir(fsclient) == sorted(fsclient.__all__)


def test_the_names_for_type_checkers_are_those_that_are_imported() -> None:
    tree = ast.parse(Path(fsclient.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    declared = {
        alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert {*declared, "__version__"} == set(fsclient.__all__)
    for name, module in declared.items():
        assert fsclient._MODULES.get(name, "fsengine.errors") == module, name


def test_the_whole_tree_of_errors_is_public() -> None:
    tree = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert tree <= set(fsclient.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    assert not hasattr(fsclient, "Clinet")


def test_importing_the_library_loads_nothing_heavy() -> None:
    program = f"import sys, fsclient\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_library_takes_less_than_a_sixth_of_a_second() -> None:
    def least_seconds(program: str) -> float:
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            seconds.append(time.perf_counter() - started)
        return min(seconds)

    assert least_seconds("import fsclient") - least_seconds("pass") < 0.15
