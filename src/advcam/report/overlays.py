"""Masks and localization maps drawn over their image. Pictures are arrays UInt8[H W 3] in RGB, values 0..255."""

from __future__ import annotations

import base64

import numpy as np
from jaxtyping import Bool, Float, UInt8

from advcam.data.masks import IGNORE
from advcam.errors import DataError

Picture = UInt8[np.ndarray, "H W 3"]
# Matplotlib's colour map inferno (CC0), red, green and blue of 256 levels: equal steps look equal, in grey print too.
_INFERNO = np.frombuffer(
    base64.b85decode(
        "000C500jX71_1#G0s#sF0t^BI4g&%Z1OpNT0~7@W7X}0w2L&4l1sw?n9|{K|3kM_&2qp~(DGmuM5D6_23NR81G879m6$>{O3pp4JJQ)l=8w^1l3_"
        "~6aMIQ`EAq+|*3``^pPbLgeC<{|53sox%S1k)!FA7^R3S2S@UNj0{HVI)k31T@3V>=0CJqcw#31&bFXF>{SL<(p{3Ta0RYDo)fN(^gE3~NmdY)=h"
        "rQ4VZU4sBEqZB-9#R}gMl5N=u#Zd?*>T@r3z6K-J>ZekQ}WEE~@6>eu1ZfO>7Y8P&77;bGCZf_ZGaT#uM8g6tNZgm@OcN}ea9Bq0XZG0VVeI9Lp9"
        "&CUgY=R(cgdl5$A!~;rYltFhiXv)^BWaBzX^$jnkR@o6C1{f-XO$*rmnUYJCuW)`Wt%Bvohf9WDr2B3W1=f!qby;iEMTTBV5lx%sV-itFJ7%MU9K"
        "=(urXV)GFr1TTC_7+wlr9`HCMScR=PG-yf;+6I8(nlQouS<!8%aGJ5R(sPR2b=$39HRKTFC$O3Oh>%tA=cLr2d<M$kn?(ndtnM?=&|Le)w^*GoUx"
        "Og`C7J=#t@+fX~*Q99mIINwt@;8ix^RyE>RG~-z_<XSQ1TrlQcFXvt^=wL1BVJqrmD(hq^>t-nIXD01wCGKh@?`$LQZXxh*An|b@@pB#WbR6?`8}"
        "oP>^m!Qddl&V67507<_J9-jf)e+H5cq`;_=gVoi46IR3;B!+`Hl(tkO=yc2l|u;`<4d#mj?Tp2K$=^`<(~;p9lP*2>hc7{G|%~rVRY34g9JP{Hzi"
        "Dt`hvP6#TLl{InSRwi^4m9s9Z;`@A9hz9ag;Ci=oC`ot>w#x42BFZszb`O7u<%{TbZI``2%_tQZ3)kF5zM)lcA_1jGJ-B0x2Q}p3h^W$3c<z4dTV"
        "e;r@^6F{v>}~Pwaq;hU@$q@`@_q93g7fu;^Y)7L_>T4YlJ@$R`1_jq{GIy!q5S`("
    ),
    np.uint8,
).reshape(256, 3)


# Opacity of a mask's colour inside an object; of a map's colour where the map is 1: it falls with the map, so that the
# image stays visible where nothing was found.
FILL, HEAT = 0.5, 0.75


def mask_overlay(
    image: Picture,
    mask: UInt8[np.ndarray, "h w"],
    palette: UInt8[np.ndarray, "256 3"],
    *,
    outline_width: int = 2,
    hatch_ignored: bool = True,
) -> Picture:
    """The image with each label in its colour and an outline in the full colour.

    Args:
        image: the picture.
        mask: its labels: 0 background, 255 ignored.
        palette: the colour of each label.
        outline_width: of the line between labels in pixels; 0 draws none.
        hatch_ignored: hatch ignored pixels. Without it they look like the image, which suits the thin void bands of
            VOC's masks.

    Raises:
        DataError: the mask has another size than the image.

    >>> import numpy as np
    >>> image, mask = np.full((4, 6, 3), 200, np.uint8), np.zeros((4, 6), np.uint8)
    >>> mask[:, 3:] = 1
    >>> palette = np.zeros((256, 3), np.uint8)
    >>> mask_overlay(image, mask, palette, outline_width=0)[0, :, 0].tolist()
    [200, 200, 200, 100, 100, 100]
    """
    check_size(image, mask, "mask")
    inside, ignored = (mask > 0) & (mask != IGNORE), mask == IGNORE
    # Whole pictures and a choice per pixel: picking the pixels out and putting them back takes four times as long.
    colours = palette.take(mask, axis=0)
    drawn = np.where(inside[..., None], blend(image, colours, FILL), image)
    if hatch_ignored and ignored.any():
        np.copyto(drawn, blend(image, hatching(mask.shape), FILL), where=ignored[..., None])
    np.copyto(drawn, colours, where=outline(mask, outline_width)[..., None])
    return drawn


def heat_overlay(image: Picture, localization_map: Float[np.ndarray, "h w"]) -> Picture:
    """The image, greyed, with a localization map over it: the higher the map, the brighter and the more opaque.

    Args:
        image: the picture.
        localization_map: values in [0, 1] at the image's size.

    Raises:
        DataError: the map has another size than the image, or values outside [0, 1].

    >>> import numpy as np
    >>> image = np.full((2, 3, 3), 120, np.uint8)
    >>> heat_overlay(image, np.zeros((2, 3))).tolist() == image.tolist()
    True
    """
    check_size(image, localization_map, "localization map")
    if not ((localization_map >= 0) & (localization_map <= 1)).all():
        raise DataError("a localization map must have values in [0, 1] to be drawn: normalise it first")
    grey = np.repeat((image @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)[..., None], 3, axis=2)
    colours = _INFERNO[np.minimum(localization_map * 256, 255).astype(np.uint8)]
    # Below a straight line weak but present evidence would vanish; the square root would paint noise.
    return blend(grey, colours, HEAT * localization_map[..., None] ** 0.75)


def draw_outlines(
    image: Picture, mask: UInt8[np.ndarray, "h w"], colour: tuple[int, int, int] = (255, 255, 255), width: int = 2
) -> Picture:
    """The image with the borders of a mask's objects, as for ground truth over a map; ignored pixels have no border.

    Raises:
        DataError: the mask has another size than the image.
    """
    check_size(image, mask, "mask")
    drawn = image.copy()
    drawn[outline(np.where(mask == IGNORE, 0, mask).astype(np.uint8), width)] = colour
    return drawn


def outline(mask: UInt8[np.ndarray, "H W"], width: int) -> Bool[np.ndarray, "H W"]:
    """The pixels of objects that lie within ``width`` of another label or of ignored pixels, on the objects' side."""
    if width == 0:
        return np.zeros(mask.shape, dtype=bool)
    differs = within(mask, width, np.maximum) != within(mask, width, np.minimum)
    return differs & (mask > 0) & (mask != IGNORE)


def within(mask: UInt8[np.ndarray, "H W"], width: int, extreme: np.ufunc) -> UInt8[np.ndarray, "H W"]:
    """The greatest (``np.maximum``) or least (``np.minimum``) label in the square of ``width`` around each pixel.

    >>> within(np.array([[0, 0, 0, 7, 0]], np.uint8), 1, np.maximum).tolist()
    [[0, 0, 7, 7, 7]]
    """
    padded = np.pad(mask, width, mode="edge")
    for axis in (0, 1):
        parts = np.lib.stride_tricks.sliding_window_view(padded, 2 * width + 1, axis=axis)
        found = parts[..., 0]
        for offset in range(1, 2 * width + 1):
            found = extreme(found, parts[..., offset])
        padded = found
    return padded


def hatching(shape: tuple[int, ...]) -> Picture:
    """Diagonal stripes of light and dark grey, which show on bright and on dark images."""
    rows, columns = np.indices(shape)
    light = (rows + columns) % 8 < 4
    return np.repeat(np.where(light, 235, 60).astype(np.uint8)[..., None], 3, axis=2)


def blend(
    under: UInt8[np.ndarray, "*pixels 3"],
    over: UInt8[np.ndarray, "*pixels 3"],
    opacity: float | Float[np.ndarray, ...],
) -> UInt8[np.ndarray, "*pixels 3"]:
    """Colours laid on others with one opacity, or with one for each pixel."""
    mixed = under + opacity * (over.astype(np.float32) - under)
    return mixed.round().astype(np.uint8)


def check_size(image: Picture, drawn: np.ndarray, what: str) -> None:
    """Raise DataError unless ``drawn`` has the image's size."""
    if drawn.shape != image.shape[:2]:
        raise DataError(
            f"the {what} has size {drawn.shape} and the image {image.shape[:2]}: bring the {what} to the image's size"
        )
