"""Which images are shown, and what their cards hold."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from advcam.data.masks import resized_labels, voc_palette
from advcam.report.gallery import Subject, draw_card
from advcam.report.pictures import picture, reduce_picture, reduced_size
from advcam.report.selection import choose_images, spread


def test_flagged_images_come_first_and_leave_room():
    images = {f"image {index}": [index % 5] for index in range(100)}
    flagged = [f"image {index}" for index in (7, 3, 50, 51, 52)]
    chosen = choose_images(images, flagged, 12)
    assert chosen[:3] == ["image 7", "image 3", "image 50"]
    assert len(set(chosen)) == 12
    assert not set(chosen[3:]) & set(flagged)
    # Every class twice before one of them a third time, but for the last.
    assert sorted(images[name][0] for name in chosen[3:]) == [0, 0, 1, 1, 2, 2, 3, 3, 4]


def test_few_images_are_all_shown_flagged_first():
    images = {"a": [0], "b": [1], "c": [0, 1], "d": []}
    chosen = choose_images(images, ["c", "b", "c", "gone"], 24)
    assert chosen[:2] == ["c", "b"]
    assert sorted(chosen) == ["a", "b", "c", "d"]
    assert chosen[-1] == "d"
    assert choose_images(images, ["c"], 0) == []
    assert choose_images({}, [], 24) == []


def test_the_choice_does_not_depend_on_the_order_of_the_records():
    images = {f"image {index}": [index % 3, 3] for index in range(30)}
    assert spread(images) == spread(dict(reversed(images.items())))


def test_a_picture_is_in_its_address():
    pixels = np.full((6, 9, 3), (200, 30, 30), np.uint8)
    made = picture("image", "a field", pixels)
    assert (made.width, made.height) == (9, 6)
    data = base64.b64decode(made.address.removeprefix("data:image/webp;base64,"))
    back = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert abs(back - pixels).max() < 12


def test_sizes_are_reduced_and_never_enlarged():
    assert reduced_size((500, 1000), 320) == (160, 320)
    assert reduced_size((10, 5000), 320) == (1, 320)
    assert reduced_size((20, 30), 320) == (20, 30)
    mask = np.zeros((40, 40), np.uint8)
    mask[:, 20:] = 7
    assert set(np.unique(resized_labels(mask, (10, 10)))) == {0, 7}
    assert reduce_picture(np.full((40, 60, 3), 9, np.uint8), (20, 30)).shape == (20, 30, 3)


def subject(**changes) -> Subject:
    size = (12, 16)
    image = np.full((*size, 3), 120, np.uint8)
    maps = {"CAM": np.zeros((2, *size), np.float32), "AdvCAM": np.ones((2, *size), np.float32)}
    usual = {
        "name": "a/b",
        "split": "val",
        "image": image,
        "classes": (0, 2),
        "probabilities": (0.9, 0.1),
        "maps": maps,
    }
    return Subject(**usual | changes)


def test_a_card_with_everything():
    mask = np.ones((12, 16), np.uint8)
    card = draw_card(
        subject(mask=mask, truth=mask, warnings=("cow: why",), flagged_classes=(2,)),
        ("cat", "dog", "cow"),
        voc_palette(),
    )
    assert [tab.class_name for tab in card.tabs] == ["cow", "cat"]
    assert [heat.caption for heat in card.tabs[0].heats] == ["CAM", "AdvCAM"]
    assert [shown.caption for shown in card.masks] == ["mask", "ground truth"]
    assert (card.columns, card.has_truth, card.tabs[1].colour) == (5, True, "#800000")
    assert card.tabs[0].heats[0].description == "CAM of cow in a/b"


def test_a_card_without_truth_mask_or_class():
    card = draw_card(subject(), ("cat", "dog", "cow"), voc_palette())
    assert (card.columns, card.masks, card.has_truth) == (3, (), False)
    none = np.zeros((0, 12, 16), np.float32)
    bare = draw_card(subject(classes=(), probabilities=(), maps={"CAM": none}), ("cat",), voc_palette())
    assert (bare.columns, bare.tabs) == (1, ())


def test_what_a_mask_sets_aside_is_hatched():
    mask = np.zeros((12, 16), np.uint8)
    mask[:, :4] = 255
    names, palette = ("cat", "dog", "cow"), voc_palette()
    assert draw_card(subject(mask=mask), names, palette).hatched
    assert not draw_card(subject(mask=mask % 255, truth=mask), names, palette).hatched


def test_many_classes_of_one_image_are_counted():
    maps = {"CAM": np.zeros((6, 12, 16), np.float32)}
    names = tuple(f"class {index}" for index in range(1000))
    card = draw_card(subject(classes=(0, 1, 2, 3, 998, 999), probabilities=(0.5,) * 6, maps=maps), names, voc_palette())
    assert len(card.tabs) == 4
    assert card.more_classes == ("class 998", "class 999")


def test_the_stages_stand_between_the_maps_and_the_mask():
    labels = np.zeros((12, 16), np.uint8)
    card = draw_card(
        subject(steps={"seed": labels, "seed + CRF": labels}, edges=labels, mask=labels),
        ("cat", "dog", "cow"),
        voc_palette(),
    )
    captions = [mask.caption for mask in card.masks if mask.caption != "ground truth"]
    assert captions == ["seed", "seed + CRF", "edges", "mask"]
    # With the image and two heat maps these are seven: four in a row.
    assert (card.columns, card.row) == (7, 4)
