"""Does a classifier know its classes well enough for its localization maps to mean anything?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# Bounds on `skill`, from the class activation maps of eleven MobileNetV2 classifiers, untrained to fine-tuned, on 58
# VOC val images (one scale, long side 320): the seeds of a class have an IoU of 4 % below a skill of 0.1, 11 % up to
# 0.4, 17 % up to 0.6 and 32 % above. Over all classes the mIoU is at most 10 % up to a mean skill of 0.22 (but for the
# untrained head, whose maps simply cover the image), 16 to 22 % between 0.33 and 0.61, and 28 to 33 % from 0.65 on.
UNRECOGNISED = 0.1
WEAK = 0.5
UNFIT_OVERALL = 0.25
WEAK_OVERALL = 0.6


@dataclass(frozen=True)
class ClassifierJudgement:
    """What to think of a classifier.

    Attributes:
        level: "good"; "weak", maps will be rough; "unfit", maps mean nothing; "unknown", nothing to measure with.
        sentence: the judgement in plain words, with the figures it rests on and what to do.
        unrecognised: classes ranked hardly better than at random: their maps mean nothing.
        weak: classes whose maps need a look.
        unmeasured: classes that no validation image has, or every one.
    """

    level: Literal["good", "weak", "unfit", "unknown"]
    sentence: str
    unrecognised: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()


def skill(average_precision: float, prevalence: float) -> float:
    """Average precision above chance: 0 for a random ranking, whose value is the prevalence, 1 for a perfect one.

    NaN where every image has the class: any ranking is perfect then.

    >>> round(skill(0.55, 0.1), 3)
    0.5
    """
    return math.nan if prevalence >= 1 else (average_precision - prevalence) / (1 - prevalence)


def judge_classifier(
    val_map: float | None, per_class_ap: Mapping[str, float], prevalence: Mapping[str, float]
) -> ClassifierJudgement:
    """Judge a classifier by its validation figures.

    Args:
        val_map: mean average precision over the classes that have validation images, in [0, 1]; None without any.
        per_class_ap: average precision of each class, NaN where no validation image has it.
        prevalence: fraction of the validation images that have the class.

    >>> judge_classifier(0.9, {"cat": 0.95, "dog": 0.85}, {"cat": 0.5, "dog": 0.4}).level
    'good'
    """
    always = tuple(name for name in per_class_ap if prevalence.get(name, 0.0) >= 1)
    measured = {name: ap for name, ap in per_class_ap.items() if not math.isnan(ap) and name not in always}
    unmeasured = tuple(name for name in per_class_ap if name not in measured)
    if always and not measured:
        return ClassifierJudgement(
            "unknown",
            f"Nothing can be said of the classifier: every validation image shows {', '.join(always)}, so any ranking "
            "is perfect. Add images without the class, labelled background.",
            unmeasured=unmeasured,
        )
    if val_map is None or math.isnan(val_map) or not measured:
        return ClassifierJudgement(
            "unknown",
            "The classifier was not validated: give labelled validation images to learn whether its maps mean a thing.",
            unmeasured=unmeasured,
        )
    skills = {name: skill(ap, prevalence[name]) for name, ap in measured.items()}
    unrecognised = tuple(name for name, value in skills.items() if value < UNRECOGNISED)
    weak = tuple(name for name, value in skills.items() if UNRECOGNISED <= value < WEAK)
    overall = sum(skills.values()) / len(skills)
    chance = sum(prevalence[name] for name in measured) / len(measured)
    figures = f"validation mAP {val_map:.2f}, where guessing gives {chance:.2f}"
    level: Literal["good", "weak", "unfit"]
    if overall < UNFIT_OVERALL or len(unrecognised) == len(measured):
        level = "unfit"
        text = (
            f"The classifier does not know its classes ({figures}), so its maps mean nothing: train it longer, start "
            "from pretrained weights, or check the labels."
        )
    elif overall < WEAK_OVERALL:
        level = "weak"
        text = f"The classifier is weak ({figures}), so its maps will be rough: train it longer or give it more images."
    else:
        level = "good"
        text = f"The classifier knows its classes ({figures})."
    if level != "unfit" and unrecognised:
        text += f" Not so {_listed(unrecognised, measured)}: do not trust the maps of these."
    if level != "unfit" and weak:
        text += f" Weak: {_listed(weak, measured)}."
    if always:
        text += f" Nothing can be said of {', '.join(always)}: every validation image shows it."
    if missing := [name for name in unmeasured if name not in always]:
        text += f" Without validation images: {', '.join(missing)}."
    return ClassifierJudgement(level, text, unrecognised, weak, unmeasured)


def _listed(names: tuple[str, ...], measured: Mapping[str, float]) -> str:
    return ", ".join(f"{name} (AP {measured[name]:.2f})" for name in names)
