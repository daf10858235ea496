"""What an analysis left in a run, in the page."""

from __future__ import annotations

from pathlib import Path

from advcam.analyse.result import Analysis
from advcam.report.analyses import analysis_sections
from advcam.report.page import Page, render


def test_an_analysis_is_a_section_of_the_page(tmp_path: Path) -> None:
    numbers = {"gap": 0.25, "mIoU of <CAM>": 40.0}
    facts = {"images": 3, "split": "train"}
    for name, draw in (("fig15", lambda figure: figure.subplots().plot([1, 2])), ("table9", None)):
        Analysis(name, "Scores", "All of them.", [{"x": 1}], numbers, {"gap": "wider"}, facts, draw).write(tmp_path)
    found = analysis_sections(tmp_path)
    assert [(one.name, one.plot is not None, one.place) for one in found] == [
        ("fig15", True, "3 images of train"),
        ("table9", False, "3 images of train"),
    ]
    assert found[0].numbers == (("gap", "0.25", "wider"), ("mIoU of <CAM>", "40", ""))
    page = render(Page(title="run", summary="", made="", claim="", analyses=found))
    assert '<section id="analysis">' in page
    assert "mIoU of &lt;CAM&gt;" in page
    assert analysis_sections(tmp_path / "nothing") == []
