"""Settings that make no sense are refused in one sentence."""

from __future__ import annotations

import pytest

from advcam.classify import ClassifySettings
from advcam.errors import SettingsError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
        ({"warmup": 1.0}, "warmup is 1.0"),
        ({"momentum": 1.0}, "momentum is 1.0"),
        ({"momentum": 0.9, "optimizer": "adamw"}, 'momentum is 0.9, but belongs to classify.optimizer "sgd"'),
        ({"gradient_clip": 0.0}, "gradient_clip is 0.0"),
        ({"workers": -1}, "workers is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"long_side": (640, 320)}, r"long_side is \(640, 320\)"),
        ({"batch_size": 16, "accumulate": 3}, r"batch_size is 16, but cannot be split into classify\.accumulate=3"),
    ],
)
def test_senseless_values(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ClassifySettings(**values)  # type: ignore[arg-type]
