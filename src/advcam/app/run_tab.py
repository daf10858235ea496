"""The tab that shows how far a run is and what it came to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import msgspec

from advcam.errors import RunError
from advcam.evaluate.metrics import read_metrics
from advcam.io.yaml import read_yaml
from advcam.report.figures import name_of_masks

RUN_FILE, METRICS = "run.yaml", "metrics.json"
# Seconds between two looks at the folder.
EVERY = 5


class _Made(msgspec.Struct):
    status: str = "running"
    seconds: float = 0.0


class _Content(msgspec.Struct):
    artifacts: dict[str, _Made] = {}


def run_tab(run: Path) -> None:
    """Stages, figures and the report of a run; looked up again every few seconds."""
    gr.Markdown(f"`{run}`")
    stages = gr.Dataframe(headers=["made", "status", "time"], interactive=False, label="Stages", elem_id="stages")
    figures = gr.Dataframe(
        headers=["masks", "split", "images", "mIoU", "threshold"], interactive=False, label="Figures", elem_id="figures"
    )
    report = gr.Markdown()

    def look() -> tuple[Any, ...]:
        there = (run / "report.html").is_file()
        link = "[The report](/report) opens in a tab of its own." if there else "There is no report yet."
        return stage_rows(run), figure_rows(run), link

    outputs = [stages, figures, report]
    gr.Timer(EVERY).tick(look, None, outputs, api_visibility="private", show_progress="hidden")
    root = gr.context.Context.root_block
    if root is not None:
        root.load(look, None, outputs, api_visibility="private")


def stage_rows(run: Path) -> list[list[str]]:
    """What was made, how it stands and how long it took; nothing while the folder cannot be read."""
    try:
        made = read_yaml(run / RUN_FILE, _Content, "restore it").artifacts
    except RunError:
        return []
    return [[name, entry.status, f"{entry.seconds:.0f} s"] for name, entry in made.items()]


def figure_rows(run: Path) -> list[list[Any]]:
    """The figures of ``metrics.json``, in percent."""
    try:
        metrics = read_metrics(run / METRICS)
    except RunError:
        return []
    return [
        [
            name_of_masks(result["masks"]),
            result["split"] + (" (upper bound)" if result["threshold_chosen_on_this_split"] else ""),
            result["images"],
            "–" if result["miou"] is None else f"{100 * result['miou']:.1f}",
            "–" if result["threshold"] is None else f"{result['threshold']:.2f}",
        ]
        for result in (metrics or {}).get("results", [])
    ]
