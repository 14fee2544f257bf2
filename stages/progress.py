"""How a stage says how far it is; the command and the flow each bring their own implementation."""

from collections.abc import Callable

Progress = Callable[[float], None]
"""Called by a stage with the share of its work that is done, 0.0-1.0, never decreasing."""


def silent(_share_done: float) -> None:
    """Progress that nobody watches."""
