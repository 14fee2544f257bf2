"""Errors that a user can act on: one line that says what is wrong, where, and what to do.

Exit codes follow ``design.md``: 2 bad usage or input, 3 a missing engine or model; 4 is a run that waits for a person.
"""

_LONGEST = 900


class DubwrightError(Exception):
    """Base of all expected errors; ``str()`` is the one line shown to the user."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        # What a damaged file holds may be quoted in it, however long that is.
        half = _LONGEST // 2
        super().__init__(message if len(message) <= _LONGEST else f"{message[:half]} ... {message[-half:]}")


class InputError(DubwrightError):
    """The input, an option or an output place cannot be used as given."""


class MissingEngineError(DubwrightError):
    """An engine, a library or a model that the run needs is not installed or does not verify."""

    exit_code = 3


class MayPassError(Exception):
    """Marks an error that may pass by itself."""


class PassingError(MissingEngineError, MayPassError):
    """What is needed is there but cannot serve now: a server that is busy or out of reach, a device that others use."""


def is_transient(error: BaseException) -> bool:
    """Return whether an error may pass by itself, so that the same work is worth another try.

    Everything else is as wrong the next time: bad input, a missing model, a full disk, a time limit, and an engine that
    was ended for lack of memory, which would only take it from others again.
    """
    return isinstance(error, MayPassError | ConnectionError | TimeoutError)
