"""Inputs x verbs: whatever stands in a file, a verb that reads it names it in one sentence, or does without it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import VERBS
from PIL import Image
from safetensors.torch import load_file, save_file

from advcam.io.arrays import write_arrays

ON_DATA = ("doctor", "fresh run", "classify")
ON_RUN = ("run", "attribute", "refine", "localize", "evaluate", "segment", "export", "review", "report", "import")
ON_RUN += ("status", "analyse", "tune")

Damage = Callable[[], object]


def put(name: str, content: bytes | str) -> Damage:
    return lambda: Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())


def swap(name: str, old: str, new: str) -> Damage:
    def damage() -> None:
        text = Path(name).read_text()
        assert old in text
        Path(name).write_text(text.replace(old, new, 1))

    return damage


def picture(name: str, array: np.ndarray) -> Damage:
    return lambda: Image.fromarray(array).save(name)


def cut(name: str) -> Damage:
    return lambda: Path(name).write_bytes(Path(name).read_bytes()[: Path(name).stat().st_size // 2])


def in_json(name: str, change: Callable[[object], object]) -> Damage:
    def damage() -> None:
        value = json.loads(Path(name).read_text())
        Path(name).write_text(json.dumps(change(value)))

    return damage


def maps(name: str = "run/advcam/maps/1.npz", **change: np.ndarray) -> Damage:
    def damage() -> None:
        with np.load(name) as arrays:
            write_arrays(Path(name), {**arrays, **change})

    return damage


def weights(folder: str, value: float) -> Damage:
    def damage() -> None:
        tensors = load_file(f"{folder}/model.safetensors")
        next(tensor for tensor in tensors.values() if tensor.is_floating_point()).flatten()[0] = value
        save_file(tensors, f"{folder}/model.safetensors")

    return damage


FILES = {"empty": b"", "binary": bytes(range(256)) * 4, "list": b"[1, 2]"}
TEXTS = {**FILES, "Latin-1": "caf\xe9: 1\n".encode("latin-1"), "nested": b"[" * 100_000, "NUL": b"a\0b"}
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(12)
)
YAMLS = {"bomb": BOMB.encode(), "tag": b"!!python/object/apply:os.system ['touch owned']", "key": b"? [1, 2]\n: 3"}
MASK = np.zeros((40, 48), np.uint8)


def cases() -> Iterator[tuple[str, Damage, tuple[str, ...], str]]:
    """What is damaged and how, the verbs that must refuse it, and what their sentence names; no name: either way."""
    for what, content in (TEXTS | YAMLS).items():
        yield f"run.yaml {what}", put("run/run.yaml", content), ("evaluate", "export"), "run/run.yaml"
        yield f"recipe {what}", put("mine.yaml", content), ("recipe",), "" if what == "empty" else "mine.yaml"
    yield "run.yaml", put("run/run.yaml", b"artifacts: 1"), ON_RUN, "run/run.yaml"
    for what, old, new in (
        ("inf", "step_size: 0.08", "step_size: .inf"),
        ("climb 5", "climb:\n", "climb: 5\nclimbs:\n"),
        ("huge", "steps: 2", f"steps: {10**30}"),
        ("text", "method: advcam", "method: [advcam]"),
        ("artifacts", "artifacts:\n", "artifacts: []\nother:\n"),
    ):
        yield f"run.yaml {what}", swap("run/run.yaml", old, new), ("evaluate", "attribute"), "run"
    for what, line in {
        "inf": "climb: {step_size: .inf}",
        "nan": "climb: {reg_weight: .nan}",
        "climb 5": "climb: 5",
        "huge": f"climb: {{steps: {10**30}}}",
        "deep": "extends: mine.yaml",
        "date": "out: 2020-99-99",
    }.items():
        yield f"recipe {what}", put("mine.yaml", line), ("recipe",), "" if what == "date" else "mine.yaml"

    # -- tables
    for what, content in {
        **TEXTS,
        "heading": "image,labels\n",
        "quote": 'image,labels\n0.png,"cat\n',
        "field": "image,labels\n0.png," + "x" * 200_000,
        "cells": "image,labels\n0.png,cat,dog,cow\n",
        "twice": "image,labels\n0.png,cat\n0.png,dog\n",
        "absolute": "image,labels\n/etc/passwd,cat\n",
        "outside": "image,labels\n../secret.png,cat\n",
        "background": "image,labels\n0.png,background;cat\n",
        "columns": "image," + ",".join(f"c{n}" for n in range(33_000)) + "\n0.png" + ",1" * 33_000 + "\n",
        "classes": "image,labels\n" + "0.png," + ";".join(f"c{n}" for n in range(100_000)) + "\n",
    }.items():
        yield f"labels {what}", put("photos/labels.csv", content), ON_DATA, "photos"
    for what, content in {"values": "image,class,x0,y0,x1,y1\n0.png,cat,nan,0,5,5\n", **FILES}.items():
        yield f"boxes {what}", put("photos/boxes.csv", content), ("doctor", "fresh run"), "photos/boxes.csv"
    inf = "image,class,x0,y0,x1,y1\n0.png,cat,0,0,inf,5\n"
    yield "boxes inf", put("photos/boxes.csv", inf), ("doctor", "fresh run"), "photos/boxes.csv"

    # -- pictures and masks
    for what, content in FILES.items():
        yield f"picture {what}", put("photos/1.png", content), ("doctor", "fresh run"), "1.png"
        yield f"mask {what}", put("photos/masks/1.png", content), ("doctor", "evaluate", "tune"), "photos/masks/1.png"
    yield "picture cut", cut("photos/1.png"), ON_DATA, "photos/1.png"
    yield "mask cut", cut("photos/masks/1.png"), ("doctor", "evaluate"), "photos/masks/1.png"
    for what, array in {
        "size": np.zeros((9, 9), np.uint8),
        "class": np.full((40, 48), 77, np.uint8),
        "float": np.full((40, 48), np.nan, np.float32),
        "colours": np.random.default_rng(0).integers(0, 255, (40, 48, 3), np.uint8),
        "16 bit": np.full((40, 48), 60_000, np.uint16),
    }.items():
        save = picture("photos/masks/1.png" if what != "float" else "photos/masks/1.tif", array)
        verbs = ("doctor", "evaluate", "tune") if what != "float" else ()
        yield f"mask {what}", save, verbs, "photos/masks/1"
        if what != "float":
            own = picture("run/advcam/masks/1.png", array)
            yield f"run's mask {what}", own, ("evaluate", "export", "review", "report"), "run/advcam/masks/1.png"
    for what, content in FILES.items():
        own = put("run/advcam/masks/1.png", content)
        yield f"run's mask {what}", own, ("evaluate", "export"), "run/advcam/masks/1.png"

    # -- maps
    sound = np.full((1, 10, 12), 0.5, np.float16)
    for what, change in {
        "NaN": {"maps": sound * np.nan},
        "scores": {"scores": np.array([np.inf], np.float32)},
        "class": {"classes": np.array([2], np.int16)},
        "negative": {"classes": np.array([-1], np.int16)},
        "size": {"maps": sound[:, :9], "image_size": np.array([36, 48], np.int32)},
        "shape": {"maps": sound[:, :9]},
        "text": {"maps": np.array("text")},
        "huge size": {"image_size": np.array([2**30, 2**30], np.int32)},
    }.items():
        consumers = ("refine", "localize", "evaluate", "tune", "report") if what in ("NaN", "class", "size") else ()
        yield f"maps {what}", maps(**change), (*consumers, "refine"), "run/advcam/maps/1.npz"
        yield f"maps {what}, export", maps(**change), ("export", "review"), "run/advcam/maps/1.npz"
    for what, content in FILES.items():
        yield f"maps {what}", put("run/advcam/maps/1.npz", content), ("refine",), "run/advcam/maps/1.npz"
    yield "maps cut", cut("run/advcam/maps/1.npz"), ("refine", "localize", "evaluate"), "run/advcam/maps/1.npz"

    # -- networks
    for value in (torch.nan, torch.inf):
        yield f"classifier {value}", weights("run/classifier", value), ("review",), "run/classifier/model.safetensors"
        yield f"weights {value}", weights("classifier", value), ("doctor classifier", "fresh run"), "classifier/model"
    for what, content in FILES.items():
        yield f"classifier's config {what}", put("classifier/config.json", content), ("fresh run",), "config.json"
        yield f"network's config {what}", put("network/config.json", content), ("predict",), "network/config.json"
        yield f"network {what}", put("network/model.safetensors", content), ("predict",), "network/model.safetensors"

    # -- what the run keeps
    for what, content in FILES.items():
        yield f"metrics {what}", put("run/metrics.json", content), ("report", "analyse"), "run/metrics.json"
        yield f"boxes of the run {what}", put("run/boxes.csv", content), ("export boxes",), "run/boxes.csv"
        yield f"review {what}", put("run/review.csv", content), ("review", "export"), "run/review.csv"
        yield f"flags {what}", put("run/flagged.csv", content), ("report",), ""
        yield f"ledger {what}", put("run/keys/advcam/maps.jsonl", content), ("status",), ""
        yield f"files {what}", put("run/keys/files.jsonl", content), ("status",), ""
        yield f"analysis {what}", put("run/analysis/fig8.json", content), ("report", "analyse"), "analysis/fig8.json"
        made = "run/export/coco/annotations/instances_default.json"
        yield f"import {what}", put(made, content), ("import",), made
        (labels := Path("run/corrected/labels.csv"))
        yield f"corrections {what}", corrections(labels, content), ("export", "evaluate"), "run/corrected/labels.csv"
    for what, key, value in (
        ("results", "results", 5),
        ("entry", "results", [{"masks": 1}]),
        ("curves", "curves", {"a": 1}),
        ("wsol", "wsol", [{}]),
        ("instances", "instances", [3]),
    ):
        change = in_json("run/metrics.json", lambda found, key=key, value=value: {**found, key: value})  # type: ignore[dict-item]
        yield f"metrics {what}", change, ("report", "analyse"), "run/metrics.json"
    rows = "image,class,score,x0,y0,x1,y1\n0,cat,inf,0,0,5,5\n"
    yield "boxes of the run inf", put("run/boxes.csv", rows), ("export boxes",), "run/boxes.csv"
    yield (
        "review NaN",
        put("run/review.csv", "image,class,doubt,reasons,decision\n0,cat,nan,,\n"),
        ("review",),
        "review",
    )
    flags = "image,class,probability,reason\n0,cow,0.5,x\n0,cat,x,y\n"
    yield "flags wrong", put("run/flagged.csv", flags), ("report",), ""
    yield "flags unknown", put("run/flagged.csv", flags[: flags.index("0,cat")]), ("report",), ""
    yield "run folder a file", lambda: (shutil.rmtree("run"), Path("run").write_text("x")), ON_RUN, "advcam: "
    yield "run folder gone", lambda: shutil.rmtree("run"), ("export", "review", "status", "tune", "evaluate"), ""


def corrections(path: Path, content: bytes) -> Damage:
    def damage() -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)

    return damage


CASES = [(what, damage, verb, named) for what, damage, verbs, named in cases() for verb in verbs]


@pytest.mark.parametrize(("what", "damage", "verb", "named"), CASES, ids=[f"{c[0]} - {c[2]}" for c in CASES])
def test_a_damaged_file(world: Path, call, what: str, damage: Damage, verb: str, named: str) -> None:
    damage()
    words = "run mine.yaml --data photos --out fresh" if verb == "recipe" else VERBS[verb]
    code, lines = call(*words.split())
    assert not Path("owned").exists()
    if named:
        assert code == 2, lines
        assert any(named in line for line in lines), lines
