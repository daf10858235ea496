"""Every figure that the paper prints of its own method and of the baseline it climbs, and what measures it here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from advcam.attribute.settings import kind_of


@dataclass(frozen=True)
class PaperRow:
    """One printed figure, in percent."""

    table: str
    data: str
    """ "voc12", "coco14", "cub" or "imagenet"."""
    row: str
    column: str
    value: float
    measured_by: str
    """ "results MASKS" or "wsol MASKS" in ``metrics.json``; "server" for a test server's."""
    split: str
    recipe: str
    needs: Mapping[str, str] = field(default_factory=dict)
    """Settings that a run must have for its figure to be this one: a value, or "set" for any but none."""


IRN, SALIENT = {"refine.method": "irn"}, {"saliency.source": "set"}
BOXES = ("Top-1 Loc", "0.3", "0.5", "0.7", "mean")


def paper_rows() -> Iterator[PaperRow]:
    """Tables 1 to 8 and 12; the others, and the figures, hold their own values (``Analysis.paper``)."""
    yield from _table_1()
    for row, recipe, values in (
        ("IRN (CAM)", "coco14_table2_cam_irn", (33.5, 42.9)),
        ("IRN → Ours", "coco14_table2_advcam_irn", (37.2, 46.0)),
    ):
        kind = "advcam" if "Ours" in row else "cam"
        for column, value, masks in zip(("Seed", "Mask"), values, ("seed", "+ irn"), strict=True):
            yield PaperRow("table2", "coco14", row, column, value, f"results {kind} {masks}", "train", recipe)
    yield from _networks()
    yield from _localization()
    yield from _table_12()


def _table_1() -> Iterator[PaperRow]:
    rows: tuple[tuple[str, str, str, dict[str, str], dict[str, float]], ...] = (
        ("PSA (CAM)", "voc12_table1_cam_psa", "cam", {}, {"seed": 48.0, "+ psa": 61.0}),
        ("AdvCAM, PSA", "voc12_table1_advcam_psa", "advcam", {}, {"seed": 55.6, "+ crf": 62.1, "+ psa": 68.0}),
        ("IRN (CAM)", "voc12_table1_cam_irn", "cam", {}, {"seed": 48.8, "+ crf": 54.3, "+ irn": 66.3}),
        ("AdvCAM, IRN", "voc12_table1_advcam_irn", "advcam", {}, {"seed": 55.6, "+ crf": 62.1, "+ irn": 69.9}),
        ("AdvCAM-Sal", "voc12_table1_advcam_sal_irn", "advcam", SALIENT, {"seed": 60.8, "+ crf": 66.6, "+ irn": 72.3}),
    )
    columns = {"seed": "Seed", "+ crf": "Seed + CRF", "+ psa": "Mask", "+ irn": "Mask"}
    for row, recipe, kind, needs, values in rows:
        for masks, value in values.items():
            found = f"results {kind} {masks}"
            yield PaperRow("table1", "voc12", row, columns[masks], value, found, "train", recipe, needs)


def _networks() -> Iterator[PaperRow]:
    sal = "voc12_table4_advcam_sal"
    sal101, sal152 = ({**SALIENT, "segment.architecture": f"res2net{depth}_v1b"} for depth in (101, 152))
    rows = (
        ("table3", "voc12", "IRN (CAM)", "voc12_table3_cam", "deeplab", {"attribute.method": "cam"}, (63.5, 64.8)),
        ("table3", "voc12", "AdvCAM", "voc12_table3_advcam", "deeplab", {"attribute.method": "advcam"}, (68.1, 68.0)),
        ("table3", "voc12", "AdvCAM-Sal", "voc12_table3_advcam_sal", "deeplab", SALIENT, (71.3, 71.2)),
        ("table4", "voc12", "AdvCAM-Sal, Res2Net-101", f"{sal}_res2net101", "deeplab", sal101, (72.0, 72.7)),
        ("table4", "voc12", "AdvCAM-Sal, Res2Net-152", f"{sal}_res2net152", "deeplab", sal152, (73.0, 72.7)),
        ("table5", "coco14", "IRN (CAM)", "coco14_table5_cam", "deeplab", {"attribute.method": "cam"}, (41.4,)),
        ("table5", "coco14", "AdvCAM", "coco14_table5_advcam", "deeplab", {"attribute.method": "advcam"}, (44.4,)),
        ("table6", "voc12", "CCT", "voc12_table6_cct", "cct", {"attribute.method": "cam"}, (73.2,)),
        ("table6", "voc12", "AdvCAM", "voc12_table6_advcam", "cct", {"attribute.method": "advcam"}, (77.8, 76.9)),
    )  # fmt: skip
    for table, data, row, recipe, network, needs, values in rows:
        yield PaperRow(table, data, row, "val", values[0], f"results {network}", "val", recipe, needs)
        if len(values) > 1:
            yield PaperRow(table, data, row, "test", values[1], "server", "test", recipe, needs)


def _localization() -> Iterator[PaperRow]:
    other = "imagenet_table7_cutmix"
    rows = (
        ("table7", "cub", "CAM", "cub_table7_cam", "cam", "cam", (58.0, 95.3, 71.5, 19.0, 61.9)),
        ("table7", "cub", "CAM + Ours", "cub_table7_cam", "cam", "advcam", (63.7, 97.8, 80.5, 27.4, 68.6)),
        ("table7", "cub", "CutMix", "cub_table7_cutmix", "cutmix", "cam", (57.6, 93.1, 70.8, 23.4, 62.4)),
        ("table7", "cub", "CutMix + Ours", "cub_table7_cutmix", "cutmix", "advcam", (64.9, 97.3, 80.7, 32.5, 70.2)),
        ("table7", "imagenet", "CAM", "imagenet_table7_cam", "cam", "cam", (51.9, 83.9, 65.8, 41.5, 63.7)),
        ("table7", "imagenet", "CAM + Ours", "imagenet_table7_cam", "cam", "advcam", (55.0, 86.5, 70.3, 47.4, 68.1)),
        ("table7", "imagenet", "CutMix", other, "cutmix", "cam", (52.8, 84.6, 65.4, 41.6, 63.9)),
        ("table7", "imagenet", "CutMix + Ours", other, "cutmix", "advcam", (54.8, 86.2, 68.4, 45.5, 66.7)),
        ("table8", "cub", "CutMix", "cub_table8_cutmix", "cutmix", "cam", (None, 91.4, 62.2, 18.0, 57.2)),
        ("table8", "cub", "CutMix + Ours", "cub_table8_cutmix", "cutmix", "advcam", (None, 95.5, 72.4, 28.2, 65.4)),
    )  # fmt: skip
    for table, data, row, recipe, method, kind, values in rows:
        needs = {
            "wsol.method": method,
            "backbone.architecture": f"wsol/{'inception_v3' if table == 'table8' else 'resnet50'}",
        }
        for column, value in zip(BOXES, values, strict=True):
            if value is not None:
                yield PaperRow(table, data, row, column, value, f"wsol {kind}", "test", recipe, needs)


def _table_12() -> Iterator[PaperRow]:
    sub = {"attribute.map": "sub_categories"}
    rows = (
        ("Grad-CAM++", "voc12_table12_gradcampp", {"attribute.map": "gradcam_pp"}, (47.7, 50.7), None),
        ("Chang et al.", "voc12_table12_subcategories", sub, (50.9, 53.7), (63.4, 67.5)),
        ("SEAM", "voc12_table12_seam", {"attribute.map": "seam"}, (55.4, 58.6), (63.6, 67.2)),
        ("IRN", "voc12_table12_irn", IRN, (48.8, 55.6), (66.3, 69.9)),
    )
    for row, recipe, needs, seeds, masks in rows:
        way = "+ irn" if row == "IRN" else "+ psa"
        for column, values, name in (("Seed", seeds, "seed"), ("Mask", masks, way)):
            map_ = needs.get("attribute.map", "cam")
            kinds = [kind_of(method, map_) for method in ("cam", "advcam")]
            for kind, label, value in zip(kinds, (row, f"{row} + climbing"), values or (), strict=False):
                yield PaperRow(
                    "table12", "voc12", label, column, value, f"results {kind} {name}", "train", recipe, needs
                )
