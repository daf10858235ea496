"""What a verb that is no stage is told. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from advcam.data.scenes.settings import SceneSettings
from advcam.errors import SettingsError
from advcam.io.share import Part
from advcam.segment.settings import InferenceSettings


@dataclass(frozen=True)
class DoctorSettings:
    """What to look at."""

    data: str | None = None
    """A data set to check: every image and mask is opened, and all problems are listed at once."""
    split: str | None = None
    """Only this list of it."""
    labels: str | None = None
    """The labels file, where it is not found beside the images."""
    classes: str | None = None
    """A text file with one class name per line."""
    classifier: str | None = None
    """A classifier's folder: its mean average precision on the data set is measured and judged."""
    device: str = "auto"
    """Where the classifier runs: auto, cpu or cuda."""


@dataclass(frozen=True)
class BenchSettings:
    """What is timed."""

    networks: tuple[str, ...] = ("mobilenet_v2", "irn_resnet50")
    """Architectures that are climbed, with random weights."""
    size: tuple[int, int] = (375, 500)
    """Height and width of the images."""
    pairs: int = 1
    """Pairs of an image and a class in one batch."""
    precision: tuple[str, ...] = ("32", "bf16")
    """What the networks compute in, as ``attribute.precision``."""
    turns: int = 3
    """How many times everything runs; the best time counts."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the networks run."""

    def __post_init__(self) -> None:
        if self.pairs < 1 or self.turns < 1 or min(self.size) < 32:
            raise SettingsError("bench.pairs and bench.turns must be at least 1, and bench.size at least 32 x 32")


@dataclass(frozen=True)
class ScenesVerb(SceneSettings):
    """Where the generated scenes go, and what they look like."""

    out: str = "scenes"
    """The folder: the layout of PASCAL VOC with the lists train, val and test."""


@dataclass(frozen=True)
class PredictVerb(InferenceSettings):
    """Which images a trained network labels, and how."""

    images: str = ""
    """The folder of the images, with its sub-folders; or one image."""
    model: str | None = None
    """The network: a run folder whose stage segment is done, or a folder with model.safetensors and config.json."""
    out: str = "predictions"
    """Where masks, overlays and areas.csv go. The same command goes on where it was stopped."""
    overlays: bool = True
    """Write each mask over its image as well, to look through."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network runs; "auto" takes a GPU where there is one."""
    limit: int | None = None
    """Label only so many images, spread evenly over the folder: a dry run."""
    part: str | None = None
    """Part i of n only, as i/n; after all of them the same command without it writes the tables."""
    overwrite: bool = False
    """Replace predictions of another network or with other settings, instead of stopping."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.limit is not None and self.limit < 1:
            raise SettingsError(f"limit must be at least 1, not {self.limit}")
        if self.part is not None:
            Part.parse(self.part)


@dataclass(frozen=True)
class ExportVerb:
    """What is handed on, and in what form."""

    format: Literal[
        "coco", "cvat", "cvat-masks", "labelstudio", "yolo-seg", "labelme", "voc", "png", "onnx", "safetensors"
    ] = "onnx"
    """Masks for an annotation tool or a training; or a trained network: "onnx" as one file for ONNX Runtime and the
    like, "safetensors" as a folder that ``advcam.segment.load`` reads."""
    out: str = "exported"
    """The run folder, or that of predictions, whose masks are written; of a network the folder that it goes to."""
    what: Literal["masks", "instances", "boxes"] = "masks"
    """What is written of a run."""
    to: str | None = None
    """Where masks go; None takes ``export/FORMAT`` in the run folder."""
    pictures: Literal["auto", "copy", "reference"] = "auto"
    """Copy the pictures beside the annotations, or name them; "auto" copies where the format's readers need it."""
    images: str | None = None
    """The pictures that predictions are of."""
    part: str | None = None
    """Part i of n of the images only, as i/n, as an export of its own below the folder."""
    model: str | None = None
    """The network: a run folder whose stage segment is done, or a folder with model.safetensors and config.json."""


@dataclass(frozen=True)
class ReviewVerb:
    """Which run is put into a queue."""

    out: str = "run"
    """The run folder."""
    look: bool = True
    """Let the classifier look at every image once more, for classes that it sees and the labels lack."""


@dataclass(frozen=True)
class ImportVerb:
    """What comes back, and into which run."""

    corrected: str = ""
    """What the tool exported: a file, a folder or a zip."""
    out: str = "run"
    """The run folder."""
    unchanged: bool = False
    """Count masks that came back as they went out as right: all of them have been looked at."""


@dataclass(frozen=True)
class AppVerb:
    """What the page shows."""

    out: str | None = None
    """A run folder to review and to watch."""
    classifier: str | None = None
    """The classifier to explain: a folder; None takes the run's, or torchvision's ``architecture``."""
    architecture: str = "torchvision/resnet50"
    """Without a classifier: one of torchvision's, with its own weights for ImageNet."""
    port: int = 7860
    """On 127.0.0.1."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the classifier runs."""
