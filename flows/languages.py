"""What can be done for each language, here and now, and by which engine."""

from __future__ import annotations

from typing import Any

from language_packs import Packs
from stages import translate
from stages.languages import closest
from stages.synthesize import engines_for
from stages.translate import routes


def table(packs: Packs) -> list[dict[str, Any]]:
    """Return one row per language pack.

    ``tag, name, direction``; ``transcribe``, ``speak``, ``lipsync`` and ``subtitles``: the engines that do it here;
    ``translate_from`` and ``translate_to``: tags; ``phones``: what turns text into phones.
    """
    pairs = translate.possible_pairs()
    rows = []
    for tag in packs.tags:
        pack = packs.load(tag)
        rows.append(
            {
                "tag": tag,
                "name": pack.name,
                "direction": pack.direction,
                "phones": pack.g2p.engine,
                "transcribe": ["faster-whisper"] if closest(tag, routes.sources()) else [],
                "translate_from": sorted({source for source, target in pairs if target == tag}),
                "translate_to": sorted({target for source, target in pairs if source == tag}),
                "speak": list(engines_for(tag)),
                "lipsync": ["mesh"],
                "subtitles": ["pysubs2"],
            }
        )
    return rows
