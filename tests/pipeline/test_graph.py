"""What a command says and does of results that are stale, of parts, of other commands, of damaged folders."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from runs import contents, entry

from advcam.attribute.result import LocalizationMaps
from advcam.classify import ClassifySettings
from advcam.cli import main
from advcam.errors import RunError
from advcam.io.keys import plain
from advcam.models import BackboneSettings, build_classifier, save_classifier
from advcam.pipeline.config import RunConfig
from advcam.pipeline.graph import run_stages, states
from advcam.pipeline.record import RUN_FILE, RunRecord
from advcam.pipeline.run import Run

STAGES = ("classify", "attribute", "refine", "localize", "evaluate", "report")
ALL = {"classifier", "advcam/maps", "cam/maps", "advcam/masks", "cam/masks", "boxes", "metrics", "report"}


@pytest.fixture(scope="module")
def whole(small_data: Path, small_classifier: Path, tmp_path_factory) -> RunConfig:
    """A finished run whose classifier was trained, on data of its own."""
    root = tmp_path_factory.mktemp("graph")
    shutil.copytree(small_data, root / "data")
    config = RunConfig(
        data=str(root / "data"),
        out=str(root / "run"),
        backbone=BackboneSettings("timm/test_resnet", weights=None, output_stride=16),
        classify=ClassifySettings(epochs=1, batch_size=2, crop=32, long_side=(32, 48), val_long_side=48, workers=0),
        device="cpu",
    )
    attribute = replace(config.attribute, scales=(1.0,), batch_pixels=20000)
    config = replace(config, attribute=attribute, climb=replace(config.climb, steps=2))
    config = replace(
        config,
        refine=replace(config.refine, baseline=True, method="none"),
        report=replace(config.report, gallery=1, strips=0),
        localize=replace(config.localize, overlays=False),
    )
    run_stages(config, STAGES)
    return config


@pytest.fixture
def own(whole: RunConfig, tmp_path: Path) -> RunConfig:
    """A copy of the run and of its data."""
    shutil.copytree(whole.out, tmp_path / "run")
    shutil.copytree(str(whole.data), tmp_path / "data")
    return replace(whole, data=str(tmp_path / "data"), out=str(tmp_path / "run"))


def stale(config: RunConfig) -> set[str]:
    return {name for name, state in states(Run.open(config)).items() if state.condition == "stale"}


def partial(config: RunConfig) -> set[str]:
    return {name for name, state in states(Run.open(config)).items() if state.condition == "partial"}


def other_label(data: Path) -> None:
    table = data / "labels.csv"
    table.write_text(table.read_text().replace("picture 0.png,disc", "picture 0.png,bar;disc"))


def other_class_list(data: Path) -> None:
    table = data / "labels.csv"
    table.write_text(table.read_text().replace("bar", "beam"))


def test_data_that_the_classifier_was_trained_on(own: RunConfig) -> None:
    other_class_list(Path(str(own.data)))
    assert stale(own) == ALL
    with pytest.raises(RunError, match=r"holds classifier made otherwise .*after it advcam/maps, .* made again"):
        run_stages(own, STAGES)


@pytest.fixture
def adopted(own: RunConfig, whole: RunConfig) -> RunConfig:
    """The run with its classifier taken over, so that no picture was trained on."""
    config = replace(own, out=own.out + " adopted", classifier=f"{whole.out}/classifier")
    run_stages(config, STAGES)
    return config


def test_a_picture_that_is_removed_is_told(adopted: RunConfig, capsys) -> None:
    data = Path(str(adopted.data))
    (data / "odd/picture 1.png").unlink()
    (data / "masks/odd/picture 1.png").unlink()
    table = data / "labels.csv"
    table.write_text("".join(line for line in table.read_text().splitlines(True) if "picture 1" not in line))
    run_stages(adopted, ("attribute", "localize"))
    assert "1 image is no longer in the data set, such as odd/picture 1: not used" in capsys.readouterr().err
    assert "picture 1" not in (Path(adopted.out) / "boxes.csv").read_text()


def test_another_data_set_of_equal_ids_is_not_taken_for_the_first(adopted: RunConfig, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(str(adopted.data), other)
    for path in other.glob("*/*.png"):
        with Image.open(path) as image:
            pixels = 255 - np.asarray(image)
        Image.fromarray(pixels).save(path)
    with pytest.raises(RunError, match=r"advcam/maps made otherwise \(6 images of another data set, .*data\)"):
        run_stages(replace(adopted, data=str(other)), STAGES)


def test_weights_that_change_under_the_same_path(own: RunConfig, tmp_path: Path) -> None:
    folder, settings = tmp_path / "lent", BackboneSettings("timm/test_resnet", weights=None, output_stride=16)
    config = replace(own, out=own.out + " lent", classifier=str(folder))
    save_classifier(folder, build_classifier(settings, 2), settings, ("bar", "disc"))
    run_stages(config, ("classify", "attribute"))
    save_classifier(folder, build_classifier(settings, 2), settings, ("bar", "disc"))
    assert stale(config) >= {"classifier", "advcam/maps", "cam/maps"}
    with pytest.raises(RunError, match=r"classifier made otherwise \(taken '\w+' there"):
        run_stages(config, ("classify",))


def test_the_loss_comes_from_the_classifier(own: RunConfig, tmp_path: Path) -> None:
    folder, settings = tmp_path / "softmax", BackboneSettings("timm/test_resnet", weights=None, output_stride=16)
    classifier = build_classifier(settings, 2)
    classifier.loss = "softmax"
    save_classifier(folder, classifier, settings, ("bar", "disc"))
    config = replace(own, out=own.out + " softmax", classifier=str(folder))
    run_stages(config, ("classify", "attribute"))
    scores = LocalizationMaps.load(Path(config.out) / "advcam/maps/even/picture 2.npz").scores
    assert scores.sum() == pytest.approx(1, abs=1e-5)


def test_a_stage_does_not_work_on_what_is_stale(own: RunConfig) -> None:
    other = replace(own, climb=replace(own.climb, steps=3), overwrite=True)
    run_stages(other, ("attribute",))
    assert stale(replace(other, overwrite=False)) >= {"metrics", "report"}
    assert {"advcam/masks"} <= partial(replace(other, overwrite=False))
    other_class_list(Path(str(own.data)))
    with pytest.raises(RunError, match=r"refine would use advcam/maps, which is stale|classifier"):
        run_stages(replace(other, overwrite=False), ("refine",))


def test_a_part_of_the_images_is_told_everywhere(own: RunConfig, capsys) -> None:
    config = replace(own, out=own.out + " limited", classifier=f"{own.out}/classifier")
    run_stages(replace(config, limit=2), ("classify", "attribute"))
    run_stages(config, ("refine", "evaluate", "report"))
    said = capsys.readouterr().err
    assert "4 images have no maps yet and get no mask" in said
    assert "evaluate: note: advcam/maps covers 2 of 6 images." in said
    assert {"advcam/maps", "advcam/masks"} <= partial(config)
    assert main(["status", "--out", config.out]) == 0
    assert "partial     2 of 6 images" in capsys.readouterr().out
    assert "advcam/maps covers 2 of 6 images" in (Path(config.out) / "report.html").read_text()


def test_figures_that_are_older_than_the_masks(own: RunConfig, capsys) -> None:
    config = replace(own, refine=replace(own.refine, max_side=48), overwrite=True)
    run_stages(config, ("refine", "report"))
    assert "The figures are older than the masks" in (Path(own.out) / "report.html").read_text()
    assert main(["status", "--out", own.out]) == 0
    text = capsys.readouterr().out
    assert "metrics       stale" in text
    assert f"to bring it up to date: advcam run --out {own.out}\n" in text


def test_evaluate_cannot_be_told_what_was_made(own: RunConfig, capsys) -> None:
    before = (Path(own.out) / RUN_FILE).read_bytes()
    for setting in (("--attribute.method", "cam"), ("--climb.steps", "50")):
        assert main(["evaluate", "--out", own.out, *setting]) == 2
        assert "is a setting of `advcam attribute`, and evaluate goes by what that has made" in capsys.readouterr().err
    assert (Path(own.out) / RUN_FILE).read_bytes() == before


def test_a_config_is_the_same_in_both_spellings_and_a_run_goes_on(own: RunConfig, tmp_path: Path, monkeypatch) -> None:
    from advcam.verbs.arguments import parse

    (tmp_path / "mine.yaml").write_text("seed: {threshold: 0.4}\n")
    monkeypatch.chdir(tmp_path)
    spellings = [["--config=mine.yaml"], ["--config", "mine.yaml"]]
    first, second = (parse("run", ["--out", own.out, *words]) for words in spellings)
    assert first == second
    assert first.climb == RunConfig().climb
    run_stages(own, ("report",))
    gone_on = parse("run", ["--out", "run"])
    assert (gone_on.climb.steps, gone_on.data, gone_on.out) == (2, own.data, "run")


def test_what_changes_no_number_needs_no_overwrite(own: RunConfig) -> None:
    before = contents(own, "advcam/masks", "cam/masks")
    calm = replace(own.refine, baseline=False, overlays=False)
    run_stages(replace(own, refine=calm, localize=replace(own.localize, overlays=True)), ("refine", "localize"))
    run_stages(own, ("refine",))
    assert contents(own, "advcam/masks", "cam/masks") == before


def test_a_second_command_says_who_holds_the_folder(own: RunConfig) -> None:
    program = (
        "import sys, time; from pathlib import Path; from advcam.io.lock import locked\n"
        f"with locked(Path({own.out!r})): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=rf"is in use by `.*` \(process {holder.pid}, since 20"):
            run_stages(own, ("report",))
        holder.kill()
    run_stages(own, ("report",))


@pytest.mark.parametrize(
    "content", [b"", b"schema: 2\n", b"caf\xe9", b"[" * 5000, b"schema: 2\ncreated: 5\nsettings: 3\n"]
)
def test_a_damaged_record_is_one_sentence(own: RunConfig, content: bytes, capsys) -> None:
    (Path(own.out) / RUN_FILE).write_bytes(content)
    assert main(["report", "--out", own.out]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "run.yaml is damaged" in line


def test_folders_of_version_0_1_are_refused(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for name in ("manifest.json", "config.yaml"):
        (tmp_path / "old" / name).write_text("{}")
    with pytest.raises(RunError, match=r"was made by version 0\.1.*--classifier"):
        Run.open(RunConfig(out=str(tmp_path / "old")))


def test_links_and_other_working_folders(own: RunConfig, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    maps = Path(own.out) / "advcam/maps"
    shutil.move(maps, tmp_path / "elsewhere/maps")
    maps.symlink_to(tmp_path / "elsewhere/maps")
    monkeypatch.chdir(tmp_path)
    config = replace(own, data="data", out="run")
    assert stale(config) == set()
    run_stages(replace(config, climb=replace(own.climb, steps=3), overwrite=True), ("attribute",))
    assert len(list((Path(own.out) / "advcam/maps").rglob("*.npz"))) == 6
    assert len(list((tmp_path / "elsewhere/maps").rglob("*.npz"))) == 6


def test_a_run_with_relative_paths_goes_on_from_another_working_folder(own: RunConfig, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_stages(replace(own, data="data", out="run"), ("report",))
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert main(["status", "--out", "../run"]) == 0


def test_sigterm_says_what_ctrl_c_says(own: RunConfig, tmp_path: Path) -> None:
    file = tmp_path / "again.yaml"
    file.write_text(yaml.safe_dump(plain(replace(own, out=str(tmp_path / "again")))))
    command = [sys.executable, "-m", "advcam", "run", str(file)]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not (tmp_path / "again" / RUN_FILE).exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143, said
    assert "advcam run interrupted" in said
    assert "Traceback" not in said


def test_what_reads_the_output_may_leave(own: RunConfig) -> None:
    command = (
        f"{sys.executable} -m advcam recipes | head -n 1; {sys.executable} -m advcam report --out '{own.out}' 2>&-"
    )
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_record_says_how(whole: RunConfig) -> None:
    found = RunRecord(Path(whole.out))
    assert set(found.artifacts) == ALL
    assert found.content.settings == whole
    assert entry(whole, "advcam/maps").facts["climb"]["steps"] == 2
    assert all(one.command for one in found.artifacts.values())


def test_nothing_changes_for_a_run_that_goes_on_by_its_folder_alone(own: RunConfig) -> None:
    """Settings come from the command line the first time, and from the folder's YAML the next."""
    from advcam.verbs.arguments import parse

    again = parse("run", ["--out", own.out])
    assert not stale(again) | partial(again)
