"""The stage that writes one mask per object, from the edges and displacements that IRN's masks were made with."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict

import numpy as np
import torch
from PIL import Image

from advcam.data.files import write_text
from advcam.data.record import Record
from advcam.errors import RunError
from advcam.pipeline.instance_scoring import STAGE, objects_path
from advcam.pipeline.irn_files import EDGES_OF, small_maps, stored_edges, walked_size
from advcam.pipeline.progress import progress, say
from advcam.pipeline.refiner import Subject
from advcam.pipeline.run import Run
from advcam.pipeline.threads import in_threads
from advcam.refine.irn.objects import FoundObjects, find_objects

TABLE = "instances.csv"
_COLUMNS = ("image", "object", "class", "score", "pixels", "x0", "y0", "x1", "y1")


def instances(run: Run) -> None:
    """Write ``instances/<id>.npz`` and ``instances.csv``; nothing unless ``instances.method`` asks for it."""
    if run.config.instances.method == "none":
        return
    stage = run.manifest.stages.get("refine", {})
    if stage.get("status") != "done" or stage["settings"]["method"] != "irn":
        raise RunError(
            f"{run.folder.root} has no masks by IRN, whose edges instance masks are made from: run "
            "`advcam refine --refine.method irn` with the same --out"
        )
    walk = asdict(run.config.irn_walk)
    settings = {
        **asdict(run.config.instances),
        "irn_walk": {name: walk[name] for name in ("radius", "beta", "exp_times", "scale")},
        "network": stage["settings"]["sets"]["masks"]["network"],
        "maps": stage["settings"]["maps"],
    }
    with run.stage(STAGE, settings, (STAGE, TABLE, "metrics.json")) as entry:
        records = [r for r in run.wanted if run.folder.maps(r.id, EDGES_OF["maps"]).exists() or not r.classes]
        records = [record for record in records if run.folder.maps(record.id).exists()]
        todo = [record for record in records if not has_objects(run, record)]
        entry |= {"images": len(records), "made": len(todo)}
        if len(todo) < len(records):
            say(f"instances: {len(records) - len(todo)} of {len(records)} images are there already and kept")
        with progress(STAGE, len(records), len(records) - len(todo)) as advance:
            for _ in in_threads(lambda record: make(run, record), todo, torch.get_num_threads()):
                advance()
        write_table(run, records)


def has_objects(run: Run, record: Record) -> bool:
    """True where the file of an image is whole and not older than its maps."""
    path = objects_path(run, record)
    try:
        if path.stat().st_mtime_ns < run.folder.maps(record.id).stat().st_mtime_ns:
            return False
        FoundObjects.load(path)
    except (OSError, RunError):
        return False
    return True


def make(run: Run, record: Record) -> None:
    """Find and write the objects of one image."""
    subject = Subject.read(run, record, "maps")
    maps, size = small_maps(run, subject), walked_size(run, subject)
    if maps.any():
        edges = stored_edges(run, "maps", subject)
        edge, displacement = (torch.from_numpy(v).float() for v in (edges.edge, edges.displacement))
    else:
        edge, displacement = torch.zeros(maps.shape[1:]), torch.zeros(2, *maps.shape[1:])
    found = find_objects(
        maps,
        subject.result.classes.tolist(),
        edge,
        displacement,
        size,
        run.config.instances,
        run.config.irn_walk,
    )
    if size != subject.result.image_size:
        height, width = subject.result.image_size
        wide = Image.fromarray(found.numbers.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST)
        found = FoundObjects(np.asarray(wide).astype(np.uint16), found.classes, found.scores)
    found.save(objects_path(run, record))


def write_table(run: Run, records: list[Record]) -> None:
    """All objects of all images, one a line; x1 and y1 are one past the last pixel."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for record in records:
        found = FoundObjects.load(objects_path(run, record))
        for index, mask in enumerate(found.masks):
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            if not len(rows):
                continue
            name, score = run.class_names[found.classes[index]], f"{found.scores[index]:.4f}"
            box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            table.writerow((record.id, index + 1, name, score, int(mask.sum()), *map(int, box)))
    write_text(run.folder.root / TABLE, text.getvalue())
