"""What Prometheus and Grafana of `docker/` are told, as tests read it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCKER = Path(__file__).resolve().parents[2] / "docker"

GPU_METRICS = {
    "nv_energy_consumption",
    "nv_gpu_memory_total_bytes",
    "nv_gpu_memory_used_bytes",
    "nv_gpu_power_limit",
    "nv_gpu_power_usage",
    "nv_gpu_utilization",
}
"""What Triton exports of a GPU (server documentation, metrics); a machine without one exports the others alone."""

_METRIC = re.compile(r"\bnv_\w+")


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    found: dict[str, Any] = json.loads((DOCKER / "grafana" / "dashboards" / "facestats.json").read_text())
    return found


def panel_queries() -> Iterator[tuple[str, str]]:
    """Yield title and expression of every query, with Grafana's window of a rate filled in."""
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m")


def rule_queries() -> Iterator[tuple[str, str]]:
    """Yield name and expression of every alert."""
    import yaml

    for group in yaml.safe_load((DOCKER / "prometheus" / "rules.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def metrics_of(query: str) -> set[str]:
    """Return the metrics of Triton that a query reads."""
    return set(_METRIC.findall(query))
