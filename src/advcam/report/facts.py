"""What was run, in lines that a person reads, from what the manifest says of the stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from advcam.report.figures import name_of_masks
from advcam.report.page import Fact
from advcam.report.wording import counted, place

METHODS = {"advcam": "AdvCAM", "cam": "plain CAM"}
REFINERS = {"crf": "dense CRF", "irn": "IRN", "psa": "PSA", "none": "none: the seed is the mask"}
SOURCES = {"fixed": "fixed beforehand", "maps": "chosen from the maps, without ground truth"}


def data_fact(data: str, kind: str, splits: Mapping[str, int], classes: int) -> Fact:
    """Where the images come from."""
    where = " and ".join(place(name, count) for name, count in splits.items())
    return Fact("Data", f"{data} ({kind}), {where}, {counted(classes, 'class')}")


def stage_facts(stages: Mapping[str, Any], network: str) -> list[Fact]:
    """One line for each stage that was begun; ``network`` is the architecture of the classifier."""
    found = [classifier_fact(stages["classify"]["settings"], network)] if "classify" in stages else []
    found += [saliency_fact(stages)] if "saliency" in stages else []
    readers = {"attribute": maps_fact, "refine": masks_fact}
    found += [read(stages[name]["settings"]) for name, read in readers.items() if name in stages]
    return found + ([network_fact(stages["segment"])] if "segment" in stages else [])


def classifier_fact(settings: Mapping[str, Any], network: str) -> Fact:
    """The network and its training."""
    if "classifier" in settings:
        return Fact("Classifier", f"{network}, taken from {settings['classifier']}")
    training = settings["wsol"] if "wsol" in settings else settings["classify"]
    epochs = counted(training["epochs"], "epoch") + (f" of {training['method']}" if "wsol" in settings else "")
    trained = f"{network}, {epochs} on {place(settings['train'] or 'all', settings['images'])}"
    return Fact("Classifier", trained + (f", measured on {settings['val']}" if settings["val"] else ", not measured"))


def saliency_fact(stages: Mapping[str, Any]) -> Fact:
    """Where saliency maps come from: they are supervision beyond the labels."""
    settings = stages["saliency"]["settings"]
    if settings["source"] == "folder":
        return Fact("Saliency", f"maps from {settings['folder']}")
    if "weights" not in settings:
        return Fact("Saliency", f"{settings['source']}, without training")
    trained = stages.get("detector", {}).get("settings")
    masks = "weights from elsewhere" if trained is None else f"trained on {counted(trained['pairs'], 'mask')}"
    return Fact("Saliency", f"{settings['source']}, {masks}")


def maps_fact(settings: Mapping[str, Any]) -> Fact:
    """The method and the settings that decide what its maps look like."""
    if "side" in settings:
        view = f"one square view of {settings['side']} pixels"
    else:
        view = "scales " + ", ".join(f"{scale:g}" for scale in settings["scales"])
    text = f"{METHODS.get(settings['method'], settings['method'])}, {view}"
    climb = settings["climb"]
    if climb is not None:
        text += f", {climb['steps']} steps of {climb['step_size']:.3g}, regularizer {climb['reg_weight']:.3g}"
    if settings.get("saliency"):
        text += ", held where saliency is background"
    return Fact("Localization maps", text)


def masks_fact(settings: Mapping[str, Any]) -> Fact:
    """How maps became masks."""
    refined = REFINERS.get(settings["method"], settings["method"])
    if settings.get("ambiguity"):
        refined += ", 255 where saliency disagrees"
    made = settings["sets"]["masks"]
    if settings["rule"] == "confident":
        strict, generous = made["confident"]
        return Fact("Masks", f"{refined}; foreground above {strict:g}, background below {generous:g}, between them 255")
    chosen = made["threshold"]
    if chosen is None:
        return Fact("Masks", refined)
    source = SOURCES.get(chosen["method"], f"best of a sweep over the ground truth of {chosen['split']}")
    return Fact("Masks", f"{refined}; background threshold {chosen['value']:.2f}, {source}")


def network_fact(stage: Mapping[str, Any]) -> Fact:
    """The segmentation network and its training."""
    settings = stage["settings"]
    trained = f"{name_of_masks(settings['method'])} on {settings['architecture']}, {counted(stage['images'], 'mask')}"
    result = stage.get("result") or {}
    if not result.get("updates"):
        return Fact("Network", f"{trained}, its training was stopped")
    trained += f", {counted(result['updates'], 'update')}"
    chosen = result.get("chosen")
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
    """A setting's value as it is typed."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(as_text, value))
    return str(value)


def instance_facts(metrics: Mapping[str, Any] | None) -> list[Fact]:
    """VOC's average precision of the instance masks, where they were measured."""
    entries = [entry for entry in (metrics or {}).get("instances", []) if entry["ap"] is not None]
    found = []
    for split, images in dict.fromkeys((entry["split"], entry["images"]) for entry in entries):
        own = [entry for entry in entries if entry["split"] == split]
        text = ", ".join(f"AP {100 * entry['ap']:.1f} at an overlap of {entry['iou']:g}" for entry in own)
        found.append(Fact("Instances", f"{text} on {place(split, images)}"))
    return found
