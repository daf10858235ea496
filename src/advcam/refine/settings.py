"""Settings of the refinements that train nothing, and which of them can follow which. Reading them loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from advcam.bounds import check
from advcam.errors import SettingsError

Link = Literal["affinity", "pamr", "region_means", "regions", "crf"]
"""A refinement that can stand in a chain."""
OF_MAPS: tuple[str, ...] = ("affinity", "pamr", "region_means")
"""Those that take maps and leave maps."""


def check_chain(links: Sequence[str]) -> None:
    """Refuses a chain that cannot be followed.

    >>> check_chain(("affinity", "regions", "crf"))
    """
    if not links:
        raise SettingsError("refine.chain is empty: name refinements in their order, such as [region_means, crf]")
    for before, link in zip((None, *links), links, strict=False):
        if link not in get_args(Link):
            raise SettingsError(f"refine.chain has {link}, and knows {', '.join(get_args(Link))}")
        if link in OF_MAPS and before is not None and before not in OF_MAPS:
            raise SettingsError(
                f"refine.chain has {link} after {before}: {link} works on maps, and {before} leaves labels, so put "
                f"{link} before it"
            )


@dataclass(frozen=True)
class SeedSettings:
    """At which values of a localization map (normalised to [0, 1]) background ends and foreground begins.

    No default here was chosen on the ground truth of the images at hand. What others use: IRN 0.15 for plain CAM,
    SC-CAM 0.15, EPS and PSA 0.20, SEAM 0.26; the released AdvCAM program reports the best of 0.15 to 0.34 on ground
    truth, its authors name 0.30 or 0.35 for the masks that go on to a CRF.
    """

    threshold: float | Literal["auto", "regions", "stability", "swept"] = 0.3
    """Background threshold: a pixel whose highest map is not above it is background. "auto": chosen from the maps of
    the whole data set without ground truth (``advcam.refine.threshold``). "regions", "stability": the one at which the
    seeds agree best with superpixels, or change least (``advcam.refine.agreement``), without ground truth too.
    "swept": the best one on the ground truth
    of ``splits.tune``, and every figure says so."""
    confident_foreground: float = 0.35
    """Threshold of the seed whose foreground is trusted (IRN's rule; 0.35 in the AdvCAM program, 0.30 in IRN's)."""
    confident_background: float = 0.15
    """Threshold of the seed whose background is trusted (IRN's rule; 0.15 in the AdvCAM program, 0.05 in IRN's)."""

    def __post_init__(self) -> None:
        names = ("threshold", "confident_foreground", "confident_background")
        check(self, "seed.", **dict.fromkeys(names, "[0, 1]"))
        if self.confident_background > self.confident_foreground:
            raise SettingsError(
                f"seed.confident_background is {self.confident_background}, above seed.confident_foreground, "
                f"{self.confident_foreground}: exchange them"
            )


@dataclass(frozen=True)
class CRFSettings:
    """Kernels and iterations of ``advcam.refine.dense_crf``; the defaults are those of ``irn()``.

    The parameter sets of the field are ``irn()``, ``psa()`` and ``deeplab()``.

    Raises:
        SettingsError: a negative or infinite weight, a standard deviation that is not positive, or a negative number
            of iterations.
    """

    iterations: int = 10
    """Mean-field iterations; 0 gives the softmax of the negative unary energies."""
    gaussian_sxy: float = 3.0
    """Standard deviation of the smoothness kernel in position, in pixels."""
    gaussian_weight: float = 3.0
    """Weight of the smoothness kernel; 0 leaves it out."""
    bilateral_sxy: float = 50.0
    """Standard deviation of the appearance kernel in position, in pixels."""
    bilateral_srgb: float = 5.0
    """Standard deviation of the appearance kernel in colour, in levels of 0-255."""
    bilateral_weight: float = 10.0
    """Weight of the appearance kernel; 0 leaves it out."""

    def __post_init__(self) -> None:
        check(
            self,
            "crf.",
            **dict.fromkeys(("iterations", "gaussian_weight", "bilateral_weight"), "[0, inf)"),
            **dict.fromkeys(("gaussian_sxy", "bilateral_sxy", "bilateral_srgb"), "(0, inf)"),
        )

    @classmethod
    def irn(cls) -> CRFSettings:
        """IRN's and AdvCAM's label generation; made for ``unary_from_labels``."""
        return cls()

    @classmethod
    def psa(cls) -> CRFSettings:
        """The soft CRF of PSA, SC-CAM, SEAM and EPS; made for ``unary_from_scores``."""
        return cls(bilateral_sxy=80.0, bilateral_srgb=13.0)

    @classmethod
    def deeplab(cls) -> CRFSettings:
        """DeepLab-v2 at test time; made for ``unary_from_scores`` of a softmax."""
        return cls(gaussian_sxy=1.0, bilateral_sxy=67.0, bilateral_srgb=3.0, bilateral_weight=4.0)


@dataclass(frozen=True)
class PAMRSettings:
    """Iterations and reach of ``pamr``; the defaults are the paper's."""

    iterations: int = 10
    """How often every pixel takes the mean of its neighbours; 0 changes nothing."""
    dilations: tuple[int, ...] = (1, 2, 4, 8, 12, 24)
    """Distances in pixels of the eight neighbours; all of them count at once."""
    width: float = 0.1
    """How unlike a neighbour may be, in standard deviations of the colours around the pixel."""

    def __post_init__(self) -> None:
        check(self, "pamr.", iterations="[0, inf)", dilations="[1, inf)", width="(0, inf)")
        if not self.dilations:
            raise SettingsError("pamr.dilations is empty: name one distance or more")


@dataclass(frozen=True)
class AffinitySettings:
    """Whose opinion of "alike" the maps walk over, and how far."""

    source: Literal["classes", "features", "tokens", "attention"] = "classes"
    """"classes": the class distributions of the classifier's cells (Jensen-Shannon); "features": the cosine of its last
    features; "tokens" and "attention": the cosine of the patches of a vision transformer, and its attention
    (CLIP-ES)."""
    model: str | None = None
    """Of "tokens" and "attention": timm's name of a vision transformer, such as ``vit_small_patch16_dinov3.lvd1689m``
    or ``vit_base_patch16_clip_224.openai``."""
    weights: str | None = None
    """Its weights: a safetensors file; nothing is downloaded."""
    radius: int = 5
    """Of all but "attention": cells closer than this are tied."""
    beta: float = 32.0
    """Of all but "attention": power of the affinities, the larger the less unlike cells exchange."""
    steps: int = 4
    """Steps of the walk; CLIP-ES takes 2 over its attention."""
    layers: int = 8
    """Of "attention": the last so many blocks are averaged."""
    box_threshold: float | None = 0.4
    """Of "attention": the walk stays in the boxes around what exceeds this share of the map's maximum; null: it does
    not."""

    def __post_init__(self) -> None:
        if self.source in ("tokens", "attention") and not (self.model and self.weights):
            raise SettingsError(
                f"affinity.source {self.source} needs affinity.model, a transformer of timm, and affinity.weights, its "
                "file"
            )
        check(self, "affinity.", radius="[2, inf)", beta="(0, inf)", steps="[1, inf)", layers="[1, inf)")


@dataclass(frozen=True)
class RegionSettings:
    """Where regions come from, and how they vote (``advcam.refine.regions``)."""

    source: Literal["felzenszwalb", "slic", "folder", "sam"] = "felzenszwalb"
    """Superpixels of scikit-image by either method; "folder": files that another program wrote; "sam": Segment
    Anything with the weights at ``weights``."""
    folder: str | None = None
    """Of "folder": ``<image id>.png``, ``.npy``, ``.npz`` or ``.json``, see docs/refinement.md."""
    weights: str | None = None
    """Of "sam": a folder that transformers' ``save_pretrained`` wrote."""
    prompts: Literal["grid", "boxes", "points"] = "grid"
    """Of "sam": a grid of points all over the picture, or the boxes or the highest points of the maps."""
    scales: tuple[float, ...] = (100.0, 300.0, 900.0)
    """Of superpixels: Felzenszwalb's scale, or SLIC's number of regions; each gives one partition of the picture."""
    sigma: float = 0.8
    """Of superpixels: standard deviation in pixels of the smoothing before."""
    min_size: int = 50
    """Of Felzenszwalb's: regions of fewer pixels join a neighbour."""
    compactness: float = 10.0
    """Of SLIC: weight of the distance against that of the colours."""
    covered: float = 0.5
    """A region takes the class whose mask covers more than this share of it."""
    covering: float | None = 0.85
    """Or the one of whose mask it covers more than this share; null: never."""

    def __post_init__(self) -> None:
        check(self, "regions.", scales="(0, inf)", covered="[0, 1)", covering="[0, 1)")
        if not self.scales:
            raise SettingsError("regions.scales is empty: name one number or more")
        if self.source == "folder" and not self.folder:
            raise SettingsError("regions.source folder needs regions.folder, where the files are")
        if self.source == "sam" and not self.weights:
            raise SettingsError("regions.source sam needs regions.weights, a folder that transformers wrote")
