"""What can be done for each language, here and now, and by which engine."""

from __future__ import annotations

from typing import Any

from language_packs import Packs
from stages import translate
from stages.errors import DubwrightError
from stages.languages import closest
from stages.settings import Settings
from stages.synthesize import SynthesizeConfig, check_speaks, engines_for
from stages.translate import routes


def table(packs: Packs, settings: Settings | None = None) -> list[dict[str, Any]]:
    """Return one row per language pack; ``settings`` say which engines, by default those of the config classes.

    ``tag, name, direction``; ``phones``: what turns text into phones; ``transcribe``, ``lipsync``, ``subtitles``: the
    engines that do it here; ``font``: a hint for subtitles; ``speak``: what speaks it here, and how well;
    ``translate_from`` and ``translate_to``: by tag, the engines on the way.

    Raises:
        MissingEngineError: a package of the translator is not installed.
    """
    settings = settings or Settings()
    pairs = translate.possible_pairs(settings.translate, packs.tags)
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
                "transcribe": [settings.transcribe.engine] if closest(tag, routes.sources()) else [],
                "translate_from": {
                    source: list(engines) for (source, target), engines in pairs.items() if target == variant_of
                },
                "translate_to": {target: list(engines) for (source, target), engines in pairs.items() if source == tag},
                "speak": _speak(tag, settings.synthesize),
                "lipsync": [settings.lipsync.engine],
                "subtitles": ["pysubs2"],
                "font": pack.subtitles.font,
            }
        )
    return rows


def _speak(tag: str, config: SynthesizeConfig) -> dict[str, str]:
    """Return the chosen engine and how well it speaks a language; nothing where it does not, or is not installed."""
    try:
        check_speaks(config, tag)
    except DubwrightError:
        return {}
    return {config.engine: engines_for(tag).get(config.engine, "not measured")}
