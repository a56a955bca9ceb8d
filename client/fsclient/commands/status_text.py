"""Describe a running server to people."""

from __future__ import annotations

from fsclient.backend.server_metrics import ServerMetrics
from fsclient.backend.server_status import ServerStatus
from fsengine.terminal.messages import printable
from fsengine.terminal.tables import Block, Table


def status_blocks(status: ServerStatus) -> list[Block]:
    """Return what a server said of itself: text and a table of its steps."""
    ready = "ready" if status.problem is None else f"not ready: {printable(status.problem)}"
    blocks: list[Block] = [f"server    {status.server}, {ready}"]
    if status.served is None:
        return blocks
    models = status.served.models
    blocks.append(
        f"models    {models.pack}, {models.model_set_id}, {models.preprocessing_id}, by {status.served.runtime}"
    )
    if models.marks_text:
        blocks.append(f"marks     {models.marks_text}")
    blocks.append(f"licences  {', '.join(f'{step}: {licence}' for step, licence in sorted(models.licences.items()))}")
    for head, names in sorted(models.labels.items()):
        least = f" (from {models.thresholds[head]:g} on)" if head in models.thresholds else ""
        blocks.append(f"labels    {head}: {', '.join(names)}{least}")
    rows = [
        [
            name,
            f"{step['instances']:.0f}",
            *(f"{step[key]:.0f}" if key in step else "-" for key in ("requests", "rows", "executions")),
            *(f"{step[key]:.1f}" if key in step else "-" for key in ("queue_ms", "compute_ms")),
        ]
        for name, step in status.steps.items()
    ]
    header = ["step", "instances", "requests", "photos/faces", "executions", "queue ms", "compute ms"]
    if not any("requests" in step for step in status.steps.values()):
        blocks.append("statistics are for those who show the server's token (--token-file, FACESTATS_TOKEN)")
    return [*blocks, "since its start", Table(header=header, rows=rows, align="lrrrrrr", indent=2)]


def metrics_lines(metrics: ServerMetrics) -> list[Block]:
    """Return what waits in a server, and memory."""
    waiting = ", ".join(f"{model} {count}" for model, count in metrics.waiting.items() if count)
    memory = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in metrics.memory.items())
    return [f"waiting   {waiting or 'nothing'}", f"memory    {memory or 'not stated'}"]
