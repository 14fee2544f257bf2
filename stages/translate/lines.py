"""From sentences to the lines of a script: translated, cut, shortened, checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from language_packs import Shortening, Wordings
from stages.artifacts import Line, ScriptLine
from stages.errors import DubwrightError
from stages.translate import checks, kept_terms, shorten
from stages.translate.glossary import Glossary
from stages.translate.memory import plain
from stages.translate.references import References
from stages.translate.sentences import cut, joined
from stages.translate.text import TextEngine, Translated


@dataclass(frozen=True)
class Sentence:
    """Lines that are translated together."""

    lines: tuple[Line, ...]
    written: str
    """What is translated: the lines' text, or what was heard in them in English."""
    is_heard: bool = False
    failure: str | None = None
    """Why nothing could be heard."""


_LEAST_SHARE = 0.5
"""An engine's other translation that is shorter than this has left something out."""


@dataclass(frozen=True)
class Version:
    """A sentence with one of its lines shortened; the first one of a sentence is whole."""

    text: str
    number: int
    """Which of its lines, from 0."""
    line_text: str
    """What that line says in it."""


Versions = list[tuple[Version, Translated]]
"""A sentence's versions and their translations; the first is the whole one."""


class Translator(Protocol):
    """From the language of what is written to the target language."""

    def __call__(self, texts: Sequence[str]) -> list[Translated]:
        """Translate single-line texts that stand alone."""
        ...

    def versions(self, sentences: Sequence[Sentence], glossary: Glossary, shortening: Shortening) -> list[Versions]:
        """Translate sentences in order; the first version of each is the whole one.

        Args:
            sentences: those of the document that are left to be translated.
            glossary: terms that are to be honoured.
            shortening: how texts are shortened before they are translated.
        """
        ...


class Chain:
    """The text engines of a route, one after the other."""

    def __init__(self, engines: Sequence[TextEngine]) -> None:
        self._engines = engines

    def __call__(self, texts: Sequence[str]) -> list[Translated]:
        """Translate single-line texts, keeping the unknown words that are still to be seen in the translation."""
        answers = [Translated(text=text) for text in texts]
        for engine in self._engines if texts else ():
            after = _translated(engine, [answer.text for answer in answers])
            answers = [_carried_on(*pair) for pair in zip(answers, after, strict=True)]
        return answers

    def versions(self, sentences: Sequence[Sentence], glossary: Glossary, shortening: Shortening) -> list[Versions]:
        """Translate every sentence, and it with one of its lines shortened at a time."""
        groups = [_versions(sentence, shortening) for sentence in sentences]
        # The terms are in the language of the speech; what was heard in English says those that are kept, at most.
        usable = glossary.kept() if any(sentence.is_heard for sentence in sentences) else glossary
        answers = iter(kept_terms.translated([each.text for group in groups for each in group], usable, self))
        return [[(version, next(answers)) for version in group] for group in groups]


def _translated(engine: TextEngine, texts: Sequence[str]) -> list[Translated]:
    """Translate texts; where that fails each on its own, so that a bad text costs nothing but itself.

    Raises:
        Exception: the engine fails on each of several texts.
    """
    try:
        return engine.translate(texts)
    except MemoryError:
        raise
    except Exception:  # an engine may fail in any way on one text, and must not end the run
        answers = [_alone(engine, text) for text in texts]
        if len(texts) > 1 and all(answer.failure is not None for answer in answers):
            raise
        return answers


def _alone(engine: TextEngine, text: str) -> Translated:
    try:
        return engine.translate([text])[0]
    except MemoryError:
        raise
    except Exception as error:
        return Translated(text="", failure=reason(error))


def reason(error: Exception) -> str:
    """Return an error as part of a line's flag."""
    return str(error) if isinstance(error, DubwrightError) else f"{type(error).__name__}: {error}"


def _carried_on(before: Translated, after: Translated) -> Translated:
    still_seen = (word for word in before.unknown if word in after.text and word not in after.unknown)
    unknown = (*still_seen, *after.unknown)
    return after.model_copy(update={"unknown": unknown, "failure": before.failure or after.failure})


def recalled(groups: Iterable[list[Line]], references: References) -> tuple[dict[int, str], list[list[Line]]]:
    """Return what the memory knows, by line id, and the groups of lines that are left to be translated.

    What a file says of a line by its id counts before what it says of the sentence, and that before a line's text.
    """
    known = references.memory.lookup()
    texts: dict[int, str] = {}
    rest: list[list[Line]] = []
    for group in groups:
        by_id = {line.id: known[plain(line.text), line.id] for line in group if (plain(line.text), line.id) in known}
        whole = None if by_id else known.get((plain(joined([line.text for line in group])), None))
        parts = None if whole is None else cut(whole, _shares(group), references.bound)
        if parts is not None:
            by_id = {line.id: part for line, part in zip(group, parts, strict=True)}
        by_text = {line.id: known[plain(line.text), None] for line in group if (plain(line.text), None) in known}
        by_id = by_text | by_id
        texts |= by_id
        left: list[Line] = []
        for line in group:
            if line.id not in by_id:
                left.append(line)
            elif left:
                rest.append(left)
                left = []
        if left:
            rest.append(left)
    return texts, rest


def taken_from_memory(line: Line, text: str) -> ScriptLine:
    """Return a line with a text of the memory: a person has written it, so it is not shortened."""
    return _script_line(line, text).model_copy(update={"origin": "memory"})


def translated_lines(
    sentences: Sequence[Sentence],
    translator: Translator,
    wordings: Wordings,
    references: References,
    pair: tuple[str, str],
) -> list[list[ScriptLine] | None]:
    """Translate sentences; None for one of several lines whose translation failed, or has fewer words than lines.

    Args:
        sentences: in order.
        translator: from the language of what is written to the target language.
        wordings: how texts are shortened in these languages.
        references: the glossary, and where lines may be cut.
        pair: languages of the speech and of the translation.
    """
    glossary = references.glossary
    translated = translator.versions(sentences, glossary, wordings.source)
    whole = [versions[0][1] for versions in translated]
    lacking = [_lacking_names(*each, glossary) for each in zip(sentences, whole, strict=True)]
    asked_names = sorted({name for names in lacking for name in names})
    alone = {name: answer.text for name, answer in zip(asked_names, translator(asked_names), strict=True)}
    found: list[list[ScriptLine] | None] = []
    for sentence, versions, names in zip(sentences, translated, lacking, strict=True):
        said = versions[0][1]
        failed = _failure(sentence, said) is not None and len(sentence.lines) > 1
        parts = None if failed else _parts(sentence.lines, said.text, references)
        if parts is None:
            found.append(None)
            continue
        lost = [name for name in names if not checks.is_name_kept(name, alone[name], said.text)]
        flags = _flags(sentence, said, parts, lost, glossary, pair)
        own = _line_texts(sentence)
        found.append(
            [
                _script_line(
                    line,
                    part,
                    flags[number],
                    _alternatives(number, own[number], parts, versions, wordings.target, glossary),
                )
                for number, (line, part) in enumerate(zip(sentence.lines, parts, strict=True))
            ]
        )
    return found


def _script_line(line: Line, text: str, flags: Sequence[str] = (), alternatives: Sequence[str] = ()) -> ScriptLine:
    return ScriptLine(
        id=line.id,
        speaker=line.speaker,
        start_ms=line.start_ms,
        end_ms=line.end_ms,
        source_text=line.text,
        text=text,
        flags=tuple(flags),
        alternatives=tuple(alternatives),
    )


def _shares(lines: Sequence[Line]) -> list[int]:
    return [max(1, len(line.text)) for line in lines]


def _parts(lines: Sequence[Line], text: str, references: References) -> list[str] | None:
    if len(lines) == 1:
        return [text]
    return cut(text, _shares(lines), references.bound) if text else [""] * len(lines)


def _line_texts(sentence: Sentence) -> list[str]:
    return [sentence.written] if len(sentence.lines) == 1 else [line.text for line in sentence.lines]


def _versions(sentence: Sentence, shortening: Shortening) -> list[Version]:
    """Return the whole sentence, and it with one line shortened at a time."""
    texts = _line_texts(sentence)
    found = [Version(sentence.written, 0, texts[0])]
    if len(texts) > 1 and sentence.is_heard:
        return found  # which line a heard word belongs to is not known
    for number, text in enumerate(texts):
        for shorter in shorten.versions(text, "source", shortening)[1:]:
            found.append(Version(joined([*texts[:number], shorter, *texts[number + 1 :]]), number, shorter))
    return found


def _alternatives(
    number: int,
    own: str,
    parts: Sequence[str],
    versions: Sequence[tuple[Version, Translated]],
    shortening: Shortening,
    glossary: Glossary,
) -> tuple[str, ...]:
    """Return what is shorter than a line's translation and says the same."""
    full = parts[number]
    candidates = list(shorten.versions(full, "target", shortening))
    known = set(versions[0][1].unknown)
    for version, translated in versions[1:]:
        text = _between(parts, number, translated.text) if version.number == number else None
        if text is None or set(translated.unknown) - known:
            continue
        if shorten.is_faithful((own, full), (version.line_text, text), shortening):
            candidates += shorten.versions(text, "target", shortening)
    for other in versions[0][1].others:
        text = _between(parts, number, other)
        if text and len(text) >= _LEAST_SHARE * len(full) and shorten.says_the_same(full, text, shortening):
            candidates += shorten.versions(text, "target", shortening)
    return shorten.alternatives(full, (text for text in candidates if _keeps_terms(text, full, glossary)))


def _between(parts: Sequence[str], number: int, text: str) -> str | None:
    """Return a line's part of another translation of its sentence; None where the other lines' parts differ."""
    if len(parts) == 1:
        return text
    before, after = " ".join(parts[:number]), " ".join(parts[number + 1 :])
    words, first, last = text.split(), len(before.split()), len(after.split())
    middle = words[first : len(words) - last]
    if not middle or [*before.split(), *middle, *after.split()] != words:
        return None
    return " ".join(middle)


def _keeps_terms(shorter: str, full: str, glossary: Glossary) -> bool:
    return all(term.count_in_translation(shorter) >= term.count_in_translation(full) for term in glossary.terms)


def _flags(
    sentence: Sentence,
    translated: Translated,
    parts: Sequence[str],
    lost_names: Sequence[str],
    glossary: Glossary,
    pair: tuple[str, str],
) -> list[list[str]]:
    """Return for every line what a person should look at."""
    lines, text = [line.text for line in sentence.lines], translated.text
    flags: list[list[str]] = [[] for _ in parts]
    if not text:
        for flagged, line in zip(flags, lines, strict=True):
            if line.strip():
                why = _failure(sentence, translated) or translated.note or "nothing was heard in the line"
                flagged.append(f"not translated: {why}")
        return flags
    if translated.note:
        for flagged in flags:
            flagged.append(translated.note)
    for word in translated.unknown:
        flags[_first_with(word, parts)].append(f"unknown word: {word}")
    source = joined(lines)
    for term in glossary.missed(source, text):
        said = f"glossary: {term.term!r} is not {term.translation!r} in the translation"
        flags[_first_with(term.term.casefold(), [line.casefold() for line in lines])].append(said)
    lost, new = checks.numbers_differ(source, pair[0], text, pair[1])
    for number in lost:
        flags[checks.first_with_number(number, lines)].append(f"number: {number} is not in the translation")
    for number in new:
        flags[checks.first_with_number(number, parts)].append(f"number: {number} is not in the source")
    for name in lost_names:
        flags[_first_with(name, lines)].append(f"name: {name!r} is not in the translation")
    return flags


def _failure(sentence: Sentence, translated: Translated) -> str | None:
    return sentence.failure or translated.failure


def _lacking_names(sentence: Sentence, translated: Translated, glossary: Glossary) -> list[str]:
    """Return the names that are not in a sentence's translation as they are; those of the glossary are its matter."""
    if not translated.text:
        return []
    terms = {word for term in glossary.said_in(sentence.written) for word in term.term.split()}
    lacking = (name for name in checks.names(sentence.written) if not checks.is_name_kept(name, "", translated.text))
    return [name for name in lacking if not set(name.split()) <= terms]


def _first_with(words: str, texts: Sequence[str]) -> int:
    """Return the number of the first text that holds the words, 0 where they go over from one to the next."""
    return next((number for number, text in enumerate(texts) if words in text), 0)
