"""Which parameters of a backbone do not learn."""

from __future__ import annotations

from torch import nn

from advcam.errors import SettingsError


def frozen_parameters(backbone: nn.Module, freeze: str | None, setting: str = "classify.freeze") -> list[nn.Parameter]:
    """The parameters up to a part of the backbone, that part included, in the order in which they are defined.

    Args:
        backbone: whose parameters stand in the order in which an image passes them.
        freeze: "stem" for the first convolution and its normalization, the name of a part, or None for nothing.
        setting: what an error calls ``freeze``.

    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3))
    >>> len(frozen_parameters(network, "stem")), len(frozen_parameters(network, "2")), frozen_parameters(network, None)
    (4, 6, [])
    """
    if freeze is None:
        return []
    # timm's networks are wrapped under one name, which their users do not know.
    named = [(name.removeprefix("model."), parameter) for name, parameter in backbone.named_parameters()]
    parameters = [parameter for _, parameter in named]
    if freeze == "stem":
        kernels = [place for place, parameter in enumerate(parameters) if parameter.ndim == 4]
        if len(kernels) != 1:
            return parameters[: kernels[1]] if kernels else parameters
        freeze = _part(named[kernels[0]][0])  # a transformer's patches
    inside = [place for place, (name, _) in enumerate(named) if name.startswith(f"{freeze}.")]
    if not inside:
        parts = dict.fromkeys(_part(name) for name, _ in named)
        raise SettingsError(
            f"{setting} is '{freeze}', but the backbone has no such part: use stem, null or one of {', '.join(parts)}"
        )
    return parameters[: inside[-1] + 1]


def _part(name: str) -> str:
    """The outermost parts, and those inside a mere container."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] in ("features", "blocks", "stages") else parts[0]
