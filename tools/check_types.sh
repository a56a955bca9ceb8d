#!/usr/bin/env bash
# mypy, strict, where `mypy` alone does not look: tests, what they share, and the benchmarks, each folder by itself,
# since their scripts have the names of one another.
set -euo pipefail
cd "$(dirname "$0")/.."

assets=${FACESTATS_TEST_ASSETS:-$PWD/../shared}
packages=$assets/typings:client:engine:export:training:data:gateway:analysis:tools

MYPYPATH=$packages:tests/support:benchmarks:. .venv/bin/mypy --exclude tests/support tests
MYPYPATH=$packages:tests/support .venv/bin/mypy tests/support/*.py
MYPYPATH=$packages:benchmarks .venv/bin/mypy benchmarks/*.py
for folder in benchmarks/*/; do
    MYPYPATH=$packages:benchmarks:${folder%/}:benchmarks/results .venv/bin/mypy "$folder"*.py
done
