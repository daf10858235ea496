"""What is trained, and on what: the interface between a network's training and the one trainer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt8
from torch import Tensor, nn
from torch.utils.data import default_collate

from advcam.training.schedule import lr_factor
from advcam.training.settings import FitSettings

# Set apart the random numbers of the order, of the augmentation and of the network's layers.
ORDER, AUGMENTATION, LAYERS = 0, 1, 2


class Task(ABC):
    """A network, its training items, its loss and its validation.

    Everything random must come from ``generator`` or, in ``loss``, from torch's global generator, which is seeded
    anew for each pass: then a stopped training ends with the weights of an undisturbed one. Items are made in other
    processes, and with several devices the whole task is sent there, so it must be picklable.

    Args:
        network: all that is trained and saved, buffers included.
    """

    score_name: str | None = None
    """The score by which ``keep="best"`` chooses, higher being better; None where there is nothing to validate on."""
    fewest_items: ClassVar[int] = 1
    """Items that a pass on one device needs."""

    def __init__(self, network: nn.Module, settings: FitSettings) -> None:
        self.network, self.settings = network, settings

    @property
    def keeps_best(self) -> bool:
        """Whether the weights of the best validation are kept, and not those after the last update."""
        return self.settings.keep != "last" and self.score_name is not None

    @abstractmethod
    def __len__(self) -> int:
        """Items in an epoch."""

    @abstractmethod
    def item(self, epoch: int, index: int) -> Any:
        """One training item, augmented; a function of the seed, the epoch and the index alone.

        Raises:
            UserError: what the item is made from cannot be read; it ends the training with its sentence.
        """

    @abstractmethod
    def loss(self, batch: Any, update: int, total: int) -> dict[str, Tensor]:
        """The losses of one pass; ``loss`` is minimised, the others are logged.

        Args:
            batch: what ``collate`` made, on the device.
            update: updates made before this one.
        """

    def collate(self, items: list[Any]) -> Any:
        """Items as a batch of tensors."""
        return default_collate(items)

    def generator(self, epoch: int, index: int) -> np.random.Generator:
        """Random numbers of an item's augmentation."""
        return np.random.default_rng((self.settings.seed, AUGMENTATION, epoch, index))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The optimizer's groups; one may have its own ``lr`` (before its decay), ``weight_decay`` and ``momentum``."""
        return [{"params": [parameter for parameter in self.network.parameters() if parameter.requires_grad]}]

    def lr_factor(self, update: int, total: int) -> float:
        """Every learning rate of an update, as a multiple of the first one."""
        return lr_factor(update, total, self.settings.poly_power, round(self.settings.warmup * total))

    def set_train_mode(self) -> None:
        """Put the network into training mode, at the start and after each validation."""
        self.network.train()

    def validate(self, rank: int, world: int) -> Tensor | None:
        """Sums over every ``world``-th validation item from ``rank`` on, such as a confusion matrix; float64.

        The network is in evaluation mode, without gradients. None where there is nothing to validate on.
        """
        return None

    def scores(self, total: Tensor) -> dict[str, float]:
        """Figures from the sums over all processes; those of details, such as one class, have a slash in their name."""
        raise NotImplementedError(f"{type(self).__name__} validates, so it must have scores")

    def pictures(self) -> dict[str, UInt8[np.ndarray, "H W 3"]]:
        """Pictures by name that show how far the network is, written at each validation."""
        return {}
