"""Training of U²-Net: deep supervision of the fused map and the six side maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from advcam.saliency.detector import network_input, squared
from advcam.saliency.pairs import Pair
from advcam.saliency.settings import DetectorSettings
from advcam.saliency.u2net import U2Net, U2NetPlan
from advcam.training.machine import seeded
from advcam.training.task import Task

# Sums that a validation gathers: absolute error, pixels, true and false positives, misses.
ERROR, PIXELS, HITS, FALSE, MISSED = range(5)
# The field's F-measure weighs precision more: beta squared (Achanta et al. 2009).
BETA2 = 0.3
# Held-out pictures that are written as samples.
SAMPLES = 4

Item = dict[str, Tensor]


def deep_loss(
    logits: Float[Tensor, "n s H W"], target: Float[Tensor, "n H W"], known: Float[Tensor, "n H W"]
) -> Float[Tensor, " s"]:
    """Binary cross entropy of each output, averaged over the known pixels of the batch; their sum is minimised.

    Args:
        logits: of the fused map and of the side maps.
        target: the foreground, in [0, 1].
        known: 1 where it is known, else 0.

    >>> deep_loss(torch.zeros(1, 2, 1, 2), torch.tensor([[[1.0, 0.0]]]), torch.ones(1, 1, 2)).exp()
    tensor([2., 2.])
    """
    wide = target[:, None].expand_as(logits)
    each = binary_cross_entropy_with_logits(logits.float(), wide, reduction="none") * known[:, None]
    return each.sum(dim=(0, 2, 3)) / known.sum().clamp(min=1)


def start_detector(settings: DetectorSettings, plan: U2NetPlan) -> U2Net:
    """An untrained network; its weights depend on the seed alone."""
    with seeded(settings.seed):
        return U2Net(plan)


class DetectorTask(Task):
    """What ``advcam.training.fit`` needs to train a detector.

    Args:
        pairs: to train on.
        held: to measure on; may be empty.
    """

    def __init__(self, network: U2Net, settings: DetectorSettings, pairs: Sequence[Pair], held: Sequence[Pair]) -> None:
        super().__init__(network.to(memory_format=torch.channels_last), settings)
        self.detector, self.pairs, self.held = settings, pairs, held
        self.score_name = "f" if held else None

    def __len__(self) -> int:
        return len(self.pairs)

    def item(self, epoch: int, index: int) -> Item:
        """A picture squared, cropped and mirrored at random, its foreground, and where that is known."""
        image, target, known = self.pairs[index].read()
        random, size, crop = self.generator(epoch, index), self.detector.size, self.detector.crop
        top, left = (int(random.integers(size - crop + 1)) for _ in range(2))
        window = (slice(top, top + crop), slice(left, left + crop))
        parts = [squared(image, size)[window], nearest(target, size)[window], nearest(known, size)[window]]
        if self.detector.flip and random.random() < 0.5:
            parts = [part[:, ::-1] for part in parts]
        return as_item(*parts)

    def loss(self, batch: Item, update: int, total: int) -> dict[str, Tensor]:
        each = deep_loss(self.logits(batch["image"]), batch["target"], batch["known"])
        return {"loss": each.sum(), "fused": each[0].detach()}

    def validate(self, rank: int, world: int) -> Tensor | None:
        """Error and overlap of the fused map at one half, over whole pictures."""
        if not self.held:
            return None
        sums = torch.zeros(5, dtype=torch.float64)
        device = next(self.network.parameters()).device
        for pair in self.held[rank::world]:
            image, target, known = pair.read()
            size = self.detector.size
            item = as_item(squared(image, size), nearest(target, size), nearest(known, size))
            saliency = self.logits(item["image"][None].to(device))[0, 0].sigmoid().float().cpu()
            sums += overlap(saliency, item["target"], item["known"])
        return sums

    def scores(self, total: Tensor) -> dict[str, float]:
        """Mean absolute error, F-measure (beta squared 0.3) and IoU of the foreground."""
        error, pixels, hits, false, missed = total.tolist()
        precision, recall = hits / max(hits + false, 1.0), hits / max(hits + missed, 1.0)
        f = (1 + BETA2) * precision * recall / max(BETA2 * precision + recall, 1e-12)
        return {"mae": error / max(pixels, 1.0), "f": f, "iou": hits / max(hits + false + missed, 1.0)}

    def pictures(self) -> dict[str, UInt8[np.ndarray, "H W 3"]]:
        """Held-out pictures beside their foreground and the map."""
        drawn = {}
        device = next(self.network.parameters()).device
        for pair in self.held[:SAMPLES]:
            image, target, _ = pair.read()
            small = squared(image, self.detector.size)
            logits = self.logits(torch.from_numpy(network_input(small))[None].to(device))
            maps = (nearest(target, self.detector.size), logits[0, 0].sigmoid().float().cpu().numpy())
            greys = [np.repeat(np.rint(grey * 255).astype(np.uint8)[..., None], 3, axis=2) for grey in maps]
            drawn[pair.record.id.replace("/", "_")] = np.concatenate([small, *greys], axis=1)
        return drawn

    def logits(self, images: Float[Tensor, "n 3 H W"]) -> Float[Tensor, "n 7 H W"]:
        return self.network(images.contiguous(memory_format=torch.channels_last))


def as_item(image: UInt8[np.ndarray, "H W 3"], target: np.ndarray, known: np.ndarray) -> Item:
    """A training item as tensors."""
    arrays = {"image": network_input(image), "target": target, "known": known}
    return {name: torch.from_numpy(np.array(array, np.float32, order="C")) for name, array in arrays.items()}


def nearest(labels: np.ndarray, size: int) -> np.ndarray:
    """A foreground map or a mask of what is known at a square size, without mixed values."""
    drawn = Image.fromarray(labels.astype(np.float32)).resize((size, size), Image.Resampling.NEAREST)
    return np.asarray(drawn)


def overlap(
    saliency: Float[Tensor, "H W"], target: Float[Tensor, "H W"], known: Float[Tensor, "H W"]
) -> Float[Tensor, " sums"]:
    """What one picture adds to the sums of a validation."""
    said, true = (saliency >= 0.5).double() * known, (target >= 0.5).double() * known
    hits = (said * true).sum()
    error = ((saliency - target).abs().double() * known).sum()
    return torch.stack([error, known.double().sum(), hits, said.sum() - hits, true.sum() - hits])
