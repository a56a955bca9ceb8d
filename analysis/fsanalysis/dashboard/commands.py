"""`fsclient dashboard`: results in a browser."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from fsclient.commands.options import server_choice, server_options
from fsengine.terminal.messages import say
from fsengine.terminal.path_types import FolderType


@click.command()
@click.argument("folder", metavar="DIR", type=FolderType(exists=True))
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8501,
    show_default=True,
    help="Port; 0 for a free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--expose-faces",
    is_flag=True,
    help="Let --host be an address that others reach: they see all faces, photos and scores, without a password.",
)
@click.option(
    "--artifact",
    "artifacts",
    type=FolderType(exists=True),
    multiple=True,
    metavar="PATH",
    help="A head that fstrain made, to show its card and learning curves. Repeatable.",
)
@click.option("--open", "open_browser", is_flag=True, help="Open the page in the browser.")
@server_options
def dashboard(
    folder: Path,
    port: int,
    host: str,
    expose_faces: bool,
    artifacts: tuple[Path, ...],
    open_browser: bool,
    server: str | None,
    models: str | None,
    without: tuple[str, ...],
    gpu: bool,
) -> None:
    r"""Look through DIR in a browser: failures, distributions, faces, a map, groups, near duplicates.

    Nothing leaves this machine, and nothing is written. The server, or the models, are used for photos that are
    uploaded; they have to be those of the results. Ctrl-C stops it.

    \b
    Example:
      fsclient dashboard results
      fsclient dashboard results --port 9000 --artifact heads/age
    """
    from fsanalysis.dashboard.dashboard_app import check_host, dashboard_app, settings
    from fsanalysis.dashboard.opened import DashboardChoice, OpenedResults, show
    from fsengine.server.listening import free_port
    from fsengine.terminal.progress_bar import progress_bar

    check_host(host, expose_faces)
    port = free_port(host, port)
    app = dashboard_app(host)
    choice = DashboardChoice(folder=folder, artifacts=artifacts, server=server_choice(server, models, without, gpu))
    with progress_bar("reading faces", None, "face") as bar:
        opened = OpenedResults(choice, bar.advance)
    show(opened)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}"
    say(f"dashboard of {folder}: {address} (Ctrl-C stops it)")
    if open_browser:
        import webbrowser

        webbrowser.open(address)
    with contextlib.suppress(KeyboardInterrupt):
        app.run(config=settings(host, port))
