"""Pictures of all sizes through a segmentation network, in batches of one size; used by ``segment`` and ``predict``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from advcam.data.images import image_size, read_image
from advcam.errors import DataError
from advcam.pipeline.planning import Size, Unit, ahead, plan
from advcam.segment.inference import Segmenter
from advcam.segment.inference_settings import InferenceSettings

# Pixels of all pictures of a batch together, for up to so many labels of each pixel.
CPU_BATCH_PIXELS, GPU_BATCH_PIXELS, BATCH_LABELS = 2**19, 2**23, 21


@dataclass(frozen=True)
class Labelled:
    """A picture and the label of each of its pixels."""

    id: str
    image: UInt8[np.ndarray, "H W 3"]
    labels: UInt8[np.ndarray, "H W"]


@dataclass(frozen=True)
class Labeller:
    """Labels pictures, decoding the next ones while the network works.

    Args:
        segmenter: the network, on its device.
        settings: of the inference.
        on_bad: is told of a picture that cannot be read; the sentence names its file.
    """

    segmenter: Segmenter
    settings: InferenceSettings
    on_bad: Callable[[str, DataError], None]

    def units(self, pictures: Iterable[tuple[str, Path]]) -> list[Unit]:
        """The batches over all pictures, by id and file; those whose header cannot be read go to ``on_bad``.

        Whatever is there already belongs in it too: rounding depends on the batch, so a picture must have the same one
        before and after an interruption.
        """
        sizes: list[tuple[str, Size, int]] = []
        for image_id, path in pictures:
            try:
                sizes.append((image_id, image_size(path), 1))
            except DataError as error:
                self.on_bad(image_id, error)
        on_cpu = self.segmenter.device.type == "cpu"
        pixels = CPU_BATCH_PIXELS if on_cpu else GPU_BATCH_PIXELS

        # What a pixel of the picture takes: the features at the largest scale, or the logits, whichever is more.
        share = max(1.0, max(self.settings.scales) ** 2, self.segmenter.num_labels / BATCH_LABELS)

        def most(size: Size) -> int:
            reduced = min(1.0, self.settings.max_side / max(size))
            return max(1, int(pixels / (size[0] * size[1] * reduced**2 * share)))

        return plan(sizes, most)

    def label(
        self, units: Sequence[Unit], files: Callable[[str], Path], wanted: Collection[str] | None = None
    ) -> Iterator[list[Labelled]]:
        """The pictures of each unit with their labels, without those that cannot be read.

        Args:
            units: as ``units`` plans them.
            files: gives the file of a picture.
            wanted: of which pictures labels are given; the others only fill their batches. None wants all.
        """

        def load(unit: Unit) -> list[tuple[str, UInt8[np.ndarray, "_ _ 3"]]]:
            loaded = []
            for image_id in unit.ids:
                try:
                    loaded.append((image_id, read_image(files(image_id))))
                except DataError as error:
                    self.on_bad(image_id, error)
            return loaded

        todo = units if wanted is None else [unit for unit in units if not set(unit.ids).isdisjoint(wanted)]
        for loaded in ahead(todo, load):
            images = [image for _, image in loaded]
            found = self.segmenter.labels(images, self.settings) if images else []
            labelled = [Labelled(*pair, labels) for pair, labels in zip(loaded, found, strict=True)]
            yield [one for one in labelled if wanted is None or one.id in wanted]


def ready(segmenter: Segmenter, device: torch.device) -> Segmenter:
    """The network on its device, in the layout that convolutions are fastest in."""
    segmenter.network.to(device).to(memory_format=torch.channels_last)
    segmenter.network.eval()
    return segmenter
