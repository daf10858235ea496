"""The verb ``analyse``: a figure or table of the paper, from a run or from a classifier and a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from advcam.analyse import ANALYSES, Analysis, analysis
from advcam.analyse.paper import paper
from advcam.analyse.result import read_analysis
from advcam.analyse.settings import AnalyseVerb
from advcam.analyse.subject import Subject, boxed, open_subject, sample
from advcam.data import ImageSet, Record, image_size, open_dataset
from advcam.errors import SettingsError, UserError
from advcam.evaluate.metrics import read_metrics
from advcam.io.keys import plain
from advcam.io.progress import progress, say
from advcam.pipeline.config import RunConfig
from advcam.pipeline.mapping import CALIBRATED
from advcam.pipeline.record import RUN_FILE
from advcam.pipeline.run import Run, choose_device
from advcam.report.figures import name_of_masks
from advcam.saliency.folder import read_map
from advcam.verbs import recipes
from advcam.verbs.arguments import parse

FOLDER = "analysis"


def analyse(asked: AnalyseVerb) -> None:
    """Measure what is asked for, write it, and say what it comes to."""
    source = Source(asked)
    names = list(ANALYSES) if asked.figure == "all" else [name for name in asked.figure.split(",") if name]
    if not names or (unknown := [name for name in names if name not in (*ANALYSES, "paper")]):
        what = f"there is no analysis {unknown[0]!r}" if names else "name what is to be analysed"
        raise SettingsError(f"{what}: take one of {', '.join(ANALYSES)}, all, or paper")
    for name in names:
        try:
            found = source.measure(name)
        except UserError as error:
            if len(names) == 1:
                raise
            say(f"{name}: left out, {error}")
            continue
        paths = found.write(source.folder)
        say(f"{name}: {found.title}, {paths[0].with_suffix('')}.*")
        for key, value in found.numbers.items():
            text = f"{value:.4g}" if isinstance(value, float) else value
            say(f"  {key}: {text}{f' (paper: {found.paper[key]})' if key in found.paper else ''}")


@dataclass(frozen=True)
class Source:
    """Where the images, the classifier and the settings come from."""

    asked: AnalyseVerb

    @property
    def root(self) -> Path:
        return Path(self.asked.out)

    @property
    def folder(self) -> Path:
        return self.root / FOLDER

    @cached_property
    def is_run(self) -> bool:
        return (self.root / RUN_FILE).is_file()

    @cached_property
    def config(self) -> RunConfig:
        """The run's settings, or the defaults at scale 1 where there is no run; what was asked for above them."""
        asked = self.asked
        config = parse("status", ["--out", str(self.root)]) if self.is_run else RunConfig()
        if not self.is_run:
            config = replace(config, attribute=replace(config.attribute, scales=(1.0,)))
        own = {name: value for name in CLIMB if (value := getattr(asked, name)) is not None}
        maps = {name: value for name in MAPS if (value := getattr(asked, name)) is not None}
        return replace(
            config,
            data=asked.data or config.data,
            climb=replace(config.climb, **own),
            attribute=replace(config.attribute, **maps),
        )

    @cached_property
    def images(self) -> ImageSet:
        config, split = self.config, self.asked.split
        if config.data is None:
            raise SettingsError(f"{self.root} is no run folder, so the images must be named: give --data FOLDER")
        if split is None and self.is_run and self.asked.data is None:
            split = Run.open(config, clean=False).splits.maps[0]
        return open_dataset(config.data, split, labels=config.labels, classes=config.classes)

    @cached_property
    def subject(self) -> Subject:
        asked, config = self.asked, self.config
        classifier = asked.classifier or (self.root / "classifier" if self.is_run else None)
        if classifier is None:
            raise SettingsError(f"{self.root} is no run folder, so the classifier must be named: give --classifier")
        subject = open_subject(
            self.images,
            classifier,
            images=asked.images,
            climb=config.climb,
            adapt=config.attribute.adapt,
            scales=config.attribute.scales,
            max_side=config.attribute.max_side,
            device=str(choose_device(asked.device)),
            square=asked.square or (config.wsol.crop if config.wsol.method != "none" else None),
            saliency=self.saliency,
            cache=self.folder / "climbs",
            progress=counted,
        )
        return subject.with_climb(calibrate=None, **self.calibrated)

    @cached_property
    def calibrated(self) -> dict[str, float]:
        """What ``climb.calibrate`` chose for the run, in the network's units, but for what was asked for."""
        if self.config.climb.calibrate is None:
            return {}
        entry = Run.open(self.config, clean=False).record.artifacts.get(f"{self.config.attribute.kind}/maps")
        if entry is None or "calibrated" not in entry.settled:
            raise SettingsError(f"{self.root} is not calibrated yet: run `advcam attribute --out {self.root}` first")
        return {n: entry.settled["calibrated"][n] for n in CALIBRATED if getattr(self.asked, n) is None}

    @cached_property
    def saliency(self) -> Callable[[Record], torch.Tensor] | None:
        folder = Path(self.asked.saliency) if self.asked.saliency else self.root / "saliency"
        if not folder.is_dir():
            if self.asked.saliency:
                raise SettingsError(f"{folder} is no folder: name one with a salient-object map NAME.png per image")
            return None

        def own_map(record: Record) -> torch.Tensor:
            return torch.from_numpy(read_map(folder / f"{record.id}.png", image_size(record.image)))

        return own_map

    def measure(self, name: str) -> Analysis:
        if name == "paper":
            return self.paper()
        if name in ("fig8", "fig9"):
            kind, base = self.config.attribute.kind, self.config.attribute.map
            places = {name_of_masks(one): f"{one}/masks" for one in dict.fromkeys((base, kind))}
            places["network"] = "segmentation/predictions"
            folders = {label: self.root / place for label, place in places.items() if (self.root / place).is_dir()}
            if not folders:
                raise SettingsError(f"{self.root} has no masks yet: run `advcam refine` with this --out first")
            return analysis(name)(self.subject, folders)
        options = {"panels": self.asked.panels} if name == "fig11" else {}
        subject = self.subject if name in ("fig11", "table9") else replace(self.subject, saliency=None)
        if name in ("fig10", "table10") and (own := boxed(self.images.records)):
            subject = replace(subject, records=sample(replace(self.images, records=own), self.asked.images))
        if name == "fig16" and self.asked.images is not None:
            # Of many images it takes the features alone, and climbs two.
            records = sample(self.images, 10 * self.asked.images)
            subject = replace(subject, records=records, facts=subject.facts | {"images": len(records)})
        return analysis(name)(subject, **options)

    def paper(self) -> Analysis:
        """The run's numbers, and those of its analyses, beside the paper's."""
        made = [read_analysis(path) for name in ANALYSES if (path := self.folder / f"{name}.json").is_file()]
        return paper(
            read_metrics(self.root / "metrics.json"),
            plain(asdict(self.config)),
            made,
            classes=len(self.images.class_names),
            recipes=tuple(recipes.recipes()),
        )


CLIMB = ("steps", "step_size", "reg_weight", "mask_threshold")
MAPS = ("scales", "max_side", "adapt")


def counted(items: Sequence[Any], what: str) -> Iterable[Any]:
    """Goes through the items with a progress bar."""
    if not items:
        return
    with progress(what, len(items)) as advance:
        for item in items:
            yield item
            advance(1)
