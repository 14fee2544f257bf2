"""What can be done for each language, here and now, and by which engine."""

from __future__ import annotations

from typing import Any

from language_packs import Packs
from stages import translate
from stages.languages import closest
from stages.synthesize import engines_for
from stages.translate import routes


def table(packs: Packs, config: translate.TranslateConfig | None = None) -> list[dict[str, Any]]:
    """Return one row per language pack; ``config`` says which translator, by default the measured chains.

    ``tag, name, direction``; ``phones``: what turns text into phones; ``transcribe``, ``lipsync``, ``subtitles``: the
    engines that do it here; ``font``: a hint for subtitles; ``speak``: those that speak it, and how well;
    ``translate_from`` and ``translate_to``: by tag, the engines on the way.
    """
    pairs = translate.possible_pairs(config, packs.tags)
    reachable = {target for _, target in pairs}
    rows = []
    for tag in packs.tags:
        pack = packs.load(tag)
        variant_of = closest(tag, reachable)
        rows.append(
            {
                "tag": tag,
                "name": pack.name,
                "direction": pack.direction,
                "phones": pack.g2p.engine,
                "transcribe": ["faster-whisper"] if closest(tag, routes.sources()) else [],
                "translate_from": {
                    source: list(engines) for (source, target), engines in pairs.items() if target == variant_of
                },
                "translate_to": {target: list(engines) for (source, target), engines in pairs.items() if source == tag},
                "speak": engines_for(tag),
                "lipsync": ["mesh"],
                "subtitles": ["pysubs2"],
                "font": pack.subtitles.font,
            }
        )
    return rows
