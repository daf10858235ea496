"""Ground-truth masks that lie in a folder of their own: which image each belongs to, and which belong to none."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from advcam.data.ids import image_id
from advcam.data.listing import list_images
from advcam.data.record import Problem
from advcam.errors import shortened

# What tools add to the name of an image to name its mask.
_ADDED = re.compile(r"[ _.-](?:mask|masks|gt|seg|segmentation|label|labels|labelids|annotation)$", re.IGNORECASE)
_NAMED_ONE_BY_ONE = 20


@dataclass(frozen=True)
class MaskFolder:
    """The pictures of a folder of masks by the id of the image that each is named after."""

    folder: Path
    names: Mapping[str, str]
    problems: tuple[Problem, ...] = ()
    notices: tuple[Problem, ...] = ()

    def of(self, *ids: str) -> Path | None:
        """The mask of an image, by the first of its ids that has one."""
        return next((self.folder / self.names[name] for name in ids if name in self.names), None)


def mask_folder(folder: Path | None, ids: Collection[str]) -> MaskFolder:
    """The masks of a folder (none where there is no such folder), looked through for those that no image claims.

    A mask named as tools name them (``a_mask.png``, ``a.jpg.png``) whose image has none is a problem, and so is a
    folder of masks that all belong to no image; other masks without an image are told of.

    Args:
        folder: of the masks.
        ids: under which masks may be named.
    """
    if folder is None or not folder.is_dir():
        return MaskFolder(Path(), {})
    listing = list_images(folder)
    problems = list(listing.problems)
    for name, several in listing.ids.items():
        if len(several) > 1 and name in ids:
            message = f"{' and '.join(several)} are both masks of the image {name}: remove one of them"
            problems.append(Problem(str(folder), message))
    names = {name: several[0] for name, several in listing.ids.items() if name in ids}
    lost: list[str] = []
    misnamed: list[Problem] = []
    for name, several in listing.ids.items():
        if name in ids:
            continue
        image = _image_of(name, ids)
        if image is None or image in names:
            lost.extend(several)
        else:
            message = f"the mask is read for no image: call it {image}.png if it belongs to {image}"
            misnamed.append(Problem(str(folder / several[0]), message))
    problems += misnamed[:_NAMED_ONE_BY_ONE]
    if (more := len(misnamed) - _NAMED_ONE_BY_ONE) > 0:
        problems.append(Problem(str(folder), f"{more} more masks are named so: name them after their images"))
    if not lost:
        return MaskFolder(folder, names, tuple(problems))
    told = f"{len(lost)} masks belong to no image ({shortened(lost)})"
    if not names and not misnamed:
        problems.append(Problem(str(folder), f"all {told}: name each mask after its image, as in a.png for a.jpg"))
        return MaskFolder(folder, names, tuple(problems))
    return MaskFolder(folder, names, tuple(problems), (Problem(str(folder), f"not used: {told}"),))


def _image_of(name: str, ids: Collection[str]) -> str | None:
    """The image that a mask of this name is probably of.

    >>> _image_of("b/a_mask", {"b/a"}), _image_of("a.jpg", {"a"}), _image_of("c", {"a"})
    ('b/a', 'a', None)
    """
    for candidate in (image_id(name), _ADDED.sub("", name), image_id(_ADDED.sub("", image_id(name)))):
        if candidate in ids:
            return candidate
    return None
