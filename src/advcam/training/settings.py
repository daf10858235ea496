"""What every training is told. Each network's settings inherit these and give its own defaults."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from advcam.bounds import check
from advcam.errors import SettingsError

# These change how fast the numbers come and in how much memory, never the numbers.
WITHOUT_EFFECT = ("workers", "checkpoint_seconds", "save_memory")


@dataclass(frozen=True)
class FitSettings:
    """A training by gradient descent.

    One update sees ``batch_size`` items however they are spread over passes (``accumulate``) and devices, so that the
    number of updates and the learning rate do not depend on the machine.
    """

    section: ClassVar[str] = ""
    """What stands before the name of a setting in messages, as in a run's configuration: "cct." of CCTSettings."""

    epochs: int = 1
    """Passes over the items; a last batch that is not full is left out."""
    updates: int | None = None
    """Updates of the whole training; None takes as many as ``epochs`` have."""
    batch_size: int = 16
    """Items per update, over all devices together."""
    accumulate: int = 1
    """Forward and backward passes that the batch of an update is split into; more of them need less memory."""
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    """The rule of an update."""
    lr: float = 0.01
    """Learning rate before its decay."""
    weight_decay: float = 1e-4
    """Of all parameters that learn, unless their group has its own."""
    momentum: float | None = 0.9
    """Of "sgd"; the others have their usual one. None takes the value of ``weight_decay``, as the programs of IRN, PSA
    and SEAM do: they hand the weight decay to the parameter that means the momentum, so that there is practically
    none."""
    poly_power: float = 0.9
    """Exponent of the decay ``(1 - s / S) ** poly_power`` over the S updates; 0 keeps the rate."""
    warmup: float = 0.0
    """Fraction of the updates over which the rate also rises linearly from zero."""
    gradient_clip: float | None = None
    """Largest L2 norm of all gradients together, or None for no limit."""
    validate_every: int | None = None
    """Updates between two validations; None validates after each epoch, and both after the last update."""
    keep: Literal["last", "best", "auto"] = "last"
    """The weights that are kept: those after the "last" update, or of the "best" validation; "auto" is "best" where
    there is something to validate on, else "last"."""
    precision: Literal["auto", "32", "bf16", "16"] = "auto"
    """"auto" is "32" on a CPU and "bf16" (where missing, "16") on a GPU; "16" is for GPUs alone."""
    workers: int | None = None
    """Processes that read images; None chooses by the number of CPU cores. Changes no number."""
    checkpoint_seconds: float = 120.0
    """Time between two savings of the state from which a stopped training goes on."""
    seed: int = 0
    """Of the order of the items, their augmentation, and the network's own random layers."""

    def __post_init__(self) -> None:
        self.check(
            **dict.fromkeys(("epochs", "updates", "batch_size", "accumulate", "validate_every"), "[1, inf)"),
            **dict.fromkeys(("lr", "checkpoint_seconds", "gradient_clip"), "(0, inf)"),
            **dict.fromkeys(("weight_decay", "poly_power", "workers", "seed"), "[0, inf)"),
            **dict.fromkeys(("momentum", "warmup"), "[0, 1)"),
        )
        if self.batch_size % self.accumulate:
            raise self.wrong(
                "batch_size",
                f"cannot be split into {self.section}accumulate={self.accumulate} equal parts: choose a multiple of it",
            )

    def check(self, **intervals: str) -> None:
        """Refuse numbers outside their intervals; see ``advcam.bounds.check``."""
        check(self, self.section, **intervals)

    def wrong(self, name: str, problem: str) -> SettingsError:
        """That a setting has a value which makes no sense."""
        return SettingsError(f"{self.section}{name} is {getattr(self, name)}, but {problem}")


def numbers_depend_on(settings: FitSettings) -> dict[str, Any]:
    """The settings that a training's numbers depend on."""
    return {name: value for name, value in asdict(settings).items() if name not in WITHOUT_EFFECT}
