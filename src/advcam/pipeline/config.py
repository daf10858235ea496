"""Everything a run can be told, in one frozen object. YAML, recipes and the command line all come from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from advcam.attribute.settings import AttributeSettings, ClimbSettings
from advcam.classify.settings import ClassifySettings, SubCategorySettings
from advcam.classify.wsol.settings import WSOLSettings
from advcam.errors import SettingsError
from advcam.evaluate.settings import BoxAccSettings, SweepSettings
from advcam.io.share import Part
from advcam.localize.settings import LocalizeSettings
from advcam.models.settings import BackboneSettings
from advcam.refine.irn_settings import IRNInstanceSettings, IRNSettings, IRNWalkSettings
from advcam.refine.psa_settings import PSASettings
from advcam.refine.settings import (
    AffinitySettings,
    CRFSettings,
    PAMRSettings,
    RegionSettings,
    SeedSettings,
    check_chain,
)
from advcam.saliency.settings import DetectorSettings, SaliencySettings
from advcam.segment.cct.settings import CCTSettings
from advcam.segment.settings import SegmentSettings


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
    """With a method that goes beyond the CRF: keep the masks of the CRF alone as well, into ``crf``, so that the gain
    of each stage can be seen."""
    ambiguity: bool = False
    """With saliency: set the pixels of the finished masks to 255 where label and saliency map disagree (section 4.5).
    The paper's figures for masks are those before it."""
    baseline: bool = False
    """Refine the plain class activation maps as well, into ``cam/masks``, for comparison."""
    overlays: bool = True
    """Write each mask over its image as well, into ``overlays``, to look through."""
    max_side: int = 1280
    """Images with a longer side, in pixels, are refined at it, and their masks enlarged."""
    window: int = 0
    """Images with a longer side than this, in pixels, are refined at their own size in overlapping windows of it, each
    pixel in the window whose middle is nearest; 0: such images are reduced. For crf and none."""

    def __post_init__(self) -> None:
        if self.window and self.method not in ("crf", "none"):
            raise SettingsError(
                f"refine.window is for refine.method crf or none, and {self.method} looks at whole images: leave it out"
            )
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
        if self.window != 0 and self.window < 64:
            raise SettingsError(f"refine.window must be 0 or at least 64 pixels, not {self.window}")


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
class RunConfig:
    """A whole run: data in, run folder out, and the settings of every stage."""

    data: str | None = None
    """The data set: a folder or a file in any of the formats that are read."""
    out: str = "runs/run"
    """The run folder. A run that was stopped goes on when the same command is given again."""
    labels: str | None = None
    """The labels, where they are not found beside the images: a table, COCO's JSON, ``cls_labels.npy``, WSOL lists."""
    classes: str | None = None
    """A text file with one class name per line, in the order of the indices; else the names that occur, sorted."""
    splits: SplitSettings = field(default_factory=SplitSettings)
    """Which lists of the data set are used for what."""
    classifier: str | None = None
    """Weights of a classifier already trained on these classes (its folder, or a weights file for ``backbone``):
    nothing is trained then."""
    backbone: BackboneSettings = field(default_factory=BackboneSettings)
    """The network and the weights it starts from."""
    classify: ClassifySettings = field(default_factory=ClassifySettings)
    """Training of the classifier."""
    sub_categories: SubCategorySettings = field(default_factory=SubCategorySettings)
    """SC-CAM's rounds, where ``classify.method`` is sub_categories."""
    saliency: SaliencySettings = field(default_factory=SaliencySettings)
    """Salient-object maps, which bound the climb and the masks (sections 4.4 and 4.5)."""
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    """Training of the salient object detector."""
    wsol: WSOLSettings = field(default_factory=WSOLSettings)
    """Localization from class labels: with a method, the classifier is trained by it in place of ``classify``."""
    attribute: AttributeSettings = field(default_factory=AttributeSettings)
    """Localization maps."""
    climb: ClimbSettings = field(default_factory=ClimbSettings)
    """The climb, in the units of the authors' network; paper() of the library is recipe ``climb_paper``."""
    seed: SeedSettings = field(default_factory=SeedSettings)
    """Thresholds of the seed."""
    refine: RefineSettings = field(default_factory=RefineSettings)
    """From maps to masks."""
    crf: CRFSettings = field(default_factory=CRFSettings)
    """The dense CRF."""
    regions: RegionSettings = field(default_factory=RegionSettings)
    """Class-agnostic regions that vote."""
    affinity: AffinitySettings = field(default_factory=AffinitySettings)
    """The walk over what a frozen network finds alike."""
    pamr: PAMRSettings = field(default_factory=PAMRSettings)
    """Pixel-adaptive refinement."""
    localize: LocalizeSettings = field(default_factory=LocalizeSettings)
    """Boxes from the maps."""
    psa: PSASettings = field(default_factory=PSASettings)
    """PSA: its network, its training, its walk."""
    box_acc: BoxAccSettings = field(default_factory=BoxAccSettings)
    """How the maps of a localization run are held against boxes (MaxBoxAcc)."""
    irn: IRNSettings = field(default_factory=IRNSettings)
    """IRN: the labels it learns from come by ``seed.confident_foreground``, ``seed.confident_background`` and
    ``crf``."""
    irn_walk: IRNWalkSettings = field(default_factory=IRNWalkSettings)
    """IRN's walk from maps to masks."""
    instances: IRNInstanceSettings = field(default_factory=IRNInstanceSettings)
    """One mask per object; none unless asked for."""
    sweep: SweepSettings = field(default_factory=SweepSettings)
    """The thresholds that an evaluation tries."""
    segment: SegmentSettings = field(default_factory=SegmentSettings)
    """The segmentation network that is trained on the masks; none unless asked for."""
    cct: CCTSettings = field(default_factory=CCTSettings)
    """Its training from some images with masks and many without, where ``segment.method`` is cct."""
    report: ReportSettings = field(default_factory=ReportSettings)
    """What the report shows."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where tensors live; "auto" takes a GPU where there is one."""
    processes: int | None = None
    """Processes that share the work on images, each with its part of the cores; on GPUs each has one of its own. None
    takes one process, or as many as there are GPUs."""
    engine: Literal["local", "ray"] = "local"
    """Who works on images: processes of this machine, or those of Ray, here or on a cluster."""
    ray_address: str | None = None
    """The cluster, such as "auto" or "ray://head:10001"; None starts Ray on this machine alone."""
    part: str | None = None
    """Of a stage that goes image by image, part i of n only, as i/n; `advcam collect` closes the stage."""
    limit: int | None = None
    """Use only so many images of every split, spread evenly over it: a dry run."""
    overwrite: bool = False
    """Replace what was made otherwise, instead of stopping: another setting, another network, other images."""
    skip_bad: bool = False
    """Leave out images that cannot be used, and list them in ``run.yaml``, instead of stopping."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise SettingsError(f"limit must be at least 1, not {self.limit}")
        if self.refine.ambiguity and self.saliency.source == "none":
            raise SettingsError(
                "refine.ambiguity needs saliency maps: name where they come from with --saliency.source"
            )
        if self.wsol.method != "none" and self.saliency.source != "none":
            raise SettingsError(
                f"saliency.source is {self.saliency.source}, but a run with wsol.method takes no saliency (section "
                "4.6): set it to none"
            )
        if self.processes is not None and not 1 <= self.processes <= 4096:
            raise SettingsError(f"processes must be from 1 to 4096, not {self.processes}")
        if self.part is not None:
            Part.parse(self.part)
