"""Every table and figure of the paper beside what a run measured, and what is missing to measure the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from advcam.analyse import ANALYSES
from advcam.analyse.paper_rows import BOXES, PaperRow, paper_rows
from advcam.analyse.plot import PAPER, colour, dress
from advcam.analyse.result import Analysis, Value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Data sets of the paper by their number of classes.
DATA = {20: "voc12", 80: "coco14", 200: "cub", 1000: "imagenet"}
NAMES = {"voc12": "PASCAL VOC 2012", "coco14": "MS COCO 2014", "cub": "CUB-200-2011", "imagenet": "ImageNet-1K"}
# Of the figures and tables that are analysed; PASCAL VOC 2012 unless told.
ANALYSED_ON = dict.fromkeys(("fig7", "fig9", "fig14", "table13"), "coco14")
ANALYSED_ON |= dict.fromkeys(("fig10", "fig15", "table10"), "cub")
MASKS_DATA, BOXES_DATA = ("voc12", "coco14"), ("cub", "imagenet")


def paper(
    metrics: Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    analyses: Sequence[Mapping[str, Any]] = (),
    *,
    classes: int = 0,
    recipes: Sequence[str] = (),
) -> Analysis:
    """The paper's figures beside a run's.

    A run's figure stands in a row of the paper where its maps, refinement and network are that row's. ``same_data``
    says whether its data have the number of classes of the paper's; they are still another sample where the run had
    fewer images. Nothing is chosen here: thresholds are those of ``metrics.json``, the one that was swept first.

    Args:
        metrics: ``metrics.json``; None where nothing was measured.
        settings: of the run, nested by section.
        analyses: the JSON of the analyses that were made of it.
        classes: how many the run's data have.
        recipes: names of those that exist.
    """
    data = DATA.get(classes, "")
    rows: list[dict[str, Value]] = []
    for row in paper_rows():
        found = measured(row, metrics, settings) if stands(row, data) else None
        beside: dict[str, Value] = dict.fromkeys(("measured", "split", "images", "same_data"))
        if found is not None:
            beside = {"measured": found["value"], "split": found["split"], "images": found["images"]}
            beside["same_data"] = data == row.data
        beside["missing"] = missing(row, data, recipes) if found is None else None
        printed = {name: getattr(row, name) for name in ("table", "data", "row", "column")}
        rows.append({**printed, "paper": row.value, **beside})
    made = {one["name"]: one for one in analyses}
    for name in ANALYSES:
        rows += analysed(name, made.get(name), data)
    place = NAMES.get(data, f"{classes} classes, none of the paper's data sets")
    shown = [row for row in rows if isinstance(row["measured"], float) and isinstance(row["paper"], float)]
    return Analysis(
        "paper",
        "The paper's tables and figures",
        "The paper's number beside what this run measured. On other data, or on fewer images, only differences between "
        "rows can be compared.",
        rows,
        {"rows": len(rows), "measured": sum(row["measured"] is not None for row in rows)},
        facts={"data": place},
        draw=(lambda figure: draw(figure, shown, place)) if shown else None,
        size=(8.0, 1.2 + 0.26 * len(shown)),
    )


def stands(row: PaperRow, data: str) -> bool:
    """Whether a run on some data is put beside a row: of its own data, else of the paper's first of that kind.

    >>> [stands(next(r for r in paper_rows() if r.table == name), "coco14") for name in ("table1", "table2", "table7")]
    [False, True, True]
    """
    kind = BOXES_DATA if row.data in BOXES_DATA else MASKS_DATA
    return row.data == (data if data in kind else kind[0])


def measured(row: PaperRow, metrics: Mapping[str, Any] | None, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The run's figure for a row, in percent, with its split and number of images; None where it has none."""
    kind, _, masks = row.measured_by.partition(" ")
    if metrics is None or kind == "server" or any(not holds(settings, *need) for need in row.needs.items()):
        return None
    entries = [
        entry
        for entry in metrics.get(kind, ())
        if entry["masks"].removesuffix(" + crf") == masks or entry["masks"] == masks
    ]
    # Its own split where it has that, else the first that was measured.
    named = [entry for entry in entries if entry["split"].startswith(row.split)] or entries
    if not named:
        return None
    entry = named[0]
    if kind == "wsol":
        values = (entry["top1_loc"], *entry["max_box_acc_v2"].values(), entry["max_box_acc_v2_mean"])
        value = dict(zip(BOXES, values, strict=False)).get(row.column)
    else:
        value = None if entry["miou"] is None else 100 * entry["miou"]
    return None if value is None else {"value": float(value), "split": entry["split"], "images": entry["images"]}


def holds(settings: Mapping[str, Any], name: str, wanted: str) -> bool:
    """Whether a setting has a value; "set" stands for any but none.

    >>> holds({"saliency": {"source": "folder"}}, "saliency.source", "set"), holds({}, "refine.method", "irn")
    (True, False)
    """
    found: Any = settings
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found not in (None, "none") if wanted == "set" else found == wanted


def missing(row: PaperRow, data: str, recipes: Sequence[str]) -> str:
    """What it takes to measure a row; a recipe has all settings that the row needs, but no saliency maps."""
    if row.measured_by == "server":
        return "labels of test: the data set's evaluation server"
    if row.recipe not in recipes:
        wanted = f"a run with {row.measured_by.partition(' ')[2]}"
        return f"{wanted}, {', '.join(f'{name} {value}' for name, value in row.needs.items())}".rstrip(", ")
    maps = ", with saliency maps" if "saliency.source" in row.needs else ""
    return f"advcam run {row.recipe}{maps}{'' if row.data == data else f', on {NAMES[row.data]}'}"


def analysed(name: str, made: Mapping[str, Any] | None, data: str) -> list[dict[str, Value]]:
    """The rows of a figure or table that ``advcam analyse`` measures."""
    columns = ("table", "data", "row", "column", "paper", "measured", "split", "images", "same_data", "missing")
    theirs_on = ANALYSED_ON.get(name, "voc12")
    empty: dict[str, Value] = dict.fromkeys(columns) | {"table": name, "data": theirs_on}
    if made is None:
        return [{**empty, "row": ANALYSES[name][1], "missing": f"advcam analyse {name}"}]
    facts, theirs, ours = made["facts"], made["paper"], made["numbers"]
    where = {"split": facts.get("split"), "images": facts.get("images"), "same_data": data == theirs_on}
    names = [key for key in ours if key in theirs] or list(ours)[:4]
    return [{**empty, "row": key, "paper": theirs.get(key), "measured": ours[key], **where} for key in names]


def draw(figure: Figure, rows: Sequence[Mapping[str, Any]], place: str) -> None:
    """The paper's value and the run's on one line for each row that has both."""
    axes = figure.subplots()
    dress(axes, "%", "", f"this run: {place}")
    places = range(len(rows), 0, -1)
    axes.hlines(places, [row["paper"] for row in rows], [row["measured"] for row in rows], color="#cccccc")
    axes.scatter([row["paper"] for row in rows], places, marker="D", color=PAPER, label="paper", zorder=2)
    axes.scatter([row["measured"] for row in rows], places, marker="o", color=colour(0), label="this run", zorder=3)
    axes.set_yticks(
        places,
        [f"{row['table']}: {row['row']}{', ' + row['column'] if row['column'] else ''}" for row in rows],
        fontsize=8,
    )
    axes.set_ylim(0.3, len(rows) + 0.7)
    axes.legend(frameon=False, fontsize=8)
