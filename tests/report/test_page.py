"""The template alone: what is given is shown, what is not is left out."""

from __future__ import annotations

import base64
import hashlib
import re
from types import SimpleNamespace

from advcam.report.facts import changed_settings, instance_facts, stage_facts
from advcam.report.page import LISTED, Fact, FlaggedClass, Page, StageTime, render
from advcam.report.panels import classifier_chart
from advcam.report.wording import Hint, Notice

BARE = Page(title="birds", summary="A summary.", made="2026-01-02 03:04", claim="Nothing is measured.")


def sections(html: str) -> list[str]:
    return re.findall(r'<section id="(\w+)"', html)


def test_a_bare_page():
    html = render(BARE)
    assert sections(html) == ["result", "run"]
    assert "2026-01-02 03:04" in html
    for empty in ("<table", "<ul", "<ol", "<dl", "<pre", "<aside"):
        assert empty not in html


def test_the_policy_allows_this_script_only():
    html = render(BARE)
    script = re.search(r"<script>(.*)</script>", html, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html


def test_everything_is_escaped():
    nasty = "</style><script>alert('x')</script>"
    page = Page(
        title=nasty,
        summary=nasty,
        made="now",
        claim=nasty,
        claim_details=[nasty],
        notices=[Notice("warning", nasty, nasty)],
        facts=[Fact(nasty, nasty)],
        flagged=[FlaggedClass(nasty, nasty, 0.1, nasty)],
        flagged_images=1,
        left_out=[(nasty, [nasty])],
        hints=[Hint(nasty, nasty)],
        stages=[StageTime(nasty, "failed", 3.0, "3.0 s")],
        command=nasty,
        changed=[(nasty, nasty)],
        config=nasty,
        versions=[(nasty, nasty)],
    )
    html = render(page)
    assert sections(html) == ["result", "flagged", "next", "run"]
    assert html.count("<script>") == 1
    assert html.count("</style>") == 1
    assert html.count("alert(") == html.count("alert(&#39;x&#39;)")


def test_long_lists_are_cut_and_say_so():
    flags = [FlaggedClass(f"image {index}", "cat", 0.1, "why") for index in range(LISTED + 5)]
    html = render(Page("t", "s", "m", "c", flagged=flags, flagged_images=LISTED, left_out=[("all", ["x"] * 1000)]))
    assert f"image {LISTED - 1}<" in html
    assert f"image {LISTED}<" not in html
    assert "5 more rows in flagged.csv" in html
    assert "Left out of the data set: 1000" in html
    assert html.count("<li") == LISTED


def test_names_that_are_not_utf8_can_be_written():
    html = render(Page("caf\udce9", "s", "m", "c"))
    assert "<title>caf? · advcam</title>" in html
    html.encode()


def test_a_classifier_of_a_thousand_classes_stays_small():
    names = {f"class {index}": 0.5 for index in range(1000)}
    result = {"per_class_ap": names, "prevalence": names, "level": "good", "sentence": "Good.", "val_map": 0.5}
    legend = [(name, "#808080") for name in names]
    html = render(Page("t", "s", "m", "c", classifier=classifier_chart(result | {"untrained": []}), legend=legend))
    assert html.count('class="bar-name') == 40
    assert "The 960 classes above these" in html
    assert len(html) < 60_000


def made(result: dict, **facts: object) -> SimpleNamespace:
    """The record of an artifact."""
    return SimpleNamespace(facts=facts, result=result, settled={})


def test_what_was_run_in_lines():
    climb = {"steps": 27, "step_size": 0.08, "reg_weight": 7.0}
    artifacts = {
        "classifier": made({"trained": {"epochs": 1, "split": "train", "images": 89}, "measured": None}),
        "advcam/maps": made({"kind": "advcam", "scales": [0.5, 1.0], "climb": climb}),
        "advcam/masks": made(
            {"method": "crf", "threshold": {"value": 0.3, "method": "sweep", "split": "train"}},
            refine={"rule": "seed", "ambiguity": False},
        ),
    }
    assert [fact.text for fact in stage_facts(artifacts, "advcam", "irn_resnet50")] == [
        "irn_resnet50, 1 epoch on train (89 images), not measured",
        "AdvCAM, scales 0.5, 1, 27 steps of 0.08, regularizer 7",
        "dense CRF; background threshold 0.30, best of a sweep over the ground truth of train",
    ]
    guided = made({"kind": "advcam", "scales": [1.0], "climb": None}, guide={"content": "1", "scales": [1.0]})
    (fact,) = stage_facts({"advcam/maps": guided}, "advcam", "irn_resnet50")
    assert fact.text == "AdvCAM, scales 1, times the plain maps of a second classifier"
    adopted = {"classifier": made({"taken": "a.safetensors"})}
    assert stage_facts(adopted, "advcam", "irn_resnet50")[0].text == "irn_resnet50, taken from a.safetensors"
    assert stage_facts({}, "advcam", "irn_resnet50") == []


def test_saliency_is_told_of_as_supervision() -> None:
    def told(result: dict, weights: str | None = None, **others: SimpleNamespace) -> str:
        facts = {} if weights is None else {"weights": weights}
        return stage_facts({"saliency": made(result, **facts)} | others, "advcam", "irn_resnet50")[0].text

    assert told({"source": "folder", "folder": "maps/dss"}) == "maps from maps/dss"
    assert told({"source": "fine_grained"}) == "fine_grained, without training"
    assert told({"source": "u2netp"}, "0123") == "u2netp, weights from elsewhere"
    assert told({"source": "u2netp"}, "0123", detector=made({"pairs": 360})) == "u2netp, trained on 360 masks"


def test_instances_in_a_line():
    entries = [{"split": "val", "images": 60, "iou": iou, "ap": ap} for iou, ap in ((0.5, 0.427), (0.75, 0.056))]
    (fact,) = instance_facts({"instances": [*entries, {"split": "test", "images": 1, "iou": 0.5, "ap": None}]})
    assert fact.text == "AP 42.7 at an overlap of 0.5, AP 5.6 at an overlap of 0.75 on val (60 images)"
    assert instance_facts(None) == []


def test_changed_settings():
    changed = changed_settings({"a": {"b": [1.0, 2.0], "c": 1}, "d": None}, {"a": {"b": [1.0], "c": 1}, "d": "x"})
    assert changed == [("--a.b", "'[1.0, 2.0]'"), ("--d", "null")]
