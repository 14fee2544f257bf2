"""``llm``: a large language model behind any server with OpenAI's interface.

The sentences go in batches, with what is said around them and the translations made so far. An answer that is not
taken is asked for again, then in halves down to one sentence, with less and less around it; that sentence falls to the
best measured route, and its lines say so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from language_packs import Shortening
from stages.artifacts import Line
from stages.languages import closest
from stages.progress import Progress
from stages.translate import kept_terms
from stages.translate.config import LlmConfig, TranslateConfig
from stages.translate.engine import Document, Opened, named
from stages.translate.glossary import Glossary
from stages.translate.lines import Sentence, Version, Versions
from stages.translate.llm_protocol import Answer, Around, Asked, BadReplyError, answers, messages
from stages.translate.llm_server import RefusedRequestError, Server, TooSlowError, check_server
from stages.translate.measured import Measured
from stages.translate.memory import plain
from stages.translate.routes import Hop, Route
from stages.translate.sentences import joined, sentences
from stages.translate.text import Translated

_MOST_TOO_SLOW = 3
"""Sentences in a row that got no answer in time: then the server is at fault, not the sentence."""
_FEWEST_WORDS = 4
"""Shorter texts may be the same in both languages: names, "OK"."""


class Llm:
    """Any pair of languages (:class:`stages.translate.engine.TranslationEngine`)."""

    def __init__(self, config: TranslateConfig) -> None:
        self._config = config
        self._measured = Measured(config)

    def check(self, source: str | None, target: str) -> None:
        """Check the settings and the key's form; the server is asked when there is something to translate."""
        check_server(self._config.llm)

    def route(self, source: str, target: str) -> Route:
        """Return the way through the server, and the measured one for what it cannot."""
        hop = Hop(engine="llm", source=source, target=target, licence="", mode=self._config.llm.model or "")
        return Route(hops=(hop,), otherwise=self._measured.possible_route(source, target))

    def targets(self, source: str, known: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Return all that have a pack, but for the language itself; the settings are checked as for a pair."""
        check_server(self._config.llm)
        return {tag: ("llm",) for tag in sorted(known) if closest(source, (tag,)) is None}

    def open(self, document: Document, progress: Progress) -> Opened:
        """Return the server's client; the fallback is loaded when it is first needed."""
        spoken = sentences(document.transcript.lines, self._config.longest_join_pause_ms, self._config.longest_join_ms)
        return Opened(LlmTranslator(document, spoken, self._config, _Fallback(document, self._measured), progress))


class _Fallback:
    """Translates single sentences by the measured route, where there is one."""

    def __init__(self, document: Document, measured: Measured) -> None:
        self._document, self._measured = document, measured
        self._opened: Opened | None = None

    def __call__(self, sentence: Sentence, glossary: Glossary, reason: str) -> Translated:
        otherwise, pair = self._document.route.otherwise, (self._document.route.source, self._document.route.target)
        if otherwise is None:
            shown = " into ".join(named(tag) for tag in pair)
            return Translated(text="", note=f"{reason}, and no embedded engine translates {shown}")
        if self._opened is None:
            self._opened = self._measured.open(replace(self._document, route=otherwise), lambda _share: None)
        hear = self._opened.hear
        heard = sentence if hear is None else hear(sentence.lines)
        if heard.failure is not None:
            return Translated(text="", note=f"{reason}, and it could not be heard: {heard.failure}")
        (said,) = kept_terms.translated(
            [heard.written], glossary if hear is None else glossary.kept(), self._opened.translator
        )
        by = ", ".join(hop.name for hop in otherwise.hops)
        note = f"translated by {by}, not by the llm: {reason}"
        return said.model_copy(update={"note": note if said.text else f"{reason}, and {by} made nothing of it"})


@dataclass(frozen=True)
class _Unit:
    """A sentence of the document: what is asked for, or what is said around it."""

    asked: Asked
    is_wanted: bool


class LlmTranslator:
    """One document (:class:`stages.translate.lines.Translator`)."""

    def __init__(
        self,
        document: Document,
        spoken: Sequence[Sequence[Line]],
        config: TranslateConfig,
        fallback: Callable[[Sentence, Glossary, str], Translated],
        progress: Progress,
    ) -> None:
        self._server = Server(config.llm)
        self._llm: LlmConfig = config.llm
        self._formality = config.formality
        self._pair = (document.route.source, document.route.target)
        self._phones_per_second = document.references.phones_per_second
        self._spoken, self._fallback, self._progress = spoken, fallback, progress
        self._made = dict(document.known)
        for group in spoken:
            if all(line.id in document.known for line in group):
                self._made[group[0].id] = joined([document.known[line.id] for line in group])
        """Translations by the first line's id: what goes along with later batches."""
        self._too_slow = 0

    def __call__(self, texts: Sequence[str]) -> list[Translated]:
        """Translate texts that stand alone; an empty text where the model gives no usable answer."""
        units = [_Unit(Asked(number, text), True) for number, text in enumerate(texts, start=1)]
        found: dict[int, Answer] = {}
        for first in range(0, len(units), self._llm.batch):
            made, _ = self._translated(units, first, min(first + self._llm.batch, len(units)), Glossary(), {})
            found |= made
        return [Translated(text=found[unit.asked.id].text if unit.asked.id in found else "") for unit in units]

    def versions(self, sentences: Sequence[Sentence], glossary: Glossary, shortening: Shortening) -> list[Versions]:
        """Translate whole sentences; the model itself says what is shorter."""
        units = self._units(sentences)
        wanted = [number for number, unit in enumerate(units) if unit.is_wanted]
        found: dict[int, Answer] = {}
        reasons: dict[int, str] = {}
        for first, after in _runs(wanted, self._llm.batch):
            made, refused = self._translated(units, first, after, glossary, self._made)
            found, reasons = found | made, reasons | refused
            self._progress((len(found) + len(reasons)) / len(wanted))
        return [
            [(Version(sentence.written, 0, sentence.written), self._said(sentence, found, reasons, glossary))]
            for sentence in sentences
        ]

    def _said(
        self, sentence: Sentence, found: dict[int, Answer], reasons: dict[int, str], glossary: Glossary
    ) -> Translated:
        number = sentence.lines[0].id
        if number in reasons:
            return self._fallback(sentence, glossary, reasons[number])
        answer = found.get(number)
        if answer is None:  # there was nothing to translate
            return Translated(text="")
        is_same = answer.text == plain(sentence.written) and len(answer.text.split()) >= _FEWEST_WORDS
        return Translated(
            text=answer.text,
            others=(answer.shorter,) if answer.shorter else (),
            note="the llm gave the text back as it was" if is_same else "",
        )

    def _units(self, sentences: Sequence[Sentence]) -> list[_Unit]:
        """Return the document with the sentences that are asked for as they are, and the others as they were spoken."""
        starts = {sentence.lines[0].id: sentence for sentence in sentences}
        inside = {line.id for sentence in sentences for line in sentence.lines}
        units: list[_Unit] = []
        for group in self._spoken:
            rest = [line for line in group if line.id not in inside]
            if len(rest) == len(group):
                units.append(_Unit(Asked(group[0].id, joined([line.text for line in group])), False))
                continue
            for line in group:
                if line.id in starts:
                    written = starts[line.id].written
                    units.append(_Unit(Asked(line.id, written, self._phones(starts[line.id])), bool(written.strip())))
                elif line.id not in inside:
                    units.append(_Unit(Asked(line.id, line.text), False))
        return units

    def _phones(self, sentence: Sentence) -> int | None:
        """Return how many phones fit into the sentence's time at the target language's usual rate."""
        if self._phones_per_second is None:
            return None
        length_ms = sum(line.end_ms - line.start_ms for line in sentence.lines)
        return max(1, round(self._phones_per_second * length_ms / 1000))

    def _translated(
        self, units: Sequence[_Unit], first: int, after: int, glossary: Glossary, made: dict[int, str]
    ) -> tuple[dict[int, Answer], dict[int, str]]:
        """Return the answers for the units from ``first`` up to ``after``, all wanted, and why the others have none.

        ``made`` holds the translations that go along, and takes up the new ones.
        """
        asked = [unit.asked for unit in units[first:after]]
        ids = [each.id for each in asked]
        width = -(-self._llm.context * len(asked) // self._llm.batch)
        text = joined([each.text for each in asked])
        reason: str | None = None
        best: dict[int, Answer] | None = None
        fewest: int | None = None
        for attempt in range(self._llm.attempts):
            request = messages(
                asked,
                [Around(unit.asked.text, made.get(unit.asked.id)) for unit in units[max(0, first - width) : first]],
                [Around(unit.asked.text, made.get(unit.asked.id)) for unit in units[after : after + width]],
                glossary.said_in(text),
                self._pair,
                self._formality,
                reason,
            )
            try:
                found = answers(self._server.ask(request, ids, attempt), ids)
                self._too_slow = 0
                missed = [term for each in asked for term in glossary.missed(each.text, found[each.id].text)]
                if fewest is None or len(missed) < fewest:
                    best, fewest = found, len(missed)
                if not missed:
                    break
                reason = "it lacks " + ", ".join(dict.fromkeys(repr(term.translation) for term in missed))
            except BadReplyError as error:
                reason = str(error)
                continue
            except RefusedRequestError as error:
                if len(asked) == 1 and not self._server.has_answered:
                    self._server.fail(str(error))
                reason = f"the server {error}"
                break
            except TooSlowError as error:
                reason = str(error)
                self._too_slow += len(asked) == 1
                if self._too_slow == _MOST_TOO_SLOW:
                    self._server.fail(f"gives {reason} (translate.llm.time_limit_s), not even for single lines")
                break
        if best is not None:
            made |= {number: answer.text for number, answer in best.items()}
            return best, {}
        if len(asked) == 1:
            return {}, {ids[0]: reason or ""}
        middle = first + (after - first) // 2
        before, refused = self._translated(units, first, middle, glossary, made)
        behind, refused_behind = self._translated(units, middle, after, glossary, made)
        return before | behind, refused | refused_behind


def _runs(wanted: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Return stretches of consecutive numbers, first and one after the last, none longer than ``most``."""
    runs: list[tuple[int, int]] = []
    for number in wanted:
        if runs and runs[-1][1] == number and number - runs[-1][0] < most:
            runs[-1] = (runs[-1][0], number + 1)
        else:
            runs.append((number, number + 1))
    return runs
