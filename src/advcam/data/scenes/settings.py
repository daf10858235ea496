"""Settings of the generated scenes."""

from __future__ import annotations

from dataclasses import dataclass

from advcam.errors import SettingsError


@dataclass(frozen=True)
class SceneSettings:
    """How many scenes are drawn and what they look like. An image depends on the seed, its split and its number only:
    a longer split begins with the images of a shorter one."""

    train: int = 400
    """Images to train a classifier on."""
    val: int = 60
    """Images on which thresholds and settings are chosen."""
    test: int = 80
    """Images held out for the figures that are reported."""
    size: int = 240
    """Longest side of an image in pixels. The images are ``size x 0.8 size``, upright and lying, and square with
    ``0.9 size``, each rounded to a multiple of 16."""
    body_cue: float = 0.85
    """Probability that a body wears its own class's finish; otherwise it wears that of any class. At 0 a body says
    nothing of its class but by its outline, at 1 as much as the telling part."""
    seed: int = 0
    """Of all random draws."""

    def __post_init__(self) -> None:
        for name in ("train", "val", "test"):
            count = getattr(self, name)
            if count < 1:
                raise SettingsError(f"scenes.{name} must be at least 1 image, not {count}")
        if self.size < 96:
            raise SettingsError(f"scenes.size must be at least 96 pixels, not {self.size}: the telling parts blur")
        if not 0 <= self.body_cue <= 1:
            raise SettingsError(f"scenes.body_cue is a probability and must be within [0, 1], not {self.body_cue}")
        if self.seed < 0:
            raise SettingsError(f"scenes.seed must not be negative, and is {self.seed}")

    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of the images there are.

        >>> SceneSettings(size=160).shapes()
        ((128, 160), (160, 128), (144, 144))
        """
        long, short, even = (16 * round(self.size * factor / 16) for factor in (1.0, 0.8, 0.9))
        return (short, long), (long, short), (even, even)
