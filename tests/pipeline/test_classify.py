"""What counts as another training, and what is said of the classifier."""

from __future__ import annotations

from dataclasses import replace

import pytest
from runs import entry

import advcam.pipeline.classify
from advcam.classify import ClassifySettings
from advcam.errors import RunError
from advcam.models import BackboneSettings
from advcam.pipeline.config import SplitSettings
from advcam.pipeline.graph import run_stages


@pytest.fixture
def trained(config):
    """A run that trains a small classifier."""
    return replace(
        config,
        classifier=None,
        backbone=BackboneSettings("timm/test_resnet", weights=None, output_stride=16),
        classify=ClassifySettings(epochs=1, batch_size=2, crop=32, long_side=(32, 48), val_long_side=48, workers=0),
    )


def test_a_classifier_goes_on_with_other_workers(trained):
    settings = trained.classify
    run_stages(trained, ("classify",))
    run_stages(replace(trained, classify=replace(settings, workers=1, checkpoint_seconds=5.0)), ("classify",))
    with pytest.raises(RunError, match=r"classify\.crop 32 there, 48 now"):
        run_stages(replace(trained, classify=replace(settings, crop=48)), ("classify",))


def test_the_best_epoch_is_named_beside_its_figure(trained, capsys, monkeypatch):
    monkeypatch.setattr(advcam.pipeline.classify, "MIN_HOLDOUT", 1)
    settings = replace(trained.classify, keep="best", epochs=2)
    trained = replace(trained, classify=settings, splits=SplitSettings(holdout=0.5))
    run_stages(trained, ("classify",))
    sentence = " The weights are those of the best of 2 validations on these images."
    assert capsys.readouterr().err.splitlines()[-1].endswith(sentence)
    assert entry(trained, "classifier").result["sentence"].endswith(sentence)
