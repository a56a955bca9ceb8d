"""A million faces in the dashboard: how long until each page is there, and in how much memory?

    python benchmarks/results/dashboard.py --faces 1000000

Makes synthetic results, starts `fsclient dashboard`, and goes through its pages in a headless Chromium, whose WebGL
runs in software: on a screen with a GPU the map is faster. Needs the extra `analysis`, playwright, and a Chromium.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from synthetic_results import SyntheticResults

CHROMIUM = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
WAIT_MS = 300_000


def resident_gb(process: subprocess.Popen[bytes], field: str) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1e6


def start(folder: Path, log: Path) -> tuple[subprocess.Popen[bytes], str, float]:
    """Start the dashboard, and return it, its address, and how long it took."""
    began = time.monotonic()
    command = [sys.executable, "-c", "from fsclient.cli import main; main()", "dashboard", str(folder), "--port", "0"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    while not (found := re.search(r"http://[\d.]+:\d+", log.read_text())):
        if process.poll() is not None:
            raise SystemExit(log.read_text())
        time.sleep(0.1)
    return process, found[0], time.monotonic() - began


def timed(times: dict[str, float], name: str, act: Any) -> None:
    began = time.monotonic()
    act()
    times[name] = round(time.monotonic() - began, 1)
    print(f"{name}: {times[name]} s", file=sys.stderr, flush=True)


def visit(page: Any, address: str, times: dict[str, float], shots: Path | None) -> None:
    """Go through the pages."""

    def shot(name: str) -> None:
        if shots is not None:
            page.screenshot(path=str(shots / f"{name}.png"))

    def go(name: str, ready: str) -> None:
        page.goto(f"{address}/{name}")
        page.locator(ready).first.wait_for(timeout=WAIT_MS)

    timed(times, "overview", lambda: go("", "[data-testid=stMetric]"))
    timed(times, "distributions", lambda: go("distributions", "[data-testid=stImage]"))
    shot("distributions")
    timed(times, "faces, sorted by score", lambda: go("faces", ".fs-cell"))
    timed(times, "map, first picture, places found", lambda: go("map", ".fs-map[data-drawn]"))
    shot("map")
    timed(times, "map, opened again", lambda: go("map", ".fs-map[data-drawn]"))
    box = page.locator(".fs-map canvas").bounding_box()

    def lasso() -> None:
        began = time.monotonic()
        page.get_by_role("button", name="Lasso").click()
        left, top = box["x"] + 0.4 * box["width"], box["y"] + 0.4 * box["height"]
        page.mouse.move(left, top)
        page.mouse.down()
        for across, down in ((150, 0), (150, 120), (0, 120), (0, 5)):
            page.mouse.move(left + across, top + down, steps=6)
        page.mouse.up()
        times["map, of that drawing the lasso"] = round(time.monotonic() - began, 1)
        page.get_by_text(re.compile(r"selection: [\d,]+ faces, a lasso")).wait_for(timeout=WAIT_MS)

    timed(times, "map, lasso until the selection is shown", lasso)
    shot("lasso")

    def hover() -> None:
        for number in range(200):
            page.mouse.move(box["x"] + 300 + number, box["y"] + 250)
            if page.locator(".fs-thumb").is_visible():
                return

    timed(times, "map, thumbnail under the pointer", hover)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--results", type=Path, help="results that are there already")
    parser.add_argument("--shots", type=Path, help="folder for pictures of the pages")
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("there is no Chromium: apt-get install chromium")
    times: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.results or Path(temporary) / "results"
        if arguments.results is None:
            made = SyntheticResults(photos=-(-arguments.faces * 10 // 9), width=arguments.width, part_size=10_000)
            timed(times, "making results", lambda: made.write(folder))
        process, address, times["start"] = start(folder, Path(temporary) / "log")
        try:
            started_gb = resident_gb(process, "VmRSS")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM))
                page = browser.new_page(viewport={"width": 1400, "height": 1000})
                visit(page, address, times, arguments.shots)
                heap_mb = page.evaluate("performance.memory.usedJSHeapSize / 1e6")
                browser.close()
            memory = {
                "server_started_gb": round(started_gb, 2),
                "server_at_most_gb": round(resident_gb(process, "VmHWM"), 2),
                "page_heap_mb": round(heap_mb),
            }
        finally:
            process.terminate()
            process.wait(30)
    print(json.dumps({"faces": arguments.faces, "seconds": times, "memory": memory}, indent=1))


if __name__ == "__main__":
    main()
