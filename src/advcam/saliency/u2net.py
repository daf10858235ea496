"""U²-Net and U²-NetP (Qin et al., Pattern Recognition 2020): a U of U-shaped blocks, trained from scratch.

Parameters go by the published names, so published weights load as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from advcam.models.ranges import bilinear

Widths = tuple[int, int, int]
# Levels of the blocks from the first stage to the sixth; the flat ones never pool, their inputs are small already.
DEPTHS = (7, 6, 5, 4, 4, 4)
FLAT = (False, False, False, False, True, True)
# Maps that are supervised: the fused one and the six side maps.
OUTPUTS = 7


@dataclass(frozen=True)
class U2NetPlan:
    """Channels (in, middle, out) of the blocks: encoder stages 1 to 6, then decoder stages 5 to 1."""

    encoder: tuple[Widths, ...]
    decoder: tuple[Widths, ...]


PLANS = {
    "u2net": U2NetPlan(
        encoder=((3, 32, 64), (64, 32, 128), (128, 64, 256), (256, 128, 512), (512, 256, 512), (512, 256, 512)),
        decoder=((1024, 256, 512), (1024, 128, 256), (512, 64, 128), (256, 32, 64), (128, 16, 64)),
    ),
    "u2netp": U2NetPlan(encoder=((3, 16, 64), *((64, 16, 64),) * 5), decoder=((128, 16, 64),) * 5),
}


class U2Net(nn.Module):
    """A salient object detector: one map of logits fused from six side maps, one per decoder stage.

    Args:
        plan: channels; ``PLANS["u2net"]`` (44,009,869 parameters) or ``PLANS["u2netp"]`` (1,131,181).

    >>> network = U2Net(PLANS["u2netp"]).eval()
    >>> network(torch.zeros(1, 3, 33, 64)).shape
    torch.Size([1, 7, 33, 64])
    """

    def __init__(self, plan: U2NetPlan) -> None:
        super().__init__()
        stages = len(plan.encoder)
        for stage, widths in enumerate(plan.encoder, 1):
            self.add_module(f"stage{stage}", RSU(DEPTHS[stage - 1], *widths, flat=FLAT[stage - 1]))
        for stage, widths in zip(range(stages - 1, 0, -1), plan.decoder, strict=True):
            self.add_module(f"stage{stage}d", RSU(DEPTHS[stage - 1], *widths, flat=FLAT[stage - 1]))
        seen = [widths[2] for widths in plan.decoder[::-1]] + [plan.encoder[-1][2]]
        for stage, channels in enumerate(seen, 1):
            self.add_module(f"side{stage}", nn.Conv2d(channels, 1, 3, padding=1))
        self.outconv = nn.Conv2d(stages, 1, 1)
        self.stages = stages

    def forward(self, images: Float[Tensor, "n 3 H W"]) -> Float[Tensor, "n 7 H W"]:
        """Logits of the fused map, then of the side maps 1 (finest) to 6, all at the images' size."""
        encoded: list[Tensor] = []
        x = images
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"stage{stage}")(halved(x) if encoded else x)
            encoded.append(x)
        sides = [getattr(self, f"side{self.stages}")(x)]
        for stage in range(self.stages - 1, 0, -1):
            x = getattr(self, f"stage{stage}d")(joined(x, encoded[stage - 1]))
            sides.append(getattr(self, f"side{stage}")(x))
        maps = torch.cat([bilinear(side, sides[-1].shape[2:]) for side in reversed(sides)], dim=1)
        return torch.cat([self.outconv(maps), maps], dim=1)


class RSU(nn.Module):
    """A residual U-block of a number of levels: a small U-Net whose output is added to its first convolution's.

    Args:
        depth: L, convolutions down to the deepest one.
        channels, middle, out: of the input, inside the U, and of the output.
        flat: dilate instead of pooling (RSU-4F).
    """

    def __init__(self, depth: int, channels: int, middle: int, out: int, *, flat: bool = False) -> None:
        super().__init__()
        # The deepest level of a pooling block is not pooled once more but dilated.
        dilation = {level: 2 ** (level - 1) if flat else 1 for level in range(1, depth)}
        dilation[depth] = 2 ** (depth - 1) if flat else 2
        self.rebnconvin = Unit(channels, out)
        for level in range(1, depth + 1):
            self.add_module(f"rebnconv{level}", Unit(out if level == 1 else middle, middle, dilation[level]))
        for level in range(depth - 1, 0, -1):
            self.add_module(f"rebnconv{level}d", Unit(2 * middle, out if level == 1 else middle, dilation[level]))
        self.depth, self.flat = depth, flat

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        first = self.rebnconvin(x)
        levels: list[Tensor] = []
        y = first
        for level in range(1, self.depth):
            y = getattr(self, f"rebnconv{level}")(y if self.flat or level == 1 else halved(y))
            levels.append(y)
        y = getattr(self, f"rebnconv{self.depth}")(y)
        for level in range(self.depth - 1, 0, -1):
            y = getattr(self, f"rebnconv{level}d")(joined(y, levels[level - 1]))
        return y + first


class Unit(nn.Module):
    """3 x 3 convolution, batch norm, ReLU; the size stays."""

    def __init__(self, channels: int, out: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv_s1 = nn.Conv2d(channels, out, 3, padding=dilation, dilation=dilation)
        self.bn_s1: nn.Module = nn.BatchNorm2d(out)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        return self.bn_s1(self.conv_s1(x)).relu_()

    def fold(self) -> None:
        """Take the batch norm into the convolution: the same maps, for evaluation only."""
        if isinstance(self.bn_s1, nn.BatchNorm2d):
            self.conv_s1 = torch.nn.utils.fusion.fuse_conv_bn_eval(self.conv_s1, self.bn_s1)
            self.bn_s1 = nn.Identity()


def halved(x: Float[Tensor, "n c H W"]) -> Float[Tensor, "n c h w"]:
    """Half the size, rounded up, by maxima."""
    return max_pool2d(x, 2, ceil_mode=True)


def joined(below: Float[Tensor, "n c h w"], skip: Float[Tensor, "n d H W"]) -> Float[Tensor, "n e H W"]:
    """The deeper map, enlarged to the size of the skipped one, and the skipped one."""
    return torch.cat([bilinear(below, skip.shape[2:]), skip], dim=1)
