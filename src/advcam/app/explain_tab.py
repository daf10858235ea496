"""The tab that explains a picture."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from advcam.app.explain import Explainer, Frame, labels_at, reduced, shown
from advcam.app.uploads import checked_picture
from advcam.data.masks import write_mask
from advcam.errors import UserError
from advcam.report.wording import counted

MAX_STEPS, MAX_CLASSES = 40, 5


@dataclass
class Climbed:
    """What a visitor looks at."""

    picture: np.ndarray
    classes: list[int]
    frames: list[Frame] = field(default_factory=list)


def explain_tab(explainer: Explainer) -> None:
    """Drop a picture, choose classes, watch the map grow."""
    names = list(explainer.class_names)
    files = Path(tempfile.mkdtemp(prefix="advcam-app-"))
    climbed: gr.State = gr.State(None, time_to_live=1800)

    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            dropped = gr.Image(
                label="Picture", type="filepath", sources=["upload", "clipboard"], height=260, elem_id="dropped"
            )
            classes = gr.Dropdown(names, label="Classes", multiselect=True, max_choices=MAX_CLASSES, elem_id="classes")
            steps = gr.Slider(1, MAX_STEPS, 8, step=1, label="Steps of the climb")
            weight = gr.Slider(0, 30, 7, step=0.5, label="Regularizer λ (eq. 7)")
            go = gr.Button("Explain", variant="primary", elem_id="explain")
        with gr.Column(scale=3):
            said = gr.Markdown("Drop a picture.", elem_id="said")
            with gr.Row():
                cam = gr.Image(
                    label="CAM (step 0)", interactive=False, buttons=["fullscreen", "download"], elem_id="cam"
                )
                grown = gr.Image(
                    label="AdvCAM", interactive=False, buttons=["fullscreen", "download"], elem_id="advcam"
                )
                mask = gr.Image(label="Mask", interactive=False, buttons=["fullscreen", "download"], elem_id="mask")
            with gr.Row():
                shown_class = gr.Radio([], label="Class shown", visible=False)
                step = gr.Slider(0, MAX_STEPS - 1, 0, step=1, label="Step shown", elem_id="step")
                threshold = gr.Slider(0.05, 0.95, 0.4, step=0.05, label="Threshold of the mask", elem_id="threshold")
            save = gr.DownloadButton("Mask as PNG", interactive=False, elem_id="save")

    def arrived(path: str | None) -> tuple[Any, str]:
        if path is None:
            return gr.update(value=[]), "Drop a picture."
        with telling():
            likely = explainer.likely(reduced(checked_picture(path)))
        text = ", ".join(f"{name} {probability:.2f}" for name, probability in likely)
        return gr.update(value=[likely[0][0]]), f"The classifier sees: {text}."

    def explain(path: str | None, chosen: list[str], count: int, reg: float, level: float) -> Iterator[tuple]:
        with telling():
            if path is None or not chosen:
                raise gr.Error("Drop a picture and choose a class first.")
            picture = reduced(checked_picture(path))
            now = Climbed(picture, [names.index(name) for name in chosen])
            which = gr.update(choices=chosen, value=chosen[0], visible=len(chosen) > 1)
            for frame in explainer.grow(picture, now.classes, int(count), reg):
                now.frames.append(frame)
                heat, drawn = shown(picture, frame, 0, now.classes, level)
                first = heat if frame.step == 0 else gr.skip()
                scores = ", ".join(f"{name} {score:.2f}" for name, score in zip(chosen, frame.scores, strict=True))
                text = f"Step {frame.step} of {int(count) - 1}. Scores: {scores}."
                yield first, heat, drawn, text, which, gr.skip(), gr.skip(), now
            last = len(now.frames) - 1
            text = f"{counted(len(now.frames), 'step')} climbed. {text}"
            yield *[gr.skip()] * 3, text, gr.skip(), gr.update(maximum=max(last, 1), value=last), ready(now, level), now

    def ready(now: Climbed, level: float) -> Any:
        file = files / f"{id(now)}.png"
        write_mask(file, labels_at(now.frames[-1], [index % 254 for index in now.classes], level))
        return gr.update(value=str(file), interactive=True)

    def look(now: Climbed | None, which: str | None, at: int, level: float) -> tuple:
        if now is None or not now.frames:
            return gr.skip(), gr.skip(), gr.skip(), gr.skip()
        number = next((k for k, index in enumerate(now.classes) if names[index] == which), 0)
        frame = now.frames[min(int(at), len(now.frames) - 1)]
        heat, drawn = shown(now.picture, frame, number, now.classes, level)
        plain, _ = shown(now.picture, now.frames[0], number, now.classes, level)
        return plain, heat, drawn, ready(now, level)

    dropped.change(arrived, dropped, [classes, said], concurrency_limit=1, api_visibility="private")
    outputs = [cam, grown, mask, said, shown_class, step, save, climbed]
    # A generator by itself, since Gradio asks for one and a checker of types may wrap the function above.
    frames = lambda *inputs: (yield from explain(*inputs))  # noqa: E731
    inputs = [dropped, classes, steps, weight, threshold]
    go.click(frames, inputs, outputs, concurrency_limit=1, api_visibility="private")
    for control in (shown_class, step, threshold):
        control.input(look, [climbed, shown_class, step, threshold], [cam, grown, mask, save], api_visibility="private")


class telling:
    """Inside: a user's mistake is told on the page in its one sentence."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UserError):
            raise gr.Error(str(error), print_exception=False) from None
