"""Every recipe parses against the code, and says what it costs and what to expect."""

from __future__ import annotations

import pytest

from advcam.pipeline.arguments import parse
from advcam.pipeline.config import RunConfig
from advcam.pipeline.recipes import recipes


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
