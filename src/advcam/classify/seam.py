"""SEAM's network (Wang et al. 2020): class maps of ResNet-38, refined by how alike pixels are (its PCM branch).

Modules carry the names of SEAM's program, so that the files published for it load as they are. Source: SEAM's
program.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate

from advcam.errors import ModelError
from advcam.models.mapper import IMAGENET_MEAN, IMAGENET_STD
from advcam.models.resnet38 import ResNet38
from advcam.models.weights import check_finite, read_weights

EPS = 1e-5


class SEAMNetwork(ResNet38):
    """ResNet-38 with a head for the background and K classes, and the branch that refines its maps.

    Args:
        num_classes: K, without the background, whose channel is the first.
        width: see ``ResNet38``.

    >>> network = SEAMNetwork(5, width=2).eval()
    >>> [tuple(maps.shape) for maps in network.both_maps(torch.zeros(1, 3, 32, 48))]
    [(1, 6, 4, 6), (1, 6, 4, 6)]
    """

    mean, std = IMAGENET_MEAN, IMAGENET_STD

    def __init__(self, num_classes: int = 20, width: int = 64) -> None:
        super().__init__(width)
        shallow, middle, last = self.tap_channels
        self.f8_3 = nn.Conv2d(shallow, width, 1, bias=False)
        self.f8_4 = nn.Conv2d(middle, 2 * width, 1, bias=False)
        self.f9 = nn.Conv2d(3 * width + 3, 3 * width, 1, bias=False)
        self.fc8 = nn.Conv2d(last, num_classes + 1, 1, bias=False)
        nn.init.kaiming_normal_(self.f8_3.weight)
        nn.init.kaiming_normal_(self.f8_4.weight)
        nn.init.xavier_uniform_(self.f9.weight, gain=4)
        nn.init.xavier_uniform_(self.fc8.weight)

    def both_maps(
        self, images: Float[Tensor, "n 3 H W"]
    ) -> tuple[Float[Tensor, "n K1 h w"], Float[Tensor, "n K1 h w"]]:
        """Signed class maps, background first, and the refined ones; no gradient passes from the latter to the maps."""
        shallow, middle, last = self.taps(images)
        maps = conv2d(self.dropout7(last), self.fc8.weight)
        size = (maps.shape[2], maps.shape[3])
        seen = torch.cat(
            [
                interpolate(images, size, mode="bilinear", align_corners=True),
                self.f8_3(shallow.detach()).relu(),
                self.f8_4(middle.detach()).relu(),
            ],
            dim=1,
        )
        return maps, refined(one_per_pixel(maps.detach()), self.f9(seen))

    @classmethod
    def load(cls, path: str | Path, num_classes: int = 20) -> SEAMNetwork:
        """The network with weights of SEAM's program, in evaluation mode.

        Raises:
            ModelError: the file holds other tensors; names one.
        """
        tensors = {name.removeprefix("module."): value for name, value in read_weights(path).tensors.items()}
        network = cls(num_classes)
        expected = network.state_dict()
        wrong = [name for name in expected if name not in tensors and not name.endswith("num_batches_tracked")]
        wrong += [
            name for name, value in tensors.items() if name not in expected or expected[name].shape != value.shape
        ]
        if wrong:
            raise ModelError(
                f"{path} holds no network of SEAM with {num_classes} classes: {len(wrong)} tensors are missing, too "
                f"many or of another shape, such as '{wrong[0]}'"
            )
        check_finite(tensors, path)
        network.load_state_dict(tensors, strict=False)
        return network.eval()


def one_per_pixel(maps: Float[Tensor, "n K1 h w"]) -> Float[Tensor, "n K1 h w"]:
    """Positive maps, each divided by its maximum; the background is what the highest class leaves, and of the classes
    the highest alone is kept in each cell.

    >>> one_per_pixel(torch.tensor([[[[9.0, 9.0]], [[2.0, 1.0]], [[0.0, 3.0]]]])).round(decimals=2)[0, :, 0].tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    """
    positive = maps.relu()
    scaled = (positive - EPS).relu() / (positive.amax(dim=(2, 3), keepdim=True) + EPS)
    classes = scaled[:, 1:]
    highest = classes.amax(dim=1, keepdim=True)
    return torch.cat([1 - highest, torch.where(classes < highest, 0.0, classes)], dim=1)


def refined(maps: Float[Tensor, "n K1 h w"], features: Float[Tensor, "n C h w"]) -> Float[Tensor, "n K1 h w"]:
    """Every cell's value as the mean over the cells that are like it: the positive cosine of their features."""
    f = features.flatten(2)
    f = f / (f.norm(dim=1, keepdim=True) + EPS)
    affinity = (f.transpose(1, 2) @ f).relu()
    affinity = affinity / (affinity.sum(dim=1, keepdim=True) + EPS)
    return (maps.flatten(2) @ affinity).unflatten(2, maps.shape[2:])
