"""What was run, in lines that a person reads, from what the manifest says of the stages."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from advcam.attribute.settings import climbs
from advcam.report.figures import name_of_masks
from advcam.report.page import Fact
from advcam.report.wording import calibrated, counted, place

REFINERS = {"crf": "dense CRF", "irn": "IRN", "psa": "PSA", "none": "none: the seed is the mask"}
SOURCES = {"fixed": "fixed beforehand", "maps": "chosen from the maps, without ground truth"}


def data_fact(data: str, kind: str, splits: Mapping[str, int], classes: int) -> Fact:
    """Where the images come from."""
    where = " and ".join(place(name, count) for name, count in splits.items())
    return Fact("Data", f"{data} ({kind}), {where}, {counted(classes, 'class')}")


def stage_facts(artifacts: Mapping[str, Any], kind: str, network: str) -> list[Fact]:
    """One line for each stage that was begun, from the records of what it made.

    Args:
        artifacts: by name; each has ``facts``, what it depends on, and ``result``, what there is to say of it.
        kind: of the maps that the run is about.
        network: the architecture of the classifier.
    """
    readers = {
        "classifier": lambda made: classifier_fact(made.result, network),
        "saliency": lambda made: saliency_fact(made, artifacts.get("detector")),
        f"{kind}/maps": maps_fact,
        f"{kind}/masks": masks_fact,
        "segmentation": lambda made: network_fact(made.result),
    }
    return [read(artifacts[name]) for name, read in readers.items() if name in artifacts and artifacts[name].result]


def classifier_fact(made: Mapping[str, Any], network: str) -> Fact:
    """The network and its training."""
    if "taken" in made:
        return Fact("Classifier", f"{network}, taken from {made['taken']}")
    training = made["trained"]
    epochs = counted(training["epochs"], "epoch") + (f" of {made['method']}" if "method" in made else "")
    trained = f"{network}, {epochs} on {place(training['split'] or 'all', training['images'])}"
    return Fact("Classifier", trained + (f", measured on {made['measured']}" if made["measured"] else ", not measured"))


def saliency_fact(made: Any, detector: Any) -> Fact:
    """Where saliency maps come from: they are supervision beyond the labels."""
    source = made.result["source"]
    if source == "folder":
        return Fact("Saliency", f"maps from {made.result['folder']}")
    if "weights" not in made.facts:
        return Fact("Saliency", f"{source}, without training")
    masks = "weights from elsewhere" if detector is None else f"trained on {counted(detector.result['pairs'], 'mask')}"
    return Fact("Saliency", f"{source}, {masks}")


def maps_fact(made: Any) -> Fact:
    """The method and the settings that decide what its maps look like."""
    found = made.result
    if "side" in found:
        view = f"one square view of {found['side']} pixels"
    else:
        view = "scales " + ", ".join(f"{scale:g}" for scale in found["scales"])
    plain = "" if climbs(found["kind"]) else "plain "
    text = f"{plain}{name_of_masks(found['kind'])}, {view}"
    climb = found["climb"]
    if climb is not None:
        text += f", {climb['steps']} steps of {climb['step_size']:.3g}, regularizer {climb['reg_weight']:.3g}"
    if "calibrated" in made.settled:
        text += f" ({calibrated(made.settled['calibrated'])})"
    if made.facts.get("guide"):
        text += ", times the plain maps of a second classifier"
    if made.facts.get("saliency"):
        text += ", held where saliency is background"
    return Fact("Localization maps", text)


def masks_fact(made: Any) -> Fact:
    """How maps became masks."""
    refined = REFINERS.get(made.result["method"], made.result["method"])
    if made.facts["refine"]["ambiguity"]:
        refined += ", 255 where saliency disagrees"
    if made.facts["refine"]["rule"] == "confident":
        strict, generous = made.facts["settings"]["confident"]
        return Fact("Masks", f"{refined}; foreground above {strict:g}, background below {generous:g}, between them 255")
    chosen = made.result["threshold"]
    if chosen is None:
        return Fact("Masks", refined)
    source = SOURCES.get(chosen["method"], f"best of a sweep over the ground truth of {chosen['split']}")
    return Fact("Masks", f"{refined}; background threshold {chosen['value']:.2f}, {source}")


def network_fact(made: Mapping[str, Any]) -> Fact:
    """The segmentation network and its training."""
    trained = f"{name_of_masks(made['method'])} on {made['architecture']}, {counted(made['images'], 'mask')}"
    trained += f", {counted(made['updates'], 'update')}"
    chosen = made.get("chosen")
    if chosen is not None:
        trained += f", the weights of the best of {counted(chosen['validations'], 'validation')} on {chosen['split']}"
    return Fact("Network", trained)


def changed_settings(config: Mapping[str, Any], default: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Settings that differ from the defaults, by their names on the command line.

    >>> changed_settings({"a": {"b": 2, "c": 3}}, {"a": {"b": 1, "c": 3}})
    [('--a.b', '2')]
    """
    found = []
    for name, value in config.items():
        usual = default.get(name)
        if isinstance(value, Mapping) and isinstance(usual, Mapping):
            found += changed_settings(value, usual, f"{prefix}{name}.")
        elif value != usual:
            found.append((f"--{prefix}{name}", as_text(value)))
    return found


def as_text(value: Any) -> str:
    """A setting's value as it is typed on the command line.

    >>> as_text((0.5, 1.0)), as_text(None), as_text("a b"), as_text(True)
    ("'[0.5, 1.0]'", 'null', "'a b'", 'true')
    """
    if isinstance(value, str):
        return shlex.quote(value)
    return shlex.quote(json.dumps(value))


def false_area_facts(metrics: Mapping[str, Any] | None) -> list[Fact]:
    """How much of images without a class the network labels with it."""
    return [
        Fact(
            "False area",
            f"{100 * entry['false_area']:.2f} % of an image without a class, {place(entry['split'], entry['images'])}",
        )
        for entry in (metrics or {}).get("false_area", [])
    ]


def instance_facts(metrics: Mapping[str, Any] | None) -> list[Fact]:
    """VOC's average precision of the instance masks, where they were measured."""
    entries = [entry for entry in (metrics or {}).get("instances", []) if entry["ap"] is not None]
    found = []
    for split, images in dict.fromkeys((entry["split"], entry["images"]) for entry in entries):
        own = [entry for entry in entries if entry["split"] == split]
        text = ", ".join(f"AP {100 * entry['ap']:.1f} at an overlap of {entry['iou']:g}" for entry in own)
        found.append(Fact("Instances", f"{text} on {place(split, images)}"))
    return found
