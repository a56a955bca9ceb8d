# What people do here. `just` comes with the extra `lint`: .venv/bin/just, or `just` where it is installed.

bin := ".venv/bin"
assets := env("FACESTATS_TEST_ASSETS", justfile_directory() / "../shared")

_default:
    @just --list --unsorted

# The environment in .venv with all that tests, checks and pages need.
setup:
    python3 -m venv .venv
    {{ bin }}/pip install -q -c constraints.txt -e '.[server,dev,docs]'

# Style and formatting.
lint:
    {{ bin }}/ruff check .
    {{ bin }}/ruff format --check .

# Types: packages, tests, benchmarks. The signatures of TensorRT are taken where the test assets have them.
types:
    MYPYPATH="{{ assets }}/typings" {{ bin }}/mypy
    tools/check_types.sh

# Tests, all or those named: just test tests/client -k stores
test *arguments:
    {{ bin }}/pytest {{ arguments }}

# The documentation site, with strict links, in build/site.
docs:
    {{ bin }}/python tools/build_site.py build/site

# The wheel and the source archive, in dist.
build:
    {{ bin }}/python -m build

# The images of compose: the server, what makes its models, and what builds plans.
images:
    cd docker && docker compose --profile cpu --profile gpu build
