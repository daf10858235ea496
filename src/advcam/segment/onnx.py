"""A trained network as one ONNX file that takes pictures as they are."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from advcam.errors import ModelError
from advcam.io.files import writing
from advcam.segment.inference import Segmenter, pad_to_multiple

OPSET = 18
# The largest difference to torch, relative to the largest logit, with which a file is handed out.
TOLERANCE = 1e-3
# Height and width of the picture that the network is traced with, and others, even and odd, that the file is tried on.
_TRACED, _TRIED = (129, 161), ((129, 161), (96, 200), (187, 65))


class Deployed(nn.Module):
    """The network with everything around it: RGB levels 0 to 255 in, logits at the size of the picture out."""

    mean: Tensor
    std: Tensor

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.network, self.align_corners, self.multiple = segmenter.network, segmenter.align_corners, segmenter.multiple
        self.register_buffer("mean", 255 * torch.tensor(segmenter.mean).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(segmenter.std).view(3, 1, 1))

    def forward(self, pixels: Float[Tensor, "n 3 H W"]) -> Float[Tensor, "n K H W"]:
        height, width = pixels.shape[-2:]
        images = pad_to_multiple((pixels - self.mean) / self.std, self.multiple)
        logits = self.network(images)
        logits = nn.functional.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=self.align_corners)
        return logits[..., :height, :width]


def export_onnx(segmenter: Segmenter, path: str | Path) -> float:
    """Write the network as ONNX, after ONNX Runtime has computed the same as torch at several sizes.

    Input ``image``: float32 ``n x 3 x H x W``, RGB, 0 to 255, any size. Output ``logits``: float32 ``n x K x H x W``;
    the label of a pixel is the index of the highest. ``class_names`` is in the metadata, as JSON.

    Args:
        segmenter: the network; moved to the CPU.

    Returns:
        The largest difference to torch, relative to the largest logit.

    Raises:
        ModelError: a package of the extra ``export`` is not installed, or the file does not compute what torch does.
        RunError: the file cannot be written.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ModelError(
            f"writing ONNX needs the package {error.name}, which is not installed: pip install advcam[export]"
        ) from None
    deployed = Deployed(segmenter.to("cpu")).eval()
    free = torch.export.Dim.DYNAMIC
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            deployed,
            # Two pictures: a batch of one would be taken for a constant.
            (torch.zeros(2, 3, *_TRACED),),
            input_names=["image"],
            output_names=["logits"],
            dynamic_shapes=({0: free, 2: free, 3: free},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    onnx.helper.set_model_props(proto, {"class_names": json.dumps(["background", *segmenter.class_names])})
    content = proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    worst = max(_difference(deployed, session, number, size) for number, size in enumerate(_TRIED, 1))
    if not worst <= TOLERANCE:
        raise ModelError(
            f"ONNX Runtime computes other logits than torch, by {worst:.1e} of the largest one: update onnx and "
            "onnxruntime, or hand the network on as safetensors"
        )
    with writing(Path(path)) as temporary:
        temporary.write_bytes(content)
    return worst


def _difference(deployed: Deployed, session: object, number: int, size: tuple[int, int]) -> float:
    """How far the file is from torch on a batch of noise."""
    pixels = 255 * torch.rand(number, 3, *size, generator=torch.Generator().manual_seed(number))
    with torch.no_grad():
        expected = deployed(pixels)
    (found,) = session.run(None, {"image": pixels.numpy()})  # type: ignore[attr-defined]
    return ((torch.from_numpy(found) - expected).abs().max() / expected.abs().max()).item()
