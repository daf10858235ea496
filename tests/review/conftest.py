"""The run folder of the tests."""

from run_folder import run

__all__ = ["run"]
