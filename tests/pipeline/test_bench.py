"""The verb bench on a small network."""

from __future__ import annotations

from advcam.verbs.bench import bench
from advcam.verbs.settings import BenchSettings


def test_what_it_prints(capsys):
    asked = BenchSettings(("timm/resnet10t",), (48, 64), turns=1, precision=("32",), device="cpu")
    bench(asked)
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].startswith("climb on CPU")
    rows = [line.split() for line in lines if line.startswith("timm/resnet10t")]
    assert rows
    for row in rows:
        a, b, c, ratio, floor = (float(value) for value in row[3:8])
        assert min(a, b, c, ratio, floor) > 0
    assert "times as fast" in lines[-1]
    assert "VOC 2012 train_aug" in printed.err
