"""Every recipe parses against the code, and says what it costs and what to expect."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import import_module

import pytest

from advcam.analyse import ANALYSES
from advcam.analyse.paper_rows import paper_rows
from advcam.errors import SettingsError
from advcam.pipeline.config import RunConfig
from advcam.verbs.arguments import parse
from advcam.verbs.recipes import recipes


@pytest.mark.parametrize("name", recipes())
def test_recipe_parses_and_opens_with_cost_expectation_and_source(name):
    path = recipes()[name]
    config = parse("run", [name])
    assert isinstance(config, RunConfig)
    comment = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert all(any(line.startswith(f"# {word}: ") for line in comment) for word in ("Cost", "Expected", "Source"))


def test_table_1_is_the_authors_program():
    config = parse("run", ["voc12_table1_advcam_crf"])
    assert config.climb == type(config.climb).released()
    assert config.crf == type(config.crf).irn()
    assert config.backbone.architecture == "irn_resnet50"
    assert (config.classify.batch_size, config.classify.epochs, config.classify.lr) == (16, 5, 0.1)


def test_the_paper_recipe_is_the_paper_settings():
    config = parse("run", ["climb_paper"])
    assert config.climb == type(config.climb).paper()


def test_rows_that_build_on_each_other_learn_from_the_same_masks():
    """Table 5 trains on the masks of table 2, table 3 on those of table 1: all but the network is equal."""
    for network, masks in (
        ("coco14_table5_advcam", "coco14_table2_advcam_irn"),
        ("voc12_table3_advcam", "voc12_table1_advcam_irn"),
        ("voc12_table3_advcam_sal", "voc12_table1_advcam_sal_irn"),
    ):
        first, second = (parse("run", [name, "--out", "nowhere"]) for name in (network, masks))
        assert replace(first, segment=second.segment, refine=second.refine) == second
        assert replace(first.refine, ambiguity=second.refine.ambiguity) == second.refine


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("climb:\n  step: 3\n", "mine.yaml, line 2: there is no setting climb.step, did you mean climb.steps?"),
        ("climb: 5\n", "mine.yaml, line 1: climb is a section, and is 5"),
        (
            "seed: {threshold: high}\n",
            "mine.yaml, line 1: seed.threshold is 'high', and must be a number or one of auto",
        ),
        ("climb: {steps: 3\n", "this is not YAML"),
        ("extends: mine.yaml\n", "extends itself"),
        ("extends: voc12_tabel1_cam_crf\n", "did you mean voc12_table1_cam_crf?"),
        ("a: &a [1]\nclimb: *a\n", "settings do not refer to others"),
        ("limit: .inf\n", "limit is inf, and must be"),
        ("climb: {step_size: 1.0e+300}\n", "climb.step_size must be above 0 and at most"),
        ("attribute: {scales: [1000]}\n", "scales must be different numbers above 0 and at most 16"),
        ("sweep: {step: 1e-9}\n", "a step of at least 0.0001"),
        ("- 1\n", "holds no settings"),
        ("[" * 3000, "mine.yaml"),
    ],
)
def test_a_mistake_in_a_file_names_file_line_and_the_nearest_setting(tmp_path, monkeypatch, text, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(SettingsError) as told:
        parse("run", ["mine.yaml"])
    assert sentence in str(told.value)


def test_files_that_are_no_text(tmp_path):
    for content in (b"climb: {steps: 3} # caf\xe9\n", bytes(range(256))):
        (tmp_path / "mine.yaml").write_bytes(content)
        with pytest.raises(SettingsError, match=r"mine\.yaml"):
            parse("run", [str(tmp_path / "mine.yaml")])


def test_what_stands_in_the_file_counts_above_what_it_extends(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: voc12_table1_advcam_irn\nclimb: {steps: 3}\nlabels: 123\n")
    config = parse("run", [str(tmp_path / "mine.yaml"), "--climb.flip", "false"])
    assert (config.climb.steps, config.climb.flip, config.refine.method, config.labels) == (3, False, "irn", "123")


def test_a_folder_of_images_is_no_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    with pytest.raises(SettingsError, match=r"images are named with --data photos"):
        parse("run", ["photos"])


# Of tables 9 to 11 and 13, whose rows the analyses hold: the recipes of the rows of ours.
ROWS = {
    "table9": {"AdvCAM": "voc12_table9_advcam", "AdvCAM-Sal": "voc12_table9_advcam_sal"},
    "table10": {"climb": "cub_table10_no_regularizer", "climb, regularizer": "cub_table10_advcam"},
    "table11": {"last": "voc12_table11_last", "sum": "voc12_table11_sum"},
    "table13": {
        f"T {steps}, tau {tau}": f"coco14_table13_t{steps}{'' if tau == 0.5 else f'_tau{tau}'.replace('.', '')}"
        for steps, tau in ((10, 0.5), (20, 0.5), (30, 0.5), (30, 0.4), (30, 0.6))
    },
}


def test_every_row_of_ours_has_a_recipe_that_names_its_figures():
    wanted = [(row.recipe, row.value) for row in paper_rows()]
    for table, rows in ROWS.items():
        printed = import_module(ANALYSES[table][0]).PAPER_ROWS
        printed = printed.get(table, printed)
        for row, recipe in rows.items():
            # Of table 13 all classes; the smallest and the largest ten are the analysis's.
            wanted += [(recipe, value) for value in (printed[row][:3] if table == "table13" else printed[row])]
    told = {name: re.findall(r"\d+\.\d+", path.read_text()) for name, path in recipes().items()}
    assert [(recipe, value) for recipe, value in wanted if str(value) not in told[recipe]] == []
    assert {int(re.search(r"_table(\d+)", recipe)[1]) for recipe, _ in wanted} == set(range(1, 14))
