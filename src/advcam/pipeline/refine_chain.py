"""Masks by regions, by affinities of frozen features, by PAMR, and by chains of these and the dense CRF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from advcam.attribute.result import LocalizationMaps
from advcam.data.images import read_image
from advcam.data.record import Record
from advcam.errors import SettingsError
from advcam.io.keys import key_of
from advcam.pipeline.classify import run_classifier
from advcam.pipeline.keys import Facts
from advcam.pipeline.mapping import reduce
from advcam.pipeline.refiner import (
    Labels,
    MaskSet,
    Method,
    Prepared,
    Subject,
    check_swept_seed,
    choose_once,
    fixed_seed,
    labels_by_crf,
)
from advcam.pipeline.run import Run
from advcam.pipeline.scoring import choose
from advcam.refine.chain import Chain
from advcam.refine.settings import check_chain

Link = Callable[[Subject, Tensor], Tensor]


def links_of(run: Run) -> tuple[str, ...]:
    """The chain that the settings ask for: one link, or several."""
    asked = run.config.refine
    return asked.chain if asked.method == "chain" else (asked.method,)


def section_of(link: str) -> str:
    """The section of settings of a link."""
    return "regions" if link == "region_means" else link


def _settings(run: Run) -> dict[str, Any]:
    links = links_of(run)
    check_chain(links)
    found: dict[str, Any] = {"chain": list(links)}
    found |= {section: asdict(getattr(run.config, section)) for section in map(section_of, links)}
    # Where files lie changes nothing; what they hold does.
    for link, places in (("affinity", ("weights",)), ("regions", ("folder", "weights"))):
        for place in places if link in found else ():
            del found[link][place]
    return found | _contents(run)


def _contents(run: Run) -> dict[str, Any]:
    """What networks and files the masks are made with."""
    links, affinity, regions, found = links_of(run), run.config.affinity, run.config.regions, {}
    if "affinity" in links:
        own = affinity.source in ("classes", "features")
        found["alike"] = run.content("classifier", "classify") if own else _digest(run, str(affinity.weights))
    if {"regions", "region_means"} & set(links) and regions.source in ("folder", "sam"):
        found["regions_from"] = _digest(run, str(regions.folder if regions.source == "folder" else regions.weights))
    return found


def _prepare(run: Run, masks: MaskSet, known: Facts) -> Prepared:
    chain, side = chain_of(run, links_of(run)), run.config.refine.max_side

    def maps_of(record: Record, result: LocalizationMaps) -> Float[Tensor, "k h w"]:
        return chain.maps(Subject(record, reduce(read_image(record.image), side), result))

    return choose_once(run, masks, known, lambda: choose(run, masks.kind, maps_of if chain.of_maps else None))


def _labels(run: Run, masks: MaskSet, prepared: Prepared) -> Labels:
    from advcam.refine.seeds import dataset_labels

    assert prepared.threshold is not None
    chain, threshold = chain_of(run, links_of(run)), prepared.threshold.value

    def of(subject: Subject) -> UInt8[np.ndarray, "h w"]:
        return dataset_labels(chain.labels(subject, threshold), subject.classes).numpy()

    return of


def _check_data(run: Run) -> None:
    check_swept_seed(run)
    if "affinity" not in links_of(run) or run.config.affinity.source not in ("classes", "features"):
        _contents(run)


CHAIN = Method(_settings, _prepare, _labels, fixed_seed, check_data=_check_data)


def _digest(run: Run, path: str) -> str:
    place = Path(path)
    files = {"": place} if place.is_file() else {str(p.relative_to(place)): p for p in sorted(place.rglob("*.*"))}
    if not files:
        raise SettingsError(f"{path}: there is no such file or folder: correct the path")
    found = run.fingerprints.of({f"{path}:{name}": file for name, file in files.items()})
    return key_of([[name, found[f"{path}:{name}"]] for name in files])


def chain_of(run: Run, links: tuple[str, ...]) -> Chain:
    """The links of a chain with the run's settings; none at all leaves maps and seed as they are."""
    makers = {"affinity": _affinity, "pamr": _pamr, "region_means": _means, "regions": _regions, "crf": _crf}
    return Chain.of(links, {link: makers[link](run) for link in dict.fromkeys(links)}) if links else Chain((), ())


def _affinity(run: Run) -> Link:
    from advcam.refine.affinity import Affinity, load_transformer

    asked = run.config.affinity
    if asked.source in ("classes", "features"):
        affinity = Affinity(asked, mapper=run_classifier(run).to(run.device).mapper())
    else:
        affinity = Affinity(asked, transformer=load_transformer(str(asked.model), str(asked.weights), run.device))
    one_at_a_time = Lock()

    def of(subject: Subject, maps: Float[Tensor, "k h w"]) -> Float[Tensor, "k h w"]:
        # Attention is seen by hooks on the network, so no two passes may cross.
        with one_at_a_time:
            return affinity(subject.image, maps)

    return of


def _pamr(run: Run) -> Link:
    from advcam.refine.pamr import pamr

    def of(subject: Subject, maps: Float[Tensor, "k h w"]) -> Float[Tensor, "k h w"]:
        return _to_one(pamr(torch.tensor(subject.image), maps.to(run.device), run.config.pamr).cpu())

    return of


def _crf(run: Run) -> Link:
    from advcam.refine.unary import unary_from_labels

    return lambda subject, mask: labels_by_crf(run, subject, unary_from_labels(mask, len(subject.classes) + 1))


def _means(run: Run) -> Link:
    from advcam.refine import regions

    find = _finder(run)

    def of(subject: Subject, maps: Float[Tensor, "k h w"]) -> Float[Tensor, "k h w"]:
        return _to_one(regions(maps, find(subject)))

    return of


def _to_one(maps: Float[Tensor, "k h w"]) -> Float[Tensor, "k h w"]:
    """Each map over its maximum."""
    return maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)


def _regions(run: Run) -> Link:
    from advcam.refine import regions

    asked = run.config.regions
    find = _finder(run)

    def of(subject: Subject, mask: UInt8[Tensor, "h w"]) -> UInt8[Tensor, "h w"]:
        return regions(mask, find(subject), covered=asked.covered, covering=asked.covering)

    return of


def _finder(run: Run) -> Callable[[Subject], Bool[Tensor, "R h w"] | Int[Tensor, "s h w"]]:
    """Where the regions of an image come from."""
    asked = run.config.regions
    if asked.source == "folder":
        from advcam.refine.region_files import read_regions

        def of_files(subject: Subject) -> Tensor:
            found = read_regions(Path(str(asked.folder)), subject.record.id, subject.result.image_size)
            if subject.size == subject.result.image_size:
                return found
            small = torch.nn.functional.interpolate(found[:, None].double(), subject.size, mode="nearest-exact")
            return small[:, 0].to(found.dtype)

        return of_files
    if asked.source == "sam":
        from advcam.refine.segment_anything import SegmentAnything

        sam = SegmentAnything.load(str(asked.weights), run.device)
        if asked.prompts == "grid":
            return lambda subject: sam.everything(subject.image)
        return lambda subject: sam.prompted(subject.image, subject.maps, asked.prompts)
    from advcam.refine.superpixels import superpixels

    return lambda subject: superpixels(subject.image, asked)
