"""Listening to the speech piece by piece, and again where what was written cannot be what was said.

Every text is judged (:mod:`stages.transcribe.faults`). What is at fault is heard once more by itself, cut at other
pauses; what is still at fault is dropped, with the reason. Nothing is drawn at random, so a run can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

import numpy as np
import soundfile

from language_packs import Pack
from language_packs.g2p import MissingReaderError, UnreadableError, check_script, phonemize, segments
from stages.artifacts import Separation
from stages.devices import in_batches
from stages.diarize.voice_activity import Span, padded
from stages.progress import Progress
from stages.sound import SPEECH_RATE_HZ, read_span
from stages.transcribe.faults import (
    FOREIGN,
    REPEATS,
    Evidence,
    dbfs,
    fault,
    is_surely,
    levels,
    looping,
    other_language,
)
from stages.transcribe.heard import HeardSegment, HeardWord, Recogniser
from stages.transcribe.pieces import pieces, quietest_ms
from stages.transcribe.word_times import NEAR_SPEECH_MS, mend, uncovered

LONGEST_PIECE_MS = 20_000
"""Whisper sees 30 s at once; it drops and repeats fewer words where the window is not full."""
WIDEST_PAUSE_MS = 3_000
_MARGIN_MS = 100
_AGAIN_PIECE_MS = 8_000
_AGAIN_PAUSE_MS = 500
"""The second time pieces are shorter and no longer pause is inside them."""
_TELLING_MS = 1_000
"""What is shorter has its piece's language."""
_MISSED_MS = 1_500
"""Speech without words is heard again from this length on."""


@dataclass(frozen=True)
class Dropped:
    """A stretch whose text is not believed."""

    start_ms: int
    end_ms: int
    reason: str


@dataclass(frozen=True)
class Heard:
    """What was recognised, in order of time, with times on the clip's clock."""

    words: tuple[HeardWord, ...]
    """Inside the speech, see :func:`stages.transcribe.word_times.mend`."""
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True)
class _Told:
    """A segment on the clip's clock, and the languages of its piece."""

    segment: HeardSegment
    languages: dict[str, float]

    @property
    def start_ms(self) -> int:
        return self.segment.words[0].start_ms

    @property
    def end_ms(self) -> int:
        return max(word.end_ms for word in self.segment.words)


@dataclass(frozen=True)
class Listener:
    """Listens to one clip in one language."""

    engine: Recogniser
    separation: Separation
    language: str
    pack: Pack | None
    """Of the language; None where there is none, and speech rates are not judged."""
    spans: Sequence[Span]
    """Where somebody speaks, in order, apart from each other."""
    drops_other_languages: bool = True
    batch_size: int = 1
    """Pieces that are heard at once."""

    def listen(self, at_least_ms: int, progress: Progress) -> Heard:
        """Return the words that are believed, and what was dropped.

        Args:
            at_least_ms: shorter pauses between words are no missing words.
            progress: told the share of the speech that is done.
        """
        parts = self._pieces(self.spans, LONGEST_PIECE_MS, WIDEST_PAUSE_MS)
        told: list[_Told] = []

        def hear(pieces: Sequence[Span]) -> Sequence[list[_Told]]:
            found = self._hear_at_once(pieces)
            progress((parts.index(pieces[-1]) + 1) / len(parts))
            return found

        for found in in_batches(parts, self.batch_size, hear, "transcribe.engine"):
            told += found
        words: list[HeardWord] = []
        dropped: list[Dropped] = []
        heard_twice: list[Span] = []
        for reason, group in groupby(zip(told, self._judged(told), strict=True), lambda pair: pair[1]):
            faulty = [each for each, _ in group]
            if reason is None:
                words += _words(faulty)
                continue
            believed, refused = self._again(faulty, reason)
            words += believed
            dropped += refused
            heard_twice.append(Span(faulty[0].start_ms, faulty[-1].end_ms))
        kept, invented = mend(words, self.spans)
        missed: list[HeardWord] = []
        for gap in uncovered(self.spans, kept, at_least_ms):
            is_known = any(each.start_ms < gap.end_ms and each.end_ms > gap.start_ms for each in heard_twice)
            if gap.end_ms - gap.start_ms >= _MISSED_MS and not is_known:
                believed, refused = self._missed(gap)
                missed += believed
                dropped += refused
        if missed:
            kept, strays = mend(sorted([*kept, *missed], key=lambda word: word.start_ms), self.spans)
            invented += strays
        dropped += [
            Dropped(word.start_ms, word.end_ms, f"recognised where nobody speaks: {word.text.strip()}")
            for word in invented
        ]
        return Heard(tuple(kept), tuple(sorted(dropped, key=lambda each: (each.start_ms, each.end_ms))))

    def _again(self, faulty: Sequence[_Told], reason: str) -> tuple[list[HeardWord], list[Dropped]]:
        """Listen again to the speech in a row of segments with the same fault; return what can be believed now."""
        start_ms, end_ms = min(each.start_ms for each in faulty), max(each.end_ms for each in faulty)
        first = Dropped(start_ms, end_ms, reason)
        speech = list(self._speech_in(start_ms, end_ms))
        if not speech or reason.startswith(FOREIGN):  # a language was judged segment by segment already
            return [], [first]
        told = [
            each
            for piece in self._pieces(speech, _AGAIN_PIECE_MS, _AGAIN_PAUSE_MS)
            for each in self._hear(piece, may_repeat=reason != REPEATS)
        ]
        believed, refused = self._sorted_out(told)
        return believed, refused or ([] if believed else [first])

    def _missed(self, gap: Span) -> tuple[list[HeardWord], list[Dropped]]:
        """Listen to speech for which no words came, which happens where Whisper takes a piece for finished."""
        (piece,) = padded([gap], _MARGIN_MS)
        told = self._hear(piece)
        if not told:
            return [], []
        believed, refused = self._sorted_out(told)
        return [word for word in believed if word.end_ms > gap.start_ms and word.start_ms < gap.end_ms], refused

    def _sorted_out(self, told: Sequence[_Told]) -> tuple[list[HeardWord], list[Dropped]]:
        believed: list[HeardWord] = []
        refused: list[Dropped] = []
        for each, reason in zip(told, self._judged(told), strict=True):
            if reason is None:
                believed += each.segment.words
            else:
                refused.append(Dropped(each.start_ms, each.end_ms, reason))
        return believed, refused

    def _pieces(self, spans: Sequence[Span], longest_ms: int, widest_pause_ms: int) -> tuple[Span, ...]:
        voice = self.separation.file(self.separation.voice_16k)

        def quietest(start_ms: int, end_ms: int) -> int:
            return start_ms + quietest_ms(read_span(voice, start_ms, end_ms), SPEECH_RATE_HZ)

        return padded(pieces(spans, longest_ms, widest_pause_ms, quietest), _MARGIN_MS)

    def _samples(self, start_ms: int, end_ms: int) -> np.ndarray:
        return read_span(self.separation.file(self.separation.voice_16k), start_ms, end_ms)

    def _hear(self, piece: Span, may_repeat: bool = True) -> list[_Told]:
        samples = self._samples(piece.start_ms, piece.end_ms)
        return self._told(piece, samples, self.engine.segments(samples, self.language, may_repeat))

    def _hear_at_once(self, parts: Sequence[Span]) -> list[list[_Told]]:
        sounds = [self._samples(piece.start_ms, piece.end_ms) for piece in parts]
        found = self.engine.segments_of(sounds, self.language)
        return [self._told(*each) for each in zip(parts, sounds, found, strict=True)]

    def _told(self, piece: Span, samples: np.ndarray, found: Sequence[HeardSegment]) -> list[_Told]:
        languages = self.engine.language_probabilities(samples) if found else {}
        return [_Told(_later(segment, piece.start_ms), languages) for segment in found]

    def _judged(self, told: Sequence[_Told]) -> list[str | None]:
        """Return the fault of every segment, or None."""
        stuck = looping([word.text for word in _words(told)])
        reasons, first = [], 0
        for each in told:
            last = first + len(each.segment.words)
            reasons.append(self._fault(each, repeats=not stuck.isdisjoint(range(first, last))))
            first = last
        return reasons

    def _fault(self, told: _Told, repeats: bool) -> str | None:
        start_ms, end_ms = told.start_ms, told.end_ms
        speech = self._speech_in(start_ms, end_ms)
        evidence = Evidence(
            repeats=repeats,
            mean_log_probability=told.segment.mean_log_probability,
            no_speech_probability=told.segment.no_speech_probability,
            levels=levels(*self._sounds(start_ms, end_ms)),
            speaking_dbfs=self._speaking_dbfs,
            other_language=self._other_language(told) if self.drops_other_languages else None,
            phones=self._phones(told.segment.text),
            speech_ms=sum(span.end_ms - span.start_ms for span in speech),
        )
        return fault(evidence, self.pack.phones_per_second if self.pack else None)

    def _speech_in(self, start_ms: int, end_ms: int) -> Iterator[Span]:
        """Yield the speech in a stretch and as far beside it as times of words can be off."""
        for span in self.spans:
            inside = Span(max(span.start_ms, start_ms - NEAR_SPEECH_MS), min(span.end_ms, end_ms + NEAR_SPEECH_MS))
            if inside.start_ms < inside.end_ms:
                yield inside

    def _sounds(self, start_ms: int, end_ms: int) -> tuple[np.ndarray, np.ndarray, int]:
        """Return voice and background of a stretch, and their rate in Hz."""
        voice = self.separation.file(self.separation.voice)
        background = self.separation.file(self.separation.background)
        rate_hz = soundfile.info(voice).samplerate
        return read_span(voice, start_ms, end_ms), read_span(background, start_ms, end_ms), rate_hz

    @cached_property
    def _speaking_dbfs(self) -> float:
        power, samples = 0.0, 0
        for span in self.spans:
            sound = self._samples(span.start_ms, span.end_ms)
            power += float(np.square(sound, dtype=float).sum())
            samples += len(sound)
        return dbfs(power / max(samples, 1))

    def _other_language(self, told: _Told) -> str | None:
        """Return the language's name, or "" where only the script is known to be another's."""
        if self.pack is not None:
            try:
                check_script(told.segment.text, self.pack.tag, allow_latin=True)
            except UnreadableError:
                return ""
        if is_surely(told.languages, self.language):
            return None
        languages = told.languages
        if told.end_ms - told.start_ms >= _TELLING_MS:
            languages = self.engine.language_probabilities(self._samples(told.start_ms, told.end_ms))
        return other_language(languages, self.language)

    def _phones(self, text: str) -> int | None:
        if self.pack is None:
            return None
        try:
            return len(segments(phonemize(text, self.pack.g2p)))
        except (MissingReaderError, UnreadableError):  # a source is only heard and translated, it need not be read
            return None


def _words(told: Sequence[_Told]) -> list[HeardWord]:
    return [word for each in told for word in each.segment.words]


def _later(segment: HeardSegment, by_ms: int) -> HeardSegment:
    words = (replace(word, start_ms=word.start_ms + by_ms, end_ms=word.end_ms + by_ms) for word in segment.words)
    return replace(segment, words=tuple(words))


def unprocessed(spans: Sequence[Span], heard: Heard, at_least_ms: int) -> list[Dropped]:
    """Return all speech without believed words, with reasons, and all that was dropped beside the speech.

    Args:
        spans: where somebody speaks, in order, apart from each other.
        heard: what was recognised.
        at_least_ms: shorter pauses between the words of a span are not listed.
    """
    listed: list[Dropped] = []
    placed: set[Dropped] = set()
    for gap in uncovered(spans, heard.words, at_least_ms):
        inside = [each for each in heard.dropped if each.start_ms < gap.end_ms and each.end_ms > gap.start_ms]
        reasons = list(dict.fromkeys(each.reason for each in inside)) or ["speech not transcribed"]
        listed.append(Dropped(gap.start_ms, gap.end_ms, "; ".join(reasons)))
        placed.update(inside)
    listed += [each for each in heard.dropped if each not in placed]
    return sorted(listed, key=lambda each: (each.start_ms, each.end_ms, each.reason))
