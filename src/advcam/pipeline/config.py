"""Everything a run can be told, in one frozen object. YAML, recipes and the command line all come from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from advcam.attribute.settings import AttributeSettings, ClimbSettings
from advcam.classify.settings import ClassifySettings
from advcam.classify.wsol.settings import WSOLSettings
from advcam.errors import SettingsError
from advcam.evaluate.settings import SweepSettings
from advcam.evaluate.wsol_settings import BoxAccSettings
from advcam.localize.settings import LocalizeSettings
from advcam.models.settings import BackboneSettings
from advcam.pipeline.settings import RefineSettings, ReportSettings, SplitSettings
from advcam.refine.affinity_settings import AffinitySettings
from advcam.refine.crf_settings import CRFSettings
from advcam.refine.irn_settings import IRNInstanceSettings, IRNSettings, IRNWalkSettings
from advcam.refine.pamr_settings import PAMRSettings
from advcam.refine.psa_settings import PSASettings
from advcam.refine.region_settings import RegionSettings
from advcam.refine.seed_settings import SeedSettings
from advcam.saliency.settings import DetectorSettings, SaliencySettings
from advcam.segment.cct.settings import CCTSettings
from advcam.segment.settings import SegmentSettings


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
