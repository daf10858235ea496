"""The scenes as a data set in the layout of PASCAL VOC."""

from __future__ import annotations

import csv
import glob
import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from advcam.data.classes import CLASS_FILE
from advcam.data.masks import OBJECTS, write_mask
from advcam.data.scenes.compose import Scene, render_scene
from advcam.data.scenes.settings import SceneSettings
from advcam.data.scenes.things import CLASS_NAMES
from advcam.data.voc_labels import IMAGES, MASKS, TABLE
from advcam.errors import DataError
from advcam.io.files import TEMPORARY, read_json, unwritable, write_json, write_text

SPLITS = ("train", "val", "test")
# What the folder was drawn with; a folder that holds it is whole.
STAMP = "scenes.json"
VERSION = 2
_LISTS = Path("ImageSets", "Segmentation")
# Share of images with one, two and three things.
_CROWDS = (0.35, 0.4, 0.25)


def draw_scenes(settings: SceneSettings, split: str) -> Iterator[tuple[str, Scene]]:
    """The images of one split by id, one after another.

    Every class leads one image in ``len(CLASS_NAMES)``, so that six images hold all classes.

    >>> name, scene = next(draw_scenes(SceneSettings(), "val"))
    >>> name, scene.image.shape[2], scene.classes[0] >= 0
    ('val_0000', 3, True)
    """
    for number in range(getattr(settings, split)):
        rng = np.random.default_rng((settings.seed, SPLITS.index(split), number))
        height, width = settings.shapes()[rng.integers(3)]
        others = rng.integers(len(CLASS_NAMES), size=rng.choice(3, p=_CROWDS))
        kinds = (number % len(CLASS_NAMES), *map(int, others))
        yield f"{split}_{number:04d}", render_scene(rng, height, width, kinds, settings.body_cue)


def write_scenes(out: str | Path, settings: SceneSettings | None = None) -> Path:
    """Draw a data set into a folder: pictures, masks, objects, the three lists, the labels and the classes.

    The same settings give the same bytes. The folder appears whole or not at all. A folder that already holds these
    scenes is left as it is.

    Args:
        out: a folder that does not exist, is empty, or holds the scenes of the same settings.
        settings: ``SceneSettings()`` unless told.

    Returns:
        The folder, to be read as a data set with the splits train, val and test.

    Raises:
        DataError: the folder holds something else, or the scenes of other settings.
        RunError: it cannot be written.

    >>> import tempfile
    >>> out = write_scenes(Path(tempfile.mkdtemp(), "scenes"), SceneSettings(train=2, val=1, test=1))
    >>> sorted(path.name for path in (out / "JPEGImages").iterdir())
    ['test_0000.jpg', 'train_0000.jpg', 'train_0001.jpg', 'val_0000.jpg']
    """
    settings = settings or SceneSettings()
    out = Path(out).absolute()
    # Beside the folder, so that the whole of it can take its name at once.
    temporary = out.with_name(f".{out.name}.{os.getpid()}{TEMPORARY}")
    for leftover in out.parent.glob(f".{glob.escape(out.name)}.*{TEMPORARY}"):
        # Of a drawing that was killed.
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        if not _is_there(out, settings):
            temporary.mkdir(parents=True)
            _write(temporary, settings)
            temporary.replace(out)
    except OSError as error:
        raise unwritable(out, error) from error
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)
    return out


def _stamp(settings: SceneSettings) -> dict[str, int | float]:
    return {"version": VERSION, **asdict(settings)}


def _is_there(out: Path, settings: SceneSettings) -> bool:
    """True where the folder holds these scenes; False where it is free."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file: name a folder for the scenes")
    if not out.is_dir() or not any(out.iterdir()):
        return False
    if not (out / STAMP).is_file():
        raise DataError(f"{out} holds other files: name an empty or a new folder for the scenes")
    wanted, found = _stamp(settings), read_json(out / STAMP)
    differing = [name for name in wanted if not isinstance(found, dict) or found.get(name) != wanted[name]]
    if differing:
        name = differing[0]
        value = found.get(name) if isinstance(found, dict) else None
        raise DataError(
            f"{out} holds scenes drawn with {name} {value}, not {wanted[name]}: name another folder, or remove this one"
        )
    return True


def _write(out: Path, settings: SceneSettings) -> None:
    for folder in (Path(IMAGES), Path(MASKS), Path(OBJECTS), _LISTS):
        (out / folder).mkdir(parents=True)
    labels = io.StringIO(newline="")
    table = csv.writer(labels, lineterminator="\n")
    table.writerow(("image", "labels"))
    for split in SPLITS:
        names = []
        for name, scene in draw_scenes(settings, split):
            Image.fromarray(scene.image).save(out / IMAGES / f"{name}.jpg", quality=92, subsampling=0)
            write_mask(out / MASKS / f"{name}.png", scene.mask)
            write_mask(out / OBJECTS / f"{name}.png", scene.objects)
            table.writerow((name, " ".join(CLASS_NAMES[index] for index in scene.classes)))
            names.append(name)
        write_text(out / _LISTS / f"{split}.txt", "".join(f"{name}\n" for name in names))
    write_text(out / TABLE, labels.getvalue())
    write_text(out / CLASS_FILE, "".join(f"{name}\n" for name in CLASS_NAMES))
    write_json(out / STAMP, _stamp(settings))
