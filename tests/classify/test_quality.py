"""The judgement on a classifier, in plain words."""

from __future__ import annotations

import pytest

from advcam.classify import judge_classifier
from advcam.classify.quality import skill

SHARES = {"cat": 0.4, "dog": 0.3, "sofa": 0.05}


def judged(cat: float, dog: float, sofa: float) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    judgement = judge_classifier((cat + dog + sofa) / 3, {"cat": cat, "dog": dog, "sofa": sofa}, SHARES)
    return judgement.level, judgement.unrecognised, judgement.weak


def test_levels() -> None:
    assert judged(0.95, 0.9, 0.8) == ("good", (), ())
    assert judged(0.95, 0.9, 0.3) == ("good", (), ("sofa",))
    assert judged(0.95, 0.9, 0.06) == ("weak", ("sofa",), ())
    assert judged(0.4, 0.3, 0.05) == ("unfit", ("cat", "dog", "sofa"), ())


def test_a_frequent_class_needs_more_than_its_frequency() -> None:
    # An average precision of 0.42 is nothing for a class in 40 % of the images, and good for one in 5 %.
    assert skill(0.42, 0.4) == pytest.approx(1 / 30)
    assert "cat" in judged(0.42, 0.9, 0.9)[1]


def test_sentences_name_figures_classes_and_mends() -> None:
    weak = judge_classifier(0.64, {"cat": 0.95, "dog": 0.9, "sofa": 0.06}, SHARES).sentence
    assert "validation mAP 0.64, where guessing gives 0.25" in weak
    assert "sofa (AP 0.06): do not trust the maps" in weak
    unfit = judge_classifier(0.25, {"cat": 0.4, "dog": 0.3, "sofa": 0.05}, SHARES).sentence
    assert "maps mean nothing" in unfit
    assert "check the labels" in unfit


def test_what_cannot_be_measured_is_said() -> None:
    assert judge_classifier(None, {}, {}).level == "unknown"
    assert judge_classifier(float("nan"), {"cat": float("nan")}, {"cat": 0.0}).unmeasured == ("cat",)
    partly = judge_classifier(0.9, {"cat": 0.9, "dog": float("nan")}, {"cat": 0.5, "dog": 0.0})
    assert (partly.level, partly.unmeasured) == ("good", ("dog",))
    assert partly.sentence.endswith("Without validation images: dog.")
