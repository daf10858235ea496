"""What a few true masks choose, and what that is worth: ``advcam tune``.

Thresholds and refinements are tried on the images of ``splits.tune`` that have true masks. The best is named with the
figure that chose it, the figure to expect on other images, and an interval (``advcam.evaluate.bootstrap``). Nothing in
the run is changed: the settings are printed, and kept in ``tune.json``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from advcam.data.masks import read_mask
from advcam.errors import DataError
from advcam.evaluate import ConfusionMatrix
from advcam.evaluate.bootstrap import Choice, choose
from advcam.io.files import write_json
from advcam.io.progress import progress, say
from advcam.pipeline.refine_chain import chain_of
from advcam.pipeline.refiner import Subject
from advcam.pipeline.run import Run
from advcam.pipeline.scoring import scored_records
from advcam.refine.seeds import dataset_labels
from advcam.refine.settings import OF_MAPS
from advcam.segment.inference import resized_labels

FILE = "tune.json"
# Tried besides each other; one that ends in maps costs little at another threshold, the others a refinement each.
CHAINS: tuple[tuple[str, ...], ...] = ((), ("crf",), ("region_means",), ("region_means", "crf"), ("regions",))
FINE, COARSE = tuple(round(0.05 * t, 2) for t in range(1, 19)), (0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True)
class Candidate:
    """A setting that is tried."""

    chain: tuple[str, ...]
    threshold: float

    @property
    def words(self) -> str:
        """As it is typed."""
        method = f"--refine.method {self.chain[0] if self.chain else 'none'}"
        if len(self.chain) > 1:
            method = f"--refine.method chain --refine.chain '[{', '.join(self.chain)}]'"
        return f"--seed.threshold {self.threshold:g} {method}"


def candidates() -> tuple[Candidate, ...]:
    """All that is tried, the cheapest first."""
    return tuple(
        Candidate(chain, threshold)
        for chain in CHAINS
        for threshold in (FINE if all(link in OF_MAPS for link in chain) else COARSE)
    )


def tune(run: Run) -> Choice:
    """Try all candidates and say which is best.

    Raises:
        DataError: fewer than two images with maps have true masks.
    """
    records = [record for record in scored_records(run, run.tune_name) if run.has_maps(run.kind, record)]
    if len(records) < 2:
        raise DataError(
            f"tune needs at least two images of {run.tune_name} with maps and true masks, and has {len(records)}: "
            "give masks for about five images of each class"
        )
    labels, tried = len(run.class_names) + 1, candidates()
    chains = {links: chain_of(run, links) for links in CHAINS}
    confusions = np.zeros((len(records), len(tried), labels, labels), np.int64)
    with progress("tune", len(records), 0) as advance:
        for index, record in enumerate(records):
            subject = Subject.read(run, record, run.kind)
            target = torch.from_numpy(read_mask(record, subject.result.image_size, len(run.class_names)))
            refined = {links: with_maps(subject, chain.maps(subject)) for links, chain in chains.items()}
            for number, candidate in enumerate(tried):
                rest = replace(chains[candidate.chain], of_maps=())
                local = rest.labels(refined[candidate.chain], candidate.threshold)
                mask = resized_labels(dataset_labels(local, subject.classes).numpy(), subject.result.image_size)
                matrix = ConfusionMatrix(labels)
                matrix.update(torch.from_numpy(mask), target)
                confusions[index, number] = matrix.counts.numpy()
            advance()
    choice = choose(confusions)
    best = tried[choice.best]
    low, high = (100 * side for side in choice.interval)
    say(
        f"tune: {best.words} has mIoU {100 * choice.miou:.1f} on the {choice.image_count} images that chose it; expect "
        f"{100 * choice.expected:.1f} on others ({low:.1f} to {high:.1f} at 95 %). It is chosen on true masks of "
        f"{run.tune_name}: no result there"
    )
    write_json(run.folder.root / FILE, described(run, choice, tried))
    return choice


def described(run: Run, choice: Choice, tried: tuple[Candidate, ...]) -> dict[str, Any]:
    """The choice, as it is kept."""
    best = tried[choice.best]
    return {
        "chosen_on": run.tune_name,
        "maps": run.kind,
        "chain": list(best.chain),
        "threshold": best.threshold,
        "words": best.words,
        **choice.to_json(),
        "tried": [{"chain": list(one.chain), "threshold": one.threshold} for one in tried],
    }


def with_maps(subject: Subject, maps: torch.Tensor) -> Subject:
    """The subject with other maps, where its own would be made of the stored ones."""
    other = replace(subject)
    other.__dict__["maps"] = maps
    return other
