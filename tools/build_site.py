"""Build the documentation site: docs/, and pages that are made from the code.

    python tools/build_site.py build/site

Pages are put together in build/site-pages, so that docs/ holds what people write and nothing else. A link that leads
nowhere is an error. Zensical builds it, by the authors of Material for MkDocs, which ends in May 2027.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click

import fsclient
from docs_site.command_pages import PROGRAMS, command_page
from fsengine.errors import FaceStatsError
from tool_command import ToolCommand

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = Path(__file__).with_name("docs_site") / "zensical.toml"
REPOSITORY = "https://github.com/facestats/facestats/blob/main"

_LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def write_pages(pages: Path) -> None:
    """Write all pages of the site.

    Args:
        pages: A new folder for them.
    """
    shutil.copytree(ROOT / "docs", pages)
    for name in ("CONTRIBUTING", "CHANGELOG"):
        (pages / f"{name.lower()}.md").write_text((ROOT / f"{name}.md").read_text())
    commands = pages / "reference" / "commands"
    commands.mkdir()
    for program in PROGRAMS:
        (commands / f"{program}.md").write_text(command_page(program))
    (pages / "reference" / "names.md").write_text(library_page())
    for page in pages.rglob("*.md"):
        page.write_text(_with_site_links(page, pages))


def library_page() -> str:
    """Return the page with every public name of the library, whose texts are its docstrings."""
    lines = [
        "# Every name of the library",
        "",
        "What `import fsclient` gives. How it is used: [the library](library.md).",
    ]
    for name in fsclient.__all__:
        lines += ["", f"::: fsclient.{name}"]
    return "\n".join(lines)


def _with_site_links(page: Path, pages: Path) -> str:
    """Return the text of a page with links to files of the repository that are no pages led there."""
    relative = page.relative_to(pages)
    is_of_root = relative.name in ("contributing.md", "changelog.md")
    origin = ROOT if is_of_root else (ROOT / "docs" / relative).parent

    def link(match: re.Match[str]) -> str:
        target, anchor = (origin / match[1]).resolve(), match[2] or ""
        if is_of_root and target.is_relative_to(ROOT / "docs"):
            return f"]({target.relative_to(ROOT / 'docs')}{anchor})"
        if target == ROOT / "CONTRIBUTING.md" or target == ROOT / "CHANGELOG.md":
            return f"]({'../' * (len(relative.parts) - 1)}{target.name.lower()}{anchor})"
        if target.is_relative_to(ROOT / "docs") or not target.exists():
            return match[0]
        return f"]({REPOSITORY}/{target.relative_to(ROOT)}{anchor})"

    return _LINK.sub(link, page.read_text())


@click.command(cls=ToolCommand)
@click.argument("out", type=click.Path(path_type=Path))
def main(out: Path) -> None:
    """Build the documentation site into OUT.

    Example: python tools/build_site.py build/site
    """
    work = out.with_name(f"{out.name}-pages").absolute()
    for folder in (work, out):
        shutil.rmtree(folder, ignore_errors=True)
    work.mkdir(parents=True)
    write_pages(work / "pages")
    paths = ", ".join(f'"{ROOT / name}"' for name in ("client", "data", "engine"))
    settings = f"\n[project.plugins.mkdocstrings.handlers.python]\npaths = [{paths}]\n"
    (work / "zensical.toml").write_text(SETTINGS.read_text() + settings)
    done = subprocess.run([sys.executable, "-m", "zensical", "build", "--clean", "--strict"], cwd=work, check=False)
    if done.returncode:
        raise FaceStatsError("the site is not built: see above which page links to what is not there")
    (work / "site").rename(out)


if __name__ == "__main__":
    main()
