"""The command line: help, exit codes, and one sentence for every mistake."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcam.cli import VERBS, main


class Malicious:
    def __reduce__(self):
        return (Path.touch, (Path("owned"),))


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three small images in two classes, in the working folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    (folder / "labels.csv").write_text("image,labels\n0.png,cat\n1.png,dog\n2.png,cat;dog\n")
    return folder


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """The exit code and the last line on standard error; lines before it tell of progress."""
    code = main(words)
    *before, last = capsys.readouterr().err.splitlines()
    assert all(line.startswith(("doctor: ", "classify: ")) for line in before)
    return code, last


def test_help_lists_every_verb(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {verb} " in text for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_function_and_help(verb, capsys):
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"usage: advcam {verb}" in text
    assert len(text.splitlines()) <= 60


def test_help_loads_no_torch():
    program = "import sys; from advcam.cli import main; main(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0
    program = "import sys; from advcam.cli import main; main(['attribute', '--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["runn"], "did you mean 'run'"),
        (["run", "voc12_tabel1_cam_crf"], "did you mean voc12_table1_cam_crf"),
        (["run", "--climb.step", "3"], "there is no setting --climb.step, did you mean --climb.steps"),
        (["run", "--climb.steps", "many"], "--climb.steps is many, and must be a whole number"),
        (["run", "--attribute.scales", "1.0"], '--attribute.scales is 1.0, and must be a list such as "[1, 2]"'),
        (["run", "--seed.threshold", "high"], "must be a number or one of auto, regions, stability, swept"),
        (["run", "--limit", "x"], "--limit is x, and must be a whole number"),
        (["run", "--climb.steps", "0"], "climb.steps must be from 1 to 10,000, not 0"),
        (["run"], "no data set is named: give --data"),
        (["run", "--data", "nowhere"], "nowhere: there is no such file or folder"),
        (["run", "--data", "photos", "--backbone.architecture", "resnet5O"], "resnet50"),
        (["run", "--data", "photos", "--classifier", "weights.pkl"], "weights.pkl"),
        (["run", "--data", "photos", "--classifier", "nothing"], "nothing"),
        (["attribute", "--data", "photos"], "no trained classifier yet: run `advcam classify`"),
        (["refine", "--data", "photos"], "no whole set of maps yet: run `advcam attribute`"),
        (["evaluate", "--data", "photos", "--splits.maps", "[val]"], "val"),
        (["run", "--data", "photos", "--device", "cuda"], "cuda"),
        (["run", "--data", "photos", "--seed.threshold", "1.5"], "seed.threshold"),
        (["run", "--data", "photos", "--attribute.scales", "[1.0, 1.0]"], "scales"),
        (["scenes", "--out", "photos"], "photos"),
        (["doctor", "--data", "photos", "--classifier", "nothing"], "nothing"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_mend(photos, capsys, words, sentence):
    Path("weights.pkl").write_bytes(pickle.dumps({"weight": Malicious()}))
    if "cuda" in words:
        pytest.importorskip("torch")
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a CUDA device here")
    code, message = said(capsys, *words)
    assert code == 2
    assert sentence in message
    assert message.startswith("advcam: ")
    assert not Path("owned").exists()
    assert not list(Path().glob("runs/**/*.*"))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("labels.csv", b"", "labels.csv"),
        ("labels.csv", b"image,labels\n0.png,cat\n1.png,dog\n", "2.png"),
        ("labels.csv", b"image,labels\n0.png,cat\n1.png,dog\n2.png,cat\n3.png,cat\n", "3.png"),
        ("labels.csv", b"image,labels\n../secret.png,cat\n0.png,cat\n1.png,dog\n2.png,cat\n", "../secret.png"),
        ("labels.csv", b"image,labels\n0.png,caf\xe9\n1.png,dog\n2.png,cat\n", "UTF-8"),
        ("0.jpg", b"x", "0.jpg"),
        ("classes.txt", b"cat\ndogg\n", "dogg"),
        ("2.png", b"", "2.png"),
        ("2.png", b"not an image at all", "2.png"),
        ("masks/0.png", b"", "0.png"),
    ],
)
def test_bad_data_is_named_and_nothing_is_written(photos, capsys, name, content, sentence):
    (photos / name).parent.mkdir(exist_ok=True)
    (photos / name).write_bytes(content)
    code, message = said(capsys, "doctor", "--data", "photos")
    assert code == 2
    assert message.startswith("advcam: photos")
    # A file that is no image is found when it is opened, in training; the rest before anything begins.
    if name not in ("2.png", "masks/0.png"):
        code, message = said(capsys, "run", "--data", "photos")
        assert code == 2
        assert sentence in message
        assert not list(Path().glob("runs/**/*.*"))


STOPPED = """
import signal, sys, threading, time
from advcam import cli
from advcam.verbs.table import VERBS, Verb

def work(verb, words):
    threading.Thread(target=time.sleep, args=(60,)).start()
    print("at work", flush=True)
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            if {heard}:
                raise

# A shell's background job ignores Ctrl-C, and so do its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
VERBS["recipes"], cli.GRACE, sys.argv = Verb("", work), 0.2, ["advcam", "recipes"]
sys.exit(cli.main())
"""


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_no_thread_keeps_a_command_that_is_stopped(number: signal.Signals, code: int, heard: bool) -> None:
    words = [sys.executable, "-c", STOPPED.format(heard=heard)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "at work\n"
        command.send_signal(number)
        try:
            _, told = command.communicate(timeout=50)
        finally:
            command.kill()
    assert command.returncode == code
    assert "advcam recipes interrupted" in told
