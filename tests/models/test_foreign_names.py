"""Weights of finished classifiers, found under the names that trainings give them or refused with the cause."""

from __future__ import annotations

import pytest
import torch
import torchvision

from advcam.errors import ModelError
from advcam.models import BackboneSettings, build_classifier


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=3).eval()


def taken(tmp_path, content, **named):
    torch.save(content, tmp_path / "w.pt")
    settings = BackboneSettings(architecture="resnet18", weights=str(tmp_path / "w.pt"), **named)
    return build_classifier(settings, 3, require_head=True).eval()


def renamed(model, body="", head="fc"):
    return {
        (key.replace("fc.", f"{head}.") if key.startswith("fc.") else body + key): value
        for key, value in model.state_dict().items()
    }


def logits(network):
    with torch.no_grad():
        return network(torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("names", [("", "fc.1"), ("model.backbone.", "model.head"), ("net.", "net.fc"), ("", "head.2")])
def test_a_head_is_found_where_trainings_put_it(tmp_path, model, names):
    torch.testing.assert_close(logits(taken(tmp_path, renamed(model, *names))), logits(model))


def test_two_networks_in_one_file_are_not_chosen_between(tmp_path, model):
    student = {f"student.{key}": value for key, value in model.state_dict().items()}
    both = {f"teacher.{key}": -value for key, value in model.state_dict().items()} | student
    with pytest.raises(ModelError, match=r"holds 2 networks, 'teacher.' and 'student.'.*--backbone.prefix"):
        taken(tmp_path, both)
    torch.testing.assert_close(logits(taken(tmp_path, both, prefix="student.")), logits(model))


def test_a_head_of_another_name_is_named(tmp_path, model):
    content = renamed(model, head="classes")
    with pytest.raises(ModelError, match=r"no linear head.*backbone\.head"):
        taken(tmp_path, content)
    torch.testing.assert_close(logits(taken(tmp_path, content, head="classes")), logits(model))


def test_nan_weights_are_called_so(tmp_path, model):
    content = dict(model.state_dict())
    content["layer1.0.conv1.weight"] = content["layer1.0.conv1.weight"] * float("nan")
    with pytest.raises(ModelError, match="NaN or infinite weights, such as in 'layer1"):
        taken(tmp_path, content)
