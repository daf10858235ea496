"""A climb with the cost structure of the authors' program, written from the description of it; for comparison only.

One pair of an image and its mirror image at a time, in the network's default memory order. Parameters take part in
autograd. Each step is one forward pass, one backward pass of the class's positive map down to the pixels, from which
the Grad-CAM weights are read at the last feature map, and one backward pass of the objective. The pixels stay on the
host: they are sent to the device at every step, their gradient comes back, and the map of every step is fetched.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from advcam.attribute.settings import ClimbSettings


def authors_climb(
    features: nn.Module,
    head: Float[Tensor, "K C"],
    image: Float[Tensor, "3 H W"],
    target: int,
    settings: ClimbSettings,
) -> Float[np.ndarray, "h w"]:
    """The sum of the maps of one class over ``settings.steps``, as ``ClimbSettings.released()`` has it.

    Args:
        features: the network up to its last feature map, in evaluation mode, parameters as they are for training.
        head: weights of the classes, a parameter as well.
        image: on the host.

    >>> import torch
    >>> features = torch.nn.Conv2d(3, 8, 3, stride=4, padding=1).eval()
    >>> authors_climb(features, torch.randn(5, 8), torch.randn(3, 32, 48), 2, ClimbSettings(steps=3)).shape
    (8, 12)
    """
    parameters = [*features.parameters(), head]
    total = 0.0
    first: Tensor | None = None
    x_V3HW = torch.stack([image, image.flip(-1)])
    for _ in range(settings.steps):
        x_V3HW = x_V3HW.detach().requires_grad_()
        f_VChw = features(x_V3HW.to(head.device))
        f_VChw.retain_grad()
        s_VKhw = nn.functional.conv2d(f_VChw, head[:, :, None, None])
        s_VKhw[:, target].relu().sum().backward(retain_graph=True)
        assert f_VChw.grad is not None
        weights_VC = f_VChw.grad.sum(dim=(2, 3)) / ((f_VChw.grad > 0).sum() + 1e-12)
        r_Vhw = (weights_VC[:, :, None, None] * f_VChw).sum(dim=1).relu()
        region_hw = r_Vhw[0] + r_Vhw[1].flip(-1)
        first = region_hw.detach() if first is None else first
        total = total + region_hw.detach().cpu().numpy()
        y_VK = s_VKhw.relu().mean(dim=(2, 3))
        high_hw = region_hw.detach() / region_hw.detach().max() > settings.mask_threshold
        objective = 2 * y_VK[:, target].sum() - y_VK.sum()
        objective = objective - settings.reg_weight * (high_hw * (region_hw - first).abs()).sum()
        for tensor in (x_V3HW, *parameters):
            tensor.grad = None
        objective.backward()
        g_V3HW = x_V3HW.grad
        assert g_V3HW is not None
        g_V3HW = g_V3HW / (g_V3HW.abs().max() + 1e-12)
        low, high = (bound.float().item() for bound in (x_V3HW.min(), x_V3HW.max()))
        x_V3HW = (x_V3HW.detach() + settings.step_size * g_V3HW).clamp(low, high)
    for tensor in parameters:
        tensor.grad = None
    return np.asarray(total)
