"""The verb that hands a trained network on."""

from __future__ import annotations

from pathlib import Path

from advcam.data.files import writing
from advcam.errors import RunError, SettingsError
from advcam.models.stored import CONFIG_NAME, WEIGHTS_NAME
from advcam.pipeline.progress import say
from advcam.pipeline.settings import ExportVerb
from advcam.segment.checkpoint import find_folder, load
from advcam.segment.onnx import export_onnx

ONNX_NAME = "model.onnx"


def export(asked: ExportVerb) -> None:
    """Write ``model.onnx``, or the two files that ``advcam.segment.load`` reads.

    Raises:
        SettingsError: no network is named.
        ModelError: there is no such network, or the packages for ONNX are not installed.
        RunError: the folder cannot be written, or is the network's own.
    """
    if asked.model is None:
        raise SettingsError("no network is named: give --model RUN, a run folder whose stage segment is done")
    source, out = find_folder(asked.model), Path(asked.out)
    segmenter = load(source)
    if asked.format == "onnx":
        difference = export_onnx(segmenter, out / ONNX_NAME)
        say(f"export: {out / ONNX_NAME}, which differs from torch by at most {difference:.1e} of the largest logit")
        return
    if source.resolve() == out.resolve():
        raise RunError(f"{out} is where the network is already: choose another --out")
    for name in (WEIGHTS_NAME, CONFIG_NAME):
        with writing(out / name) as temporary:
            temporary.write_bytes((source / name).read_bytes())
    say(f'export: {out}, which advcam.segment.load("{out}") reads')
