"""Errors that a user can fix. Each message is one sentence that names the file or the setting and the fix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class UserError(ValueError):
    """Something outside the program is wrong; the command line prints the sentence and exits with 2."""


class DataError(UserError):
    """An image, a label, a mask or a list that cannot be used as it is.

    Attributes:
        file: which one, where that is known.
        message: what is wrong with it and how to fix it, without the file.

    >>> error = DataError("the file is empty: replace it", "a: b.jpg")
    >>> str(error), error.message
    ('a: b.jpg: the file is empty: replace it', 'the file is empty: replace it')
    """

    def __init__(self, message: str, file: object = None) -> None:
        super().__init__(message if file is None else f"{file}: {message}")
        self.message = message
        self.file = None if file is None else str(file)


class ModelError(UserError):
    """A network or its weights do not fit what is asked of them."""


class SettingsError(UserError):
    """A setting, or a combination of settings, that makes no sense."""


class RunError(UserError):
    """A run folder that cannot be read, written or continued."""


class Help(Exception):
    """The text that was asked for instead of a command."""


def shortened(names: Sequence[str], most: int = 5) -> str:
    """The first few names, for a sentence.

    >>> shortened(("a", "b", "c"), most=2)
    'a, b, ...'
    """
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def did_you_mean(name: str, known: Iterable[str], shown: str = "{}") -> str:
    """An offer of the nearest name, as it is to be shown; empty where none is near.

    >>> did_you_mean("runn", ["run", "report"], "--{}")
    ', did you mean --run?'
    """
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), n=1)
    return f", did you mean {shown.format(close[0])}?" if close else ""
