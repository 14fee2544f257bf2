"""What can be done for each language, here and now, and by which engine."""

from __future__ import annotations

from typing import Any

from language_packs import available, load_pack
from stages import translate
from stages.languages import closest
from stages.synthesize import engines_for
from stages.translate import routes


def table() -> list[dict[str, Any]]:
    """Return one row per language pack: ``tag, name, transcribe, translate_from, translate_to, speak, lipsync``."""
    pairs = translate.possible_pairs()
    rows = []
    for tag in available():
        pack = load_pack(tag)
        rows.append(
            {
                "tag": tag,
                "name": pack.name,
                "transcribe": ["faster-whisper"] if closest(tag, routes.sources()) else [],
                "translate_from": sorted({source for source, target in pairs if target == tag}),
                "translate_to": sorted({target for source, target in pairs if source == tag}),
                "speak": list(engines_for(tag)),
                "lipsync": True,
            }
        )
    return rows
