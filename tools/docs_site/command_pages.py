"""The command reference, made from click: what each command says of itself with --help, and a table of its options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module

import click

PROGRAMS = {
    "fsclient": ("fsclient.cli", "From photos to results, and from results to answers."),
    "fsdata": ("fsdata.cli", "Labelled data sets: checked, sampled, split."),
    "fsengine": ("fsengine.cli", "Model repositories and TensorRT plans, on the machine of a server."),
    "fsexport": ("fsexport.cli", "Models to ONNX graphs and forests, checked against their sources."),
    "fstrain": ("fstraining.cli", "Heads trained on stored embeddings."),
}
"""Programs to the module of their command `main`, and what they are for."""


def command_page(program: str) -> str:
    """Return the page of a program, as Markdown."""
    module, purpose = PROGRAMS[program]
    main: click.Command = import_module(module).main
    lines = [f"# {program}", "", f"{purpose} `{program} --help` says the same as this page.", ""]
    for words, command in _commands(main, (program,)):
        lines += _section(words, command)
    return "\n".join(lines)


def _commands(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield a command and all below it that are not hidden, in the order of --help."""
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=words[-1])
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _commands(found, (*words, name))


def _section(words: tuple[str, ...], command: click.Command) -> Iterator[str]:
    """Yield the lines about one command."""
    context = click.Context(command, info_name=" ".join(words))
    if len(words) > 1:
        yield f"{'#' * min(len(words), 4)} {' '.join(words)}"
        yield ""
    yield from _prose(command.help or "")
    usage = " ".join([*words, *command.collect_usage_pieces(context)])
    yield from ("```", usage, "```", "")
    options = [option for option in command.get_params(context) if isinstance(option, click.Option)]
    rows = [
        row
        for option in options
        if "--help" not in option.opts and (row := option.get_help_record(context)) is not None
    ]
    if rows:
        yield from ("| option | meaning |", "|---|---|")
        for names, text in rows:
            yield f"| `{_cell(names)}` | {_cell(_escaped(text))} |"
        yield ""


def _prose(text: str) -> Iterator[str]:
    """Yield a help text as Markdown: what click is told not to wrap becomes a block of code."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        lines = [line.rstrip() for line in paragraph.split("\n")]
        if lines and lines[0].strip() == "\b":
            title, *rest = lines[1:]
            if title.rstrip().endswith(":") and rest:
                yield from (_escaped(title.strip()), "")
            else:
                rest = [title, *rest]
            yield from ("```", *(line.strip() for line in rest), "```", "")
        elif paragraph.strip():
            text = " ".join(line.strip() for line in lines)
            if text.startswith("Example: "):
                yield from ("```", text.removeprefix("Example: "), "```", "")
            else:
                yield from (_escaped(text), "")


def _escaped(text: str) -> str:
    return re.sub(r"([<>*_\[\]])", r"\\\1", " ".join(text.split()))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
