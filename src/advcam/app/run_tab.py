"""The tab that shows how far a run is and what it came to."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import gradio as gr
import msgspec

from advcam.errors import RunError
from advcam.evaluate.metrics import read_metrics
from advcam.io.files import read_table
from advcam.io.ledger import Ledger
from advcam.io.progress import duration
from advcam.io.yaml import read_yaml
from advcam.report.figures import name_of_masks

RUN_FILE, METRICS, KEYS = "run.yaml", "metrics.json", "keys"
# Seconds between two looks at the folder.
EVERY = 5


class _Made(msgspec.Struct):
    status: str = "running"
    seconds: float = 0.0
    started: str = ""
    result: dict[str, Any] = {}


class _Content(msgspec.Struct):
    artifacts: dict[str, _Made] = {}


def run_tab(run: Path, images: int) -> None:
    """Stages, figures and the report of a run; looked up again every few seconds."""
    gr.Markdown(f"`{run}`")
    headers = ["made", "status", "how far", "time"]
    stages = gr.Dataframe(headers=headers, interactive=False, label="Stages", elem_id="stages")
    figures = gr.Dataframe(
        headers=["masks", "split", "images", "mIoU", "threshold"], interactive=False, label="Figures", elem_id="figures"
    )
    report = gr.Markdown()

    def look() -> tuple[Any, ...]:
        there = (run / "report.html").is_file()
        link = "[The report](/report) opens in a tab of its own." if there else "There is no report yet."
        return stage_rows(run, images), figure_rows(run), link

    outputs = [stages, figures, report]
    gr.Timer(EVERY).tick(look, None, outputs, api_visibility="private", show_progress="hidden")
    root = gr.context.Context.root_block
    if root is not None:
        root.load(look, None, outputs, api_visibility="private")


def stage_rows(run: Path, images: int) -> list[list[str]]:
    """What was made of so many images, how it stands and how long it took; nothing while the folder cannot be read."""
    try:
        made = read_yaml(run / RUN_FILE, _Content, "restore it").artifacts
    except RunError:
        return []
    rows = []
    for name, entry in made.items():
        seconds, far = entry.seconds, f"{entry.result['images']} images" if "images" in entry.result else ""
        if entry.status == "running":
            seconds += time.time() - datetime.strptime(entry.started, "%Y-%m-%dT%H:%M:%S%z").timestamp()
            far = how_far(run, name, images)
        rows.append([name, entry.status, far, duration(seconds)])
    return rows


def how_far(run: Path, name: str, images: int) -> str:
    """How much of an artifact is there: files of images, or a training's last update."""
    if done := len(Ledger(run / KEYS / f"{name}.jsonl").lines):
        return f"{done} of {images} images"
    log = run / name / "log.csv"
    try:
        rows = read_table(log, ("update", "loss")) if log.is_file() else []
    except (OSError, ValueError):
        rows = []
    return f"update {rows[-1]['update']}, loss {rows[-1]['loss']}" if rows else ""


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
