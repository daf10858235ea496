"""Training of the run's own salient object detector."""

from __future__ import annotations

from pathlib import Path

import torch

from advcam.errors import SettingsError
from advcam.models.stored import CONFIG_NAME
from advcam.pipeline.progress import say
from advcam.pipeline.run import Run
from advcam.saliency.checkpoint import save_detector
from advcam.saliency.pairs import Pair, check_pairs, find_pairs
from advcam.saliency.train import DetectorTask
from advcam.saliency.u2net import PLANS, U2Net
from advcam.training import FitProgress, fit
from advcam.training.settings import numbers_depend_on


def trained(run: Run) -> Path:
    """The folder of the run's own detector, trained on the pairs of ``detector.data`` if it is not there yet."""
    source, config = run.config.saliency.source, run.config.detector
    if config.data is None:
        raise SettingsError(
            f"saliency.source {source} needs a trained network: give its weights with --saliency.weights FILE, or "
            "images with masks to train it on with --detector.data"
        )
    pairs, held = (limited(part, run.config.limit) for part in find_pairs(config, {one.id for one in run.records}))
    settings = {**numbers_depend_on(config), "source": source, "pairs": len(pairs), "held_out": len(held)}
    folder = run.folder.root / "detector"
    done = run.manifest.stages.get("detector", {}).get("status") == "done"
    with run.stage("detector", settings, ("detector", "saliency")) as entry:
        if not (done and (folder / CONFIG_NAME).exists()):
            say(f"saliency: training {source} on {len(pairs)} masks of images that this run does not map")
            check_pairs([*pairs, *held])
            torch.manual_seed(config.seed)
            network = U2Net(PLANS[source])
            task = DetectorTask(network, config, pairs, held)
            origin = {"data": f"{len(pairs)} pairs of {config.data}", "network": source}
            with FitProgress("saliency") as shown:
                result = fit(task, folder, origin=origin, device=run.config.device, on_event=shown)
            save_detector(folder, network, source, config.size, origin["data"])
            entry["result"] = {"updates": result.updates, "seconds": round(result.seconds, 1), "held_out": result.kept}
        else:
            entry["result"] = run.manifest.stages["detector"].get("result")
    return folder


def limited(pairs: list[Pair], limit: int | None) -> list[Pair]:
    """At most so many pairs, spread evenly over them: a dry run."""
    if limit is None or limit >= len(pairs):
        return pairs
    return [pairs[index * len(pairs) // limit] for index in range(limit)]
