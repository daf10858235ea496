"""Weight files: what loads, what is refused and how."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, ShuffleNet_V2_X0_5_Weights

from advcam.errors import ModelError, SettingsError
from advcam.models import BackboneSettings, Classifier, build_classifier
from advcam.models.weights import fit_weights, read_weights

NET = "shufflenet_v2_x0_5"


def network(classes: int = 7) -> nn.Module:
    return torchvision.models.get_model(NET, num_classes=classes).eval()


def load(path: Path, classes: int = 7, require_head: bool = False, **options: object) -> Classifier:
    settings = BackboneSettings(architecture=NET, weights=str(path), **options)
    return build_classifier(settings, classes, require_head=require_head).eval()


def test_the_whole_network_comes_from_a_file(tmp_path: Path) -> None:
    model = network()
    save_file(model.state_dict(), tmp_path / "net.safetensors")
    classifier = load(tmp_path / "net.safetensors", require_head=True)
    images = torch.randn(2, 3, 64, 96)
    torch.testing.assert_close(classifier(images), model(images), rtol=1e-5, atol=1e-6)
    assert classifier.head.bias is not None
    assert classifier.origin.endswith("net.safetensors, with its head of 7 classes")
    assert classifier.mean == (0.485, 0.456, 0.406)


def test_a_head_of_other_classes_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = network()
    save_file(model.state_dict(), tmp_path / "net.safetensors")
    with caplog.at_level("INFO", logger="advcam"):
        classifier = load(tmp_path / "net.safetensors", classes=3)
    assert "with a new head of 3 classes" in caplog.text
    assert classifier.head.bias is None
    assert torch.equal(classifier.backbone.get_submodule("conv5.0").weight, model.conv5[0].weight)
    with pytest.raises(ModelError, match=r"net.safetensors has a head of 7 classes, not one of 3"):
        load(tmp_path / "net.safetensors", classes=3, require_head=True)


def test_header_states_the_input(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file(network().state_dict(), path, metadata={"mean": "[0.5, 0.5, 0.5]", "std": "[0.25, 0.25, 0.25]"})
    classifier = load(path)
    assert (classifier.mean, classifier.std) == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert load(path, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)).mean == (0.5, 0.5, 0.5)
    with pytest.raises(ModelError, match=r"states a mean of \[0.5, 0.5, 0.5\], backbone.mean is \[0.1, 0.2, 0.3\]"):
        load(path, mean=(0.1, 0.2, 0.3), std=(0.25, 0.25, 0.25))
    save_file(network().state_dict(), path, metadata={"mean": "grey"})
    with pytest.raises(ModelError, match=r"'grey' as mean in its header: write numbers"):
        load(path)
    save_file(network().state_dict(), path)
    assert load(path, mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0)).mean == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": {f"module.{key}": value for key, value in state.items()}},
        lambda state: {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")},
        lambda state: {key: value.half() if value.is_floating_point() else value for key, value in state.items()},
    ],
    ids=["plain", "state_dict", "parallel", "without counters", "half precision"],
)
def test_torch_files(tmp_path: Path, wrap: Callable[[dict[str, Tensor]], dict[str, object]]) -> None:
    model = network()
    torch.save(wrap(model.state_dict()), tmp_path / "net.pth")
    classifier = load(tmp_path / "net.pth", require_head=True)
    assert classifier.head.weight.dtype == torch.float32
    torch.testing.assert_close(classifier.head.weight, model.fc.weight, rtol=1e-3, atol=1e-4)


def test_a_timm_head_is_taken_by_its_own_name() -> None:
    model = timm.create_model("regnety_002", num_classes=6).eval()
    settings = BackboneSettings("timm/regnety_002", weights=None)
    classifier = build_classifier(settings, 6).eval()
    assert classifier.load_library_state_dict(model.state_dict(), "the model", require_head=True)
    images = torch.randn(1, 3, 64, 96)
    torch.testing.assert_close(classifier(images), model(images), rtol=1e-5, atol=1e-6)
    assert set(classifier.library_state_dict()) == set(model.state_dict())


def test_doubled_extension(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "net.pth.pth")
    assert read_weights(tmp_path / "net.pth").path.name == "net.pth.pth"
    assert read_weights(tmp_path / "net.pth.pth").path.name == "net.pth.pth"


def test_a_checkpoint_in_the_layout_of_the_irn_program() -> None:
    expected = {"conv1.weight": torch.zeros(2, 3, 1, 1), "layer1.0.conv1.weight": torch.zeros(2, 2, 1, 1)}
    tensors = {f"resnet50.{key}": value + 1 for key, value in expected.items()}
    tensors |= {"stage1.0.weight": torch.ones(2, 3, 1, 1), "resnet50.fc.weight": torch.ones(9, 2)}
    tensors |= {"classifier.weight": torch.full((4, 2, 1, 1), 3.0)}
    fitted = fit_weights(expected, tensors, ["fc", "head", "classifier"], 2, source="x", architecture="y")
    assert set(fitted.backbone) == set(expected)
    assert fitted.head_weight is not None
    assert torch.equal(fitted.head_weight, torch.full((4, 2), 3.0))


def test_another_architecture(tmp_path: Path) -> None:
    path = tmp_path / "resnet.safetensors"
    save_file(torchvision.models.resnet18().state_dict(), path)
    with pytest.raises(
        ModelError, match=r"resnet.safetensors has the weights of another architecture.*are missing, such"
    ) as raised:
        load(path)
    assert "torchvision/shufflenet_v2_x0_5" in str(raised.value)
    assert "backbone.architecture" in str(raised.value)


def test_another_width_and_another_depth(tmp_path: Path) -> None:
    state = network().state_dict()
    wide = state | {"conv5.0.weight": torch.zeros(1024, 200, 1, 1)}
    save_file(wide, tmp_path / "wide.safetensors")
    with pytest.raises(ModelError, match=r"'conv5.0.weight' is \[1024, 200, 1, 1\] instead of \[1024, 192, 1, 1\]"):
        load(tmp_path / "wide.safetensors")
    save_file(state | {"stage4.9.weight": torch.zeros(3)}, tmp_path / "deep.safetensors")
    with pytest.raises(ModelError, match=r"it holds 'stage4.9.weight'"):
        load(tmp_path / "deep.safetensors")


class Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must never run",)


def test_files_that_hold_no_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(name: str, message: str) -> None:
        with pytest.raises(ModelError, match=message) as raised:
            load(tmp_path / name)
        assert name in str(raised.value)
        assert "\n" not in str(raised.value).strip()

    (tmp_path / "code.pth").write_bytes(pickle.dumps({"conv1.weight": Code()}))
    refused("code.pth", "code from files is never run")
    torch.save({"conv1.weight": Code()}, tmp_path / "zip.pth")
    refused("zip.pth", "code from files is never run")
    assert "never run" not in capsys.readouterr().out
    torch.save(network(), tmp_path / "module.pth")
    refused("module.pth", "save the state dict alone")
    torch.save([1, 2], tmp_path / "list.pth")
    refused("list.pth", "holds no state dict of tensors")
    torch.save(network().state_dict(), tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:2000])
    refused("cut.pth", "truncated|never run")
    (tmp_path / "empty.pth").write_bytes(b"")
    refused("empty.pth", "truncated|never run")
    save_file(network().state_dict(), tmp_path / "cut.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "cut.safetensors").read_bytes()[:-100])
    refused("cut.safetensors", "is not a whole safetensors file")
    (tmp_path / "code.safetensors").write_bytes(pickle.dumps({"conv1.weight": Code()}))
    refused("code.safetensors", "is not a whole safetensors file")
    refused("absent.safetensors", "is not there")
    (tmp_path / "folder.pth").mkdir()
    refused("folder.pth", "is a folder")


def test_the_library_weights_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(1000)
    monkeypatch.setattr(ShuffleNet_V2_X0_5_Weights, "get_state_dict", lambda self, **_: model.state_dict())
    classifier = build_classifier(BackboneSettings(architecture=NET), 5)
    assert classifier.origin == "torchvision's shufflenet_v2_x0_5 IMAGENET1K_V1, with a new head of 5 classes"
    assert torch.equal(classifier.backbone.get_submodule("conv5.0").weight, model.conv5[0].weight)
    whole = build_classifier(BackboneSettings(architecture=NET, weights="imagenet1k_v1"), 1000, require_head=True)
    assert torch.equal(whole.head.weight, model.fc.weight)
    with pytest.raises(SettingsError, match="use default or IMAGENET1K_V1"):
        build_classifier(BackboneSettings(architecture=NET, weights="V7"), 5)
    with pytest.raises(SettingsError, match="timm names its sets in the architecture"):
        build_classifier(BackboneSettings(architecture="timm/mobilenetv2_050", weights="V7"), 5)


def test_irn_starts_from_the_first_imagenet_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(self: ResNet50_Weights, **_: object) -> dict[str, Tensor]:
        asked.append(self.name)
        raise OSError("no network")

    monkeypatch.setattr(ResNet50_Weights, "get_state_dict", fetch)
    with pytest.raises(ModelError, match=r"irn_resnet50 are not in the cache and cannot be downloaded \(no network\)"):
        build_classifier(BackboneSettings(), 20)
    assert asked == ["IMAGENET1K_V1"]


def test_timm_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model
    pretrained = create("mobilenetv2_050")

    def offline(name: str, pretrained: bool = False, **options: object) -> nn.Module:
        if pretrained:
            raise OSError("Name or service not known")
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    settings = BackboneSettings(architecture="timm/mobilenetv2_050")
    with pytest.raises(ModelError, match="cannot be downloaded \\(Name or service not known\\): connect once"):
        build_classifier(settings, 4)
    monkeypatch.setattr(
        timm, "create_model", lambda name, pretrained=False, **options: pretrained_or(create, name, pretrained)
    )

    def pretrained_or(build: Callable[[str], nn.Module], name: str, wanted: bool) -> nn.Module:
        return pretrained if wanted else build(name)

    classifier = build_classifier(settings, 4)
    assert classifier.origin == "timm's mobilenetv2_050.lamb_in1k, with a new head of 4 classes"
    assert torch.equal(classifier.backbone.model.conv_stem.weight, pretrained.conv_stem.weight)


def test_no_weights_know_no_class() -> None:
    with pytest.raises(ModelError, match="the head knows no class"):
        build_classifier(BackboneSettings(architecture=NET, weights=None), 4, require_head=True)


def pixels(path: Path, long_side: int) -> Tensor:
    image = Image.open(path).convert("RGB")
    scale = long_side / max(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 127.5 - 1


def test_a_real_voc_classifier(shared: Path) -> None:
    path = shared / "weights/mobilenet_v2_voc12.safetensors"
    centred = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    settings = BackboneSettings("torchvision/mobilenet_v2", weights=str(path), output_stride=16, **centred)
    classifier = build_classifier(settings, 20, require_head=True).eval()
    rows = (shared / "data/voc12/image_labels.csv").read_text().splitlines()[1:]
    labels = {row.split(",")[0]: row.split(",")[1].split() for row in rows}
    names = sorted({name for row in labels.values() for name in row})
    found = []
    for image in ("2007_000042", "2007_000491", "2007_000830", "2007_000925"):
        images = pixels(shared / f"data/voc12/JPEGImages/{image}.jpg", 320)
        with torch.no_grad():
            maps = classifier.mapper().class_maps(images)
        assert maps.shape == (1, 20, -(-images.shape[2] // 16), -(-images.shape[3] // 16))
        found.append(names[int(maps.mean(dim=(2, 3)).argmax())] in labels[image])
    assert len(names) == 20
    assert found == [True] * 4


def test_real_imagenet_weights(shared: Path, tmp_path: Path) -> None:
    path = shared / "weights/mobilenet_v2_imagenet.safetensors"
    settings = BackboneSettings("mobilenet_v2", str(path), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    classifier = build_classifier(settings, 1000, require_head=True).eval()
    names = (shared / "weights/imagenet_classes.txt").read_text().splitlines()
    assert torch.equal(classifier.head.weight, load_file(path)["classifier.1.weight"])
    assert classifier.head.bias is not None
    with torch.no_grad():
        scores = classifier(pixels(shared / "data/voc12/JPEGImages/2007_000033.jpg", 320))[0]
    best = [names[index] for index in scores.topk(5).indices]
    assert any("airliner" in name or "wing" in name for name in best), json.dumps(best)
    assert build_classifier(settings, 20).head.weight.shape == (20, 1280)
