"""Translate a transcript sentence by sentence, by the engine that the settings choose.

What cannot be translated is said before any work (:func:`check_pair`). Line ids, speakers and slots stay. Every line
also gets shorter versions that say the same, for slots that the whole translation does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from language_packs import Wordings
from stages import engines, models
from stages.artifacts import Line, Script, ScriptLine, Separation, Transcript
from stages.engines import Engine
from stages.errors import InputError
from stages.languages import normalise_tag
from stages.progress import Progress
from stages.translate import routes
from stages.translate.config import LlmConfig, TranslateConfig
from stages.translate.engine import Document, TranslationEngine, refuse_same_language
from stages.translate.lines import Sentence, recalled, taken_from_memory, translated_lines
from stages.translate.measured import available_hops
from stages.translate.references import References, check_references, read_references
from stages.translate.routes import Hop, Route, route
from stages.translate.sentences import joined, sentences

VERSION = 7

__all__ = [
    "ENGINES",
    "VERSION",
    "Hop",
    "LlmConfig",
    "References",
    "Route",
    "TranslateConfig",
    "available_hops",
    "check_pair",
    "check_references",
    "chosen_route",
    "possible_pairs",
    "possible_targets",
    "read_references",
    "route",
    "translate",
]


def _named_model(config: TranslateConfig) -> tuple[str, ...]:
    """Return the model's name where the settings name one of the catalogue; a folder is none."""
    return (config.model,) if config.model in models.catalogue() else ()


def _checkpoint(title: str, maker: str) -> Engine:
    modules = ("torch", "transformers", "sentencepiece", "sacremoses")
    return Engine(title, f"stages.translate.checkpoint:{maker}", modules, "transformers", _named_model, device="device")


ENGINES: Mapping[str, Engine] = {
    "measured": Engine(
        "the best measured chain of Bergamot, Whisper and Apertium", "stages.translate.measured:Measured"
    ),
    "llm": Engine("a server with OpenAI's interface", "stages.translate.llm:Llm", ("openai",), "llm"),
    "m2m100": _checkpoint("M2M100 (Fan et al. 2021), 100 languages", "m2m100"),
    "nllb": _checkpoint("NLLB-200 (NLLB Team 2022), 200 languages", "nllb"),
    "madlad": _checkpoint("MADLAD-400 (Kudugunta et al. 2023), over 400 languages", "madlad"),
    "opus-mt": _checkpoint("Opus-MT (Tiedemann and Thottingal 2020), a model a pair or a group", "opus_mt"),
}
"""What ``translate.engine`` can be; each loads a :class:`stages.translate.engine.TranslationEngine`."""
_WITH_REGISTER = ("llm",)
"""Engines that can choose between formal and informal."""


def engine_for(config: TranslateConfig | None) -> TranslationEngine:
    """Return the engine that the settings choose; nothing is loaded yet.

    Raises:
        InputError: there is none of that name, or it has no register.
        MissingEngineError: a package that it needs is not installed.
    """
    config = config or TranslateConfig()
    if config.formality is not None and config.engine in set(ENGINES) - set(_WITH_REGISTER):
        raise InputError(
            f"--{config.formality}: translate.engine {config.engine} cannot choose between formal and informal; "
            f"{', '.join(_WITH_REGISTER)} can (DUBWRIGHT_TRANSLATE__ENGINE={_WITH_REGISTER[0]})."
        )
    return engines.chosen(ENGINES, config.engine, "translate.engine").make()(config)


def possible_targets(
    source: str, config: TranslateConfig | None = None, known: Collection[str] = ()
) -> tuple[str, ...]:
    """Return the languages that ``source`` can be translated into here; ``known``: those that have a language pack."""
    return tuple(engine_for(config).targets(source, known))


def possible_pairs(
    config: TranslateConfig | None = None, known: Collection[str] = ()
) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return every (source, target) that can be done here and the engines on the way, from all that can be heard."""
    engine = engine_for(config)
    return {
        (source, target): engines
        for source in routes.sources()
        for target, engines in engine.targets(source, known).items()
    }


def check_pair(source: str | None, target: str, config: TranslateConfig | None = None) -> None:
    """Say at once that a pair cannot be done. ``source`` None: not known before the speech is heard.

    Raises:
        InputError: a tag is malformed or unknown, target and source are the same, or the engine does not do the pair.
        MissingEngineError: a package, a model or a setting that the engine needs is not there.
    """
    target = normalise_tag(target)
    if source is not None:
        source = normalise_tag(source)
        refuse_same_language(source, target)
    engine_for(config).check(source, target)


def chosen_route(source: str, target: str, config: TranslateConfig) -> Route:
    """Return how a pair is translated here: an input of :func:`translate`, for its output depends on it.

    Raises:
        InputError, MissingEngineError: as :func:`check_pair`.
    """
    check_pair(source, target, config)
    return engine_for(config).route(normalise_tag(source), normalise_tag(target))


def translate(
    transcript: Transcript,
    separation: Separation,
    route: Route,
    wordings: Wordings,
    references: References,
    config: TranslateConfig,
    out: Path,
    progress: Progress,
) -> Script:
    """Return the transcript's lines in the route's target language, with shorter alternatives.

    A sentence that was cut into several lines is translated as a whole and cut back. What the memory knows is taken
    as it is. A line carries a flag for every word that an engine did not know (``"unknown word: X"``), every term,
    number and name that did not get through (``"glossary: 'X' is not 'Y' in the translation"``), where another engine
    than the chosen one had to translate it (``"translated by ..."``), and where nothing came out (``"not translated:
    ..."``, with an empty text).

    Args:
        transcript: what was said.
        separation: the voice, for a route that starts from speech.
        route: from :func:`chosen_route`.
        wordings: how lines are shortened in the language that is written down first, and in the target language.
        references: the user's glossary and memory.
        config: the settings.
        out: not written to.
        progress: told the share done.

    Raises:
        MissingEngineError: an engine of the route is not installed, does not answer or failed.
    """
    tell = _rising(progress)
    groups = sentences(transcript.lines, config.longest_join_pause_ms, config.longest_join_ms)
    remembered, groups = recalled(groups, references)
    document = Document(transcript, separation, route, references, remembered)
    opened = engine_for(config).open(document, tell)
    made: dict[int, ScriptLine] = {}
    while groups:
        whole = [
            Sentence(tuple(group), joined([line.text for line in group])) if opened.hear is None else opened.hear(group)
            for group in (_told(groups, tell) if opened.hear is not None else groups)
        ]
        lines = translated_lines(whole, opened.translator, wordings, references, (transcript.language, route.target))
        made |= {line.id: line for group in lines if group is not None for line in group}
        # A translation that failed, or has fewer words than the sentence has lines: each line on its own.
        groups = [[line] for group, done in zip(groups, lines, strict=True) if done is None for line in group]
    progress(1.0)
    return Script(
        source=transcript.language,
        target=route.target,
        route=(*(("memory",) if remembered else ()), *(hop.name for hop in route.hops)),
        lines=tuple(
            made[line.id] if line.id in made else taken_from_memory(line, remembered[line.id])
            for line in transcript.lines
        ),
    )


def _told(groups: Sequence[list[Line]], progress: Progress) -> Iterator[list[Line]]:
    """Yield the groups and tell the share done: hearing speech again takes nearly all of the time."""
    for done, group in enumerate(groups):
        progress(done / len(groups))
        yield group


def _rising(progress: Progress) -> Callable[[float], None]:
    """Return a progress that never falls: what is left over after a first pass is translated in a second one."""
    most = 0.0

    def tell(share_done: float) -> None:
        nonlocal most
        most = max(most, share_done)
        progress(most)

    return tell
