"""`fsclient bench`: how fast a server is, and why."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fsclient.bench.benchmark import run_bench
from fsclient.bench.measure import MAX_CONCURRENCY, BenchConfig
from fsclient.bench.speed_report import bench_blocks, bench_json, notes_text
from fsclient.commands.options import server_choice, server_options
from fsengine.errors import DeadlineError, ServerUnavailableError
from fsengine.terminal.messages import say
from fsengine.terminal.option_checks import finite
from fsengine.terminal.path_types import LocalPath
from fsengine.terminal.tables import show

_DEFAULTS = BenchConfig()


def _levels(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[int, ...]:
    """Return the numbers of a list with commas, each once."""
    try:
        numbers = [int(word) for word in value.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(1 <= number <= MAX_CONCURRENCY for number in numbers):
        raise click.BadParameter(
            f"{value!r} is no list of numbers from 1 to {MAX_CONCURRENCY}; expected for example 1,4,16"
        )
    return tuple(dict.fromkeys(numbers))


@click.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTOS...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON alone on stdout.")
@click.option(
    "--concurrency",
    "concurrencies",
    metavar="N,N,...",
    default=",".join(map(str, _DEFAULTS.concurrencies)),
    show_default=True,
    callback=_levels,
    help=f"Photos in flight, 1 to {MAX_CONCURRENCY}, a level for each.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0),
    default=None,
    callback=finite,
    help=f"Least time of a level, which sends whole rounds of the photos.  [default: {_DEFAULTS.seconds:g}]",
)
@click.option("--rounds", type=click.IntRange(1), help="Send every photo so often at each level, in place of a time.")
@click.option(
    "--warm-up",
    "warm_up_photos",
    type=click.IntRange(0),
    default=_DEFAULTS.warm_up_photos,
    show_default=True,
    help="Photos sent before, not counted.",
)
@click.option(
    "--write-perf-data",
    "perf_data",
    type=LocalPath(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the photos as JSON for perf_analyzer, whose command line is printed.",
)
@click.option("--overwrite", is_flag=True, help="Let --write-perf-data replace a file that is there; never a photo.")
@server_options
def bench(
    photos: tuple[str, ...],
    as_json: bool,
    concurrencies: tuple[int, ...],
    seconds: float | None,
    rounds: int | None,
    warm_up_photos: int,
    perf_data: Path | None,
    overwrite: bool,
    server: str | None,
    models: str | None,
    without: tuple[str, ...],
    gpu: bool,
) -> None:
    r"""Measure how fast a server is with your photos, and which stage bounds it.

    PHOTOS are files, folders or quoted patterns, as for ingest. They are held
    in memory and sent with each number of photos in flight. What fails is counted
    and not tried again.

    Stages come from the server's own statistics, which count everything that it
    does meanwhile: for others too, if any use it. An embedded server shares the
    machine with this program.

    \b
    Exit codes: 0 every photo was answered; 3 some failed; 4 the server was
    unavailable or lost; 130 Ctrl-C; 2 usage; 1 any other error.

    Example: fsclient bench photos/ --server localhost:8001 --concurrency 8,32,128
    """
    if seconds is not None and rounds is not None:
        raise click.UsageError("--seconds and --rounds exclude each other: a level ends by the one or the other")
    config = BenchConfig(
        concurrencies=concurrencies,
        seconds=_DEFAULTS.seconds if seconds is None else seconds,
        rounds=rounds,
        warm_up_photos=warm_up_photos,
    )
    try:
        result = run_bench(
            photos, config, server_choice(server, models, without, gpu), say, perf_data=perf_data, overwrite=overwrite
        )
        if as_json:
            click.echo(json.dumps(bench_json(result), indent=1))
        else:
            show(bench_blocks(result))
        for line in notes_text(result):
            say(line)
    except KeyboardInterrupt:
        say("interrupted")
        raise SystemExit(130) from None
    except (ServerUnavailableError, DeadlineError) as exc:
        say(f"Error: {exc}")
        raise SystemExit(4) from exc
    raise SystemExit(result.exit_code)
