"""Errors that a user can mend. Each message is one sentence that names the file or the setting and the mend."""


class UserError(ValueError):
    """Something outside the program is wrong; the command line prints the sentence and exits with 2."""


class DataError(UserError):
    """An image, a label, a mask or a list that cannot be used as it is."""


class ModelError(UserError):
    """A network or its weights do not fit what is asked of them."""


class SettingsError(UserError):
    """A setting, or a combination of settings, that makes no sense."""


class RunError(UserError):
    """A run folder that cannot be read, written or continued."""
