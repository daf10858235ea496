"""The losses against torch's and against their equations."""

from __future__ import annotations

import torch
from torch import nn

from advcam.classify.loss import classification_loss

SCORES = torch.tensor([[0.5, -2.0, 3.0], [1.0, 0.0, -1.0]], dtype=torch.float64)


def test_soft_margin_is_torchs_and_the_equation() -> None:
    targets = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    loss = classification_loss(SCORES, targets)
    by_hand = -(targets * SCORES.sigmoid().log() + (1 - targets) * (1 - SCORES.sigmoid()).log()).mean(dim=1).mean()
    torch.testing.assert_close(loss, by_hand)
    torch.testing.assert_close(loss, nn.MultiLabelSoftMarginLoss()(SCORES, targets))


def test_softmax_at_the_one_class() -> None:
    targets = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    by_hand = -(SCORES.softmax(dim=1).log() * targets).sum(dim=1).mean()
    torch.testing.assert_close(classification_loss(SCORES, targets, "softmax"), by_hand)


def test_half_precision_scores_are_raised() -> None:
    assert classification_loss(torch.zeros(2, 3, dtype=torch.bfloat16), torch.zeros(2, 3)).dtype == torch.float32
