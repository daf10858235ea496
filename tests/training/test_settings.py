"""Settings of a training: their messages name the section of a run's configuration that they stand in."""

from __future__ import annotations

from dataclasses import fields

import pytest

from advcam.errors import SettingsError
from advcam.pipeline.config import RunConfig
from advcam.training import FitSettings

SECTIONS = {
    field.name: type(getattr(RunConfig(), field.name))
    for field in fields(RunConfig)
    if isinstance(getattr(RunConfig(), field.name), FitSettings)
}


def test_every_training_is_here() -> None:
    assert set(SECTIONS) == {"classify", "detector", "wsol", "psa", "irn", "segment", "cct"}


@pytest.mark.parametrize("name", SECTIONS)
def test_messages_name_the_section(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name}\.epochs is 0, but must be at least 1$"):
        SECTIONS[name](epochs=0)
