"""Errors that a user can act on: one line that says what is wrong, where, and what to do.

Exit codes follow ``design.md``: 2 bad usage or input, 3 a missing engine or model.
"""


class DubwrightError(Exception):
    """Base of all expected errors; ``str()`` is the one line shown to the user."""

    exit_code = 2


class InputError(DubwrightError):
    """The input, an option or an output place cannot be used as given."""


class MissingEngineError(DubwrightError):
    """An engine, a library or a model that the run needs is not installed or does not verify."""

    exit_code = 3
