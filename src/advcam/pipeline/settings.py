"""Settings that belong to no single component: splits, refinement as a whole, the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from advcam.data.scenes.settings import SceneSettings
from advcam.errors import SettingsError
from advcam.refine.chain_links import check_chain
from advcam.segment.inference_settings import InferenceSettings

# The resolved configuration of a run, in its folder.
CONFIG_FILE = "config.yaml"
# How each stage of it was made.
MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True)
class SplitSettings:
    """Which lists of the data set are used for what. A data set without lists needs none of them."""

    train: str | None = None
    """The classifier is trained on it; None takes ``train_aug`` or ``train`` where there are lists."""
    val: str | None = None
    """The classifier is measured on it; None takes ``val`` where there is one."""
    holdout: float = 0.1
    """Without such a list: about this fraction of the training images is kept for measuring instead."""
    maps: tuple[str, ...] = ()
    """Images that get maps and masks; none named: those of ``train``."""
    tune: str | None = None
    """Ground truth on which a background threshold may be chosen, one of ``maps``; None takes the first of them."""

    def __post_init__(self) -> None:
        if len(set(self.maps)) != len(self.maps):
            raise SettingsError(f"splits.maps names a split twice: {list(self.maps)}")
        if not 0 <= self.holdout < 1:
            raise SettingsError(f"splits.holdout must be from 0 to below 1, not {self.holdout}")


@dataclass(frozen=True)
class RefineSettings:
    """How localization maps become masks."""

    method: Literal["crf", "irn", "psa", "region_means", "regions", "affinity", "pamr", "chain", "none"] = "crf"
    """"crf": the seed is refined by a dense CRF; "irn": the maps walk up to edges that a network learns from them;
    "psa": maps spread over cells with like features; "region_means": maps take
    the mean over class-agnostic regions; "regions": such regions vote; "affinity": maps walk over
    what a frozen network finds alike; "pamr": they spread over like colours; "chain": those of ``chain``, one after the
    other; "none": the seed is the mask."""
    chain: tuple[str, ...] = ()
    """Of "chain": refinements in their order, such as [region_means, crf]. affinity, pamr and region_means work on
    maps, regions and crf on the seed of what comes before."""
    rule: Literal["seed", "confident"] = "seed"
    """"seed": one threshold, every pixel labelled. "confident": IRN's rule with two thresholds, pixels that are
    neither sure foreground nor sure background are 255."""
    unary: Literal["labels", "scores"] = "labels"
    """What the CRF starts from: hard seed labels, or the maps themselves as scores beside the threshold."""
    steps: bool = True
    """With a method that goes beyond the CRF: keep the masks of the CRF alone as well, into ``crf_masks``, so that
    the gain of each stage can be seen."""
    ambiguity: bool = False
    """With saliency: set the pixels of the finished masks to 255 where label and saliency map disagree (section 4.5).
    The paper's figures for masks are those before it."""
    baseline: bool = False
    """Refine the plain class activation maps as well, into ``cam_masks``, for comparison."""
    overlays: bool = True
    """Write each mask over its image as well, into ``overlays``, to look through."""
    max_side: int = 1280
    """Images with a longer side, in pixels, are refined at it, and their masks enlarged."""

    def __post_init__(self) -> None:
        if self.rule == "confident" and self.method not in ("crf", "none"):
            raise SettingsError(
                f"refine.rule confident makes masks of the seed or the CRF, not of {self.method}: leave it out"
            )
        if self.method == "chain":
            check_chain(self.chain)
        elif self.chain:
            raise SettingsError(f"refine.chain is for refine.method chain, not {self.method}: leave one of them out")
        if self.max_side < 32:
            raise SettingsError(f"refine.max_side must be at least 32 pixels, not {self.max_side}")


@dataclass(frozen=True)
class ReportSettings:
    """What the report shows."""

    gallery: int = 24
    """Images in the gallery; flagged ones come first."""
    strips: int = 4
    """Images whose map is shown while it grows over the steps."""
    images: int = 2000
    """Small pictures in the list of all images, some five kilobytes each."""

    def __post_init__(self) -> None:
        if self.gallery < 0 or self.strips < 0 or self.images < 0:
            raise SettingsError("report.gallery, report.strips and report.images must not be negative")


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
    overwrite: bool = False
    """Replace predictions of another network or with other settings, instead of stopping."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.limit is not None and self.limit < 1:
            raise SettingsError(f"limit must be at least 1, not {self.limit}")


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
