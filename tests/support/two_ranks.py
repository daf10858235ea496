"""What each process of torchrun does in the test of it: three trainings, and what it holds after them."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

from trainings import TASKS, Pictures, train

from advcam.training.state import FitState

NAMES = ("classifier", "deeplab", "cct")


def main(root: Path) -> None:
    found = {}
    for name in NAMES:
        task = TASKS[name](Pictures.draw(root / os.environ["RANK"]), batch_size=4, updates=2, validate_every=1)
        result, tensors = train(task, root / name)
        stored = FitState.load(root / name / "training.pt")
        digest = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tensors.values())).hexdigest()
        same = all(bool((stored.network[key] == value).all()) for key, value in tensors.items())
        found[name] = {"digest": digest, "stored": same, "losses": result.losses}
    (root / f"rank{os.environ['RANK']}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
