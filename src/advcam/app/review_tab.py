"""The tab that goes through the queue of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
import numpy as np

from advcam.app.explain_tab import telling
from advcam.data.masks import resized_labels, voc_palette
from advcam.report.overlays import mask_overlay
from advcam.review.desk import Desk, painted

# Keys and the buttons that they press; a field that is typed into keeps its keys until Escape.
KEYS = {
    "a": "accept", "r": "reject", "n": "next", "ArrowRight": "next", "p": "previous", "ArrowLeft": "previous",
    "s": "relabel", ",": "lower", ".": "higher", "t": "take",
}  # fmt: skip
SCRIPT = """
<script>
document.addEventListener("keydown", (event) => {
  const keys = %s;
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "Escape") event.target.blur();
  if (event.target.closest("input:not([type=range]), textarea, [contenteditable=true], [role=slider]")) return;
  const found = document.querySelector(event.key === "l" ? "#labels input" : `#${keys[event.key] ?? "none"}`);
  if (!found || found.offsetParent === null) return;
  event.preventDefault();
  event.key === "l" ? found.focus() : found.click();
}, true);
</script>
"""
# By how much a key moves the threshold.
STEP = 0.05


def review_tab(desk: Desk) -> None:
    """Accept, reject, label, threshold, paint: each is saved before the next image comes."""
    names = list(desk.view.class_names)
    palette = voc_palette()
    colours = {0: (0, 0, 0)} | {k: tuple(palette[k].tolist()) for k in range(1, min(len(names), 254) + 1)}
    hexes = {label: "#" + bytes(colour).hex() for label, colour in colours.items()}
    at = gr.State(next(iter(desk.waiting()), desk.ids[0]))

    said = gr.Markdown(elem_id="queue")
    with gr.Row():
        picture = gr.Image(label="Picture", interactive=False, height=340, buttons=["fullscreen"])
        own = gr.Image(label="Mask", interactive=False, height=340, buttons=["fullscreen"], elem_id="own")
        baseline = gr.Image(
            label="Mask of plain CAM",
            interactive=False,
            height=340,
            buttons=["fullscreen"],
            visible=desk.view.baseline is not None,
        )
    with gr.Row():
        back = gr.Button("← Previous (P)", elem_id="previous")
        accept = gr.Button("Accept (A)", variant="primary", elem_id="accept")
        reject = gr.Button("Reject (R)", variant="stop", elem_id="reject")
        on = gr.Button("Next (N) →", elem_id="next")
    with gr.Row():
        with gr.Column():
            labels = gr.Dropdown(names, label="Labels of the image (L)", multiselect=True, elem_id="labels")
            relabel = gr.Button("Save labels (S)", elem_id="relabel")
        with gr.Column():
            usual = desk.view.threshold or 0.4
            level = gr.Slider(0.05, 0.95, usual, step=0.01, label="Threshold for this image", elem_id="level")
            with gr.Row():
                lower = gr.Button("Lower (,)", elem_id="lower")
                higher = gr.Button("Higher (.)", elem_id="higher")
                take = gr.Button("Take it (T)", elem_id="take")
    with gr.Accordion("Paint the mask", open=False, elem_id="paint"):
        legend = " ".join(f"<span style='color:{hexes[k]}'>■</span> {name}" for k, name in enumerate(names[:60], 1))
        gr.Markdown(f"Choose a colour: {legend}, black is background.", sanitize_html=True)
        brush = gr.Brush(colors=list(hexes.values()), default_color=hexes[min(1, len(names))], color_mode="fixed")
        editor = gr.ImageEditor(
            label="Brush",
            type="numpy",
            sources=[],
            brush=brush,
            transforms=[],
            layers=False,
            buttons=[],
            elem_id="editor",
        )
        keep = gr.Button("Save what is painted", elem_id="keep")

    outputs = [at, said, picture, own, baseline, labels, editor, level]

    def show(image_id: str) -> tuple[Any, ...]:
        with telling():
            image = desk.picture(image_id)
            size = (image.shape[0], image.shape[1])
            drawn = mask_overlay(image, resized_labels(desk.mask(image_id), size), palette)
            other = None if desk.view.baseline is None else desk.view.mask(image_id, desk.view.baseline)
            plain = None if other is None else mask_overlay(image, resized_labels(other, size), palette)
            background = {"background": drawn, "layers": [], "composite": None}
            labelled = list(desk.names(image_id))
            return image_id, describe(desk, image_id), image, drawn, plain, labelled, background, usual

    def step(by: int) -> Callable[[str], tuple[Any, ...]]:
        def go(image_id: str) -> tuple[Any, ...]:
            ids = desk.ids
            return show(ids[min(max(ids.index(image_id) + by, 0), len(ids) - 1)])

        return go

    def deciding(decide: Callable[[str], None]) -> Callable[[str], tuple[Any, ...]]:
        def go(image_id: str) -> tuple[Any, ...]:
            with telling():
                decide(image_id)
            ids = desk.ids
            after = [name for name in desk.waiting() if ids.index(name) > ids.index(image_id)]
            return show(after[0] if after else image_id)

        return go

    def save_labels(image_id: str, chosen: list[str]) -> tuple[Any, ...]:
        with telling():
            desk.relabel(image_id, chosen)
        return show(image_id)

    def move(by: float) -> Callable[[str, float], tuple[float, Any]]:
        def go(image_id: str, value: float) -> tuple[float, Any]:
            value = round(min(max(value + by, 0.05), 0.95), 2)
            return value, try_level(image_id, value)

        return go

    def try_level(image_id: str, value: float) -> Any:
        with telling():
            image = desk.picture(image_id)
            return mask_overlay(
                image, resized_labels(desk.at_threshold(image_id, value), (image.shape[0], image.shape[1])), palette
            )

    def take_level(image_id: str, value: float) -> tuple[Any, ...]:
        with telling():
            desk.correct(image_id, desk.at_threshold(image_id, value))
        return show(image_id)

    def save_paint(image_id: str, drawn: dict[str, Any] | None) -> tuple[Any, ...]:
        with telling():
            strokes = [np.asarray(layer, np.uint8) for layer in (drawn or {}).get("layers") or () if layer is not None]
            mask = desk.mask(image_id)
            for layer in strokes:
                mask = painted(mask, layer, colours)
            desk.correct(image_id, mask)
        return show(image_id)

    private = {"api_visibility": "private"}
    back.click(step(-1), at, outputs, **private)
    on.click(step(1), at, outputs, **private)
    accept.click(deciding(desk.accept), at, outputs, **private)
    reject.click(deciding(desk.reject), at, outputs, **private)
    relabel.click(save_labels, [at, labels], outputs, **private)
    level.release(try_level, [at, level], own, **private)
    lower.click(move(-STEP), [at, level], [level, own], **private)
    higher.click(move(STEP), [at, level], [level, own], **private)
    take.click(take_level, [at, level], outputs, **private)
    keep.click(save_paint, [at, editor], outputs, **private)
    first = gr.context.Context.root_block
    if first is not None:
        first.load(show, at, outputs, **private)


def describe(desk: Desk, image_id: str) -> str:
    """Where the image is in the queue, why it is there, and what was decided."""
    own = desk.entries[image_id]
    number, left = desk.ids.index(image_id) + 1, len(desk.waiting())
    decided = ", ".join(sorted({entry.decision for entry in own if entry.decision}))
    lines = [
        f"**{number} of {len(desk.ids)}**, {left} to decide · `{image_id}`" + (f" · **{decided}**" if decided else "")
    ]
    lines += [
        f"{entry.class_name}: doubt {entry.doubt:.2f}" + (f" ({', '.join(entry.reasons)})" if entry.reasons else "")
        for entry in own
    ]
    return "  \n".join(lines)
