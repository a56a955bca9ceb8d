"""Prometheus and Grafana: configurations that they read, queries that parse, metrics that Triton exports."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest

from dashboard import DOCKER, GPU_METRICS, dashboard, metrics_of, panel_queries, rule_queries
from fsengine.contracts import steps

yaml = pytest.importorskip("yaml", reason="PyYAML is missing: pip install pyyaml")

GRAFANA = DOCKER / "grafana"
SERVER_METRICS = {
    "nv_cpu_memory_total_bytes",
    "nv_cpu_memory_used_bytes",
    "nv_cpu_utilization",
    "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_input_duration_us",
    "nv_inference_compute_output_duration_us",
    "nv_inference_count",
    "nv_inference_exec_count",
    "nv_inference_pending_request_count",
    "nv_inference_queue_duration_us",
    "nv_inference_request_duration_us",
    "nv_inference_request_failure",
    "nv_inference_request_success",
    "nv_pinned_memory_pool_total_bytes",
    "nv_pinned_memory_pool_used_bytes",
}
"""What Triton exports everywhere (server documentation, metrics); the suite also asks a running one."""

LABELS = {"model", "version", "reason", "gpu_uuid", "job", "instance", "_plan"}
"""Triton's, Prometheus's own, and the tag of a step, before whose name Triton puts a line."""


def read(name: str) -> Any:
    return yaml.safe_load((DOCKER / name).read_text())


@pytest.mark.parametrize(("name", "query"), [*panel_queries(), *rule_queries()])
def test_a_query_parses_and_reads_what_triton_exports(name: str, query: str) -> None:
    promql = pytest.importorskip("promql_parser", reason="promql-parser is missing: pip install promql-parser")
    promql.parse(query)
    assert metrics_of(query) <= SERVER_METRICS | GPU_METRICS
    assert metrics_of(query) or query.startswith("up{")
    named = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query)
    grouped = [label.strip() for labels in re.findall(r"by \(([^)]*)\)", query) for label in labels.split(",")]
    assert {*named, *grouped} <= LABELS


def test_a_query_that_does_not_parse_would_be_found() -> None:
    promql = pytest.importorskip("promql_parser", reason="promql-parser is missing: pip install promql-parser")
    with pytest.raises(ValueError, match="unclosed"):
        promql.parse("sum by (model) (rate(nv_inference_count[1m])")


def test_counters_are_read_as_rates() -> None:
    for name, query in [*panel_queries(), *rule_queries()]:
        for metric in metrics_of(query):
            if re.search(r"_(count|success|failure|duration_us)$", metric) and "pending" not in metric:
                assert len(re.findall(rf"rate\({metric}[{{\[]", query)) == query.count(metric), name


def test_models_that_queries_name_are_those_that_are_served() -> None:
    served = {value for name, value in vars(steps).items() if name.isupper() and isinstance(value, str)}
    for _, query in [*panel_queries(), *rule_queries()]:
        for alternatives in re.findall(r'model\S{1,2}"([^"]+)"', query):
            for pattern in alternatives.split("|"):
                assert any(re.fullmatch(pattern, model) for model in served), pattern


def test_the_dashboard_shows_what_an_operator_asks() -> None:
    queries = " ".join(query for _, query in panel_queries())
    for metric in (SERVER_METRICS | GPU_METRICS) - {"nv_energy_consumption"}:
        assert metric in queries, metric
    assert 'model="embed"' in queries


def test_panels_are_told_apart_and_do_not_overlap() -> None:
    found = dashboard()
    panels = found["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)
    assert found["uid"] == "facestats"
    assert found["schemaVersion"] >= 39


def test_the_dashboard_reads_the_datasource_that_is_provisioned() -> None:
    (source,) = read("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    for panel in dashboard()["panels"]:
        for item in (panel, *panel["targets"]):
            assert item["datasource"] == {"type": source["type"], "uid": source["uid"]}
    services = read("compose.yaml")["services"]
    host, port = source["url"].removeprefix("http://").split(":")
    assert f"127.0.0.1:{port}:{port}" in services[host]["ports"]
    assert source["jsonData"]["timeInterval"] == read("prometheus/prometheus.yml")["global"]["scrape_interval"]


def test_the_dashboard_lies_where_grafana_looks() -> None:
    (provider,) = read("grafana/provisioning/dashboards/facestats.yaml")["providers"]
    mounts = [volume.split(":") for volume in read("compose.yaml")["services"]["grafana"]["volumes"]]
    by_target = {target: source for source, target, *_ in mounts}
    assert (DOCKER / by_target[provider["options"]["path"]] / "facestats.json").is_file()
    assert (DOCKER / by_target["/etc/grafana/provisioning"] / "dashboards").is_dir()


def test_prometheus_scrapes_the_server_of_both_profiles() -> None:
    config = read("prometheus/prometheus.yml")
    assert set(config) == {"global", "rule_files", "scrape_configs"}
    assert [DOCKER / "prometheus" / name for name in config["rule_files"]] == [DOCKER / "prometheus" / "rules.yml"]
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    assert jobs["triton"] == ["triton:8002"]
    services = read("compose.yaml")["services"]
    assert "triton" in services
    assert services["triton-cpu"]["networks"]["default"]["aliases"] == ["triton"]


def test_promtool_accepts_configuration_and_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing; it comes with Prometheus")
    command = [promtool, "check", "config", str(DOCKER / "prometheus" / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
