"""What counts as another setting when a stage goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import advcam.pipeline.classify
from advcam.classify import ClassifySettings
from advcam.data.files import read_json
from advcam.errors import RunError
from advcam.models import BackboneSettings
from advcam.pipeline.manifest import differences
from advcam.pipeline.settings import SplitSettings
from advcam.pipeline.verbs import run_stages


def test_settings_that_change_no_number_are_no_difference():
    # A folder from before they were left out of it goes on as well.
    old = {"classify": {"lr": 0.1, "workers": None, "checkpoint_seconds": 60.0}, "cct": {"save_memory": True}}
    assert differences(old, {"classify": {"lr": 0.1}, "cct": {"save_memory": False}}) == []
    assert differences(old, {"classify": {"lr": 0.2}, "cct": {}}) == ["classify.lr 0.1 there, 0.2 now"]


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
    run_stages(replace(trained, classify=settings, splits=SplitSettings(holdout=0.5)), ("classify",))
    sentence = " The weights are those of the best of 2 validations on these images."
    assert capsys.readouterr().err.splitlines()[-1].endswith(sentence)
    result = read_json(Path(trained.out) / "manifest.json")["stages"]["classify"]["result"]
    assert result["sentence"].endswith(sentence)
