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

    ``tag, name, direction``; ``phones``: what turns text into phones; ``transcribe``, ``lipsync``, ``subtitles``: the
    engines that do it here; ``font``: a hint for subtitles; ``speak``: those that speak it, and how well;
    ``translate_from`` and ``translate_to``: by tag, the engines on the way.
    """
    pairs, hops = translate.possible_pairs(), translate.available_hops()
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
                    source: _engines(source, tag, hops) for source, target in pairs if target == variant_of
                },
                "translate_to": {target: _engines(tag, target, hops) for source, target in pairs if source == tag},
                "speak": engines_for(tag),
                "lipsync": ["mesh"],
                "subtitles": ["pysubs2"],
                "font": pack.subtitles.font,
            }
        )
    return rows


def _engines(source: str, target: str, hops: tuple[routes.Hop, ...]) -> list[str]:
    found = routes.route(source, target, hops)
    return list(dict.fromkeys(hop.engine for hop in found.hops)) if found else []
