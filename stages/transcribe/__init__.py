"""What was said, when, by whom and in which language: Whisper's words, in time with the voice and cut into lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from language_packs import Packs
from stages import models
from stages.artifacts import Diarization, Record, Separation, Transcript, Unprocessed
from stages.devices import DeviceConfig, ctranslate2_finds_cuda, fitting
from stages.engines import Engine, chosen
from stages.errors import InputError, MissingEngineError
from stages.languages import language_name
from stages.progress import Progress
from stages.sound import SPEECH_RATE_HZ, read_span
from stages.transcribe.vocabulary import Vocabulary

if TYPE_CHECKING:
    from stages.diarize.voice_activity import Span
    from stages.transcribe.heard import Recogniser

VERSION = 3
UNDETERMINED = "und"
"""BCP-47 for the language of a clip in which nobody speaks."""

_VOTE_WINDOW_MS = 10_000
_MOST_VOTES = 6
_GUESSES_NAMED = 3


class TranscribeConfig(Record):
    """Settings of the transcription."""

    engine: str = "faster-whisper"
    """A name in :data:`ENGINES`."""
    model: str = "whisper-base"
    """A name in the list of models, or a folder: for faster-whisper one of CTranslate2's form, of any size; for whisper
    one that holds a ``NAME.pt`` of OpenAI's."""
    device: DeviceConfig = DeviceConfig(kind="cpu")
    """Where it is heard. With precision ``auto`` faster-whisper computes in int8 (on a CUDA device with float16
    between), whisper in float32 (on a CUDA device in float16)."""
    batch_size: int = Field(default=1, ge=1)
    """Pieces of speech that faster-whisper hears at once; halved where they do not fit into the memory. Of more than
    one, the words may differ a little."""
    beam: int = Field(default=5, ge=1)
    """Texts that are weighed against each other."""
    language: str | None = None
    """BCP-47 tag of the source language (``--from``); None listens for it."""
    min_language_probability: float = Field(default=0.5, ge=0, le=1)
    """Below this the language is not guessed but asked for."""
    line_pause_ms: int = Field(default=700, gt=0)
    """A pause at least this long ends a line."""
    longest_line_ms: int = Field(default=14_000, gt=0)
    """Longer lines are cut at commas and pauses."""
    min_unprocessed_ms: int = Field(default=800, gt=0)
    """Pauses between words at least this long, where somebody speaks, are reported; so is all other speech."""
    drop_other_languages: bool = True
    """Speech that is surely in another language than the clip's is listed; False writes it down as if it were."""


def _faster_whisper_models(config: TranscribeConfig) -> tuple[str, ...]:
    from stages.transcribe.faster_whisper_engine import check_folder

    check_folder(models.find(config.model))
    return (config.model,)


def _openai_models(config: TranscribeConfig) -> tuple[str, ...]:
    openai_checkpoint(models.find(config.model))
    return (config.model,)


def openai_checkpoint(folder: Path) -> Path:
    """Return the checkpoint in a folder that holds one.

    Raises:
        MissingEngineError: it does not.
    """
    files = sorted(folder.glob("*.pt"))
    if len(files) != 1:
        raise MissingEngineError(
            f"transcribe.model: {folder} holds {'several files' if files else 'no file'} NAME.pt, and whisper needs "
            "one of OpenAI's checkpoints; choose another folder, or a model such as openai-whisper-small."
        )
    return files[0]


ENGINES: Mapping[str, Engine] = {
    "faster-whisper": Engine(
        "faster-whisper",
        "stages.transcribe.faster_whisper_engine:recogniser",
        modules=("faster_whisper",),
        device="device",
        finds_cuda=ctranslate2_finds_cuda,
        models=_faster_whisper_models,
    ),
    "whisper": Engine(
        "OpenAI's Whisper",
        "stages.transcribe.openai_whisper_engine:recogniser",
        modules=("whisper", "torch"),
        device="device",
        extra="whisper",
        models=_openai_models,
    ),
}


def transcribe(
    separation: Separation,
    diarization: Diarization,
    vocabulary: Vocabulary,
    config: TranscribeConfig,
    out: Path,
    progress: Progress,
) -> Transcript:
    """Write down the speech that the diarization found; what is not believed is listed. Nothing is written to ``out``.

    A clip without speech gives a transcript without lines.

    Args:
        separation: its 16 kHz voice is listened to, piece by piece; voice and background tell music from speech.
        diarization: where to listen, and who speaks there.
        vocabulary: terms that are likely to be said; they go into Whisper's prompt.
        config: see :class:`TranscribeConfig`.
        out: not needed: a transcript is all metadata.
        progress: told the share of the speech that is done.

    Raises:
        InputError: the language is not sure enough, or Whisper does not know the one that was given, or nobody
            speaks it; or there is no such model.
        MissingEngineError: the engine or its model is not here, does not verify or does not fit into the memory.
    """
    from stages.diarize.voice_activity import speech_probabilities
    from stages.transcribe.alignment import aligned
    from stages.transcribe.faults import FOREIGN
    from stages.transcribe.heard import whisper_code
    from stages.transcribe.lines import cut_lines, with_speakers
    from stages.transcribe.listening import WIDEST_PAUSE_MS, Listener, unprocessed
    from stages.transcribe.onsets import stretches
    from stages.transcribe.pieces import pieces, quietest_ms, speech_spans

    chosen_engine = chosen(ENGINES, config.engine, "transcribe.engine")
    chosen_engine.models(config)
    if config.language is not None:
        whisper_code(config.language)
    voice = separation.file(separation.voice_16k)
    spans = speech_spans(diarization.turns)
    if not spans:
        certainty = 0.0 if config.language is None else 1.0
        return Transcript(
            language=config.language or UNDETERMINED, language_probability=certainty, lines=(), unprocessed=()
        )

    def quietest(start_ms: int, end_ms: int) -> int:
        return start_ms + quietest_ms(read_span(voice, start_ms, end_ms), SPEECH_RATE_HZ)

    engine: Recogniser = chosen_engine.make()(config, vocabulary)
    if config.language is None:
        windows = pieces(spans, _VOTE_WINDOW_MS, WIDEST_PAUSE_MS, quietest)
        language, certainty = _vote(engine, voice, windows, config.min_language_probability)
    else:
        language, certainty = config.language, 1.0

    packs = Packs()
    pack = packs.load(language) if packs.find(language) else None
    listener = Listener(engine, separation, language, pack, spans, config.drop_other_languages, config.batch_size)
    heard = listener.listen(config.min_unprocessed_ms, progress)
    others = {each.reason for each in heard.dropped if each.reason.startswith(FOREIGN)}
    if others and not heard.words:
        raise InputError(
            f"the speech was {'; '.join(sorted(others))}, not as {language_name(language)}: leave out --from, or name "
            "that language."
        )
    words = aligned(heard.words, stretches(voice, speech_probabilities(voice)))
    return Transcript(
        language=language,
        language_probability=certainty,
        lines=cut_lines(with_speakers(words, diarization.turns), config.line_pause_ms, config.longest_line_ms),
        unprocessed=tuple(
            Unprocessed(start_ms=each.start_ms, end_ms=each.end_ms, reason=each.reason)
            for each in unprocessed(spans, heard, config.min_unprocessed_ms)
        ),
    )


def _vote(engine: Recogniser, voice: Path, windows: list[Span], enough: float) -> tuple[str, float]:
    """Return the language with the most probability, summed over windows by their length, and its share.

    Raises:
        InputError: its share is below ``enough``.
        MissingEngineError: the memory does not suffice.
    """
    from stages.transcribe.pieces import spread

    votes: dict[str, float] = {}
    total_ms = 0
    for window in spread(windows, _MOST_VOTES):
        length_ms = window.end_ms - window.start_ms
        total_ms += length_ms
        samples = read_span(voice, window.start_ms, window.end_ms)
        with fitting("transcribe.engine"):
            probabilities = engine.language_probabilities(samples)
        for tag, probability in probabilities.items():
            votes[tag] = votes.get(tag, 0.0) + probability * length_ms
    best = sorted(votes, key=lambda tag: (-votes[tag], tag))[:_GUESSES_NAMED]
    certainty = votes[best[0]] / total_ms
    if certainty < enough:
        guesses = ", ".join(f"{tag} {votes[tag] / total_ms:.0%}" for tag in best)
        raise InputError(
            f"the language that is spoken is not certain (best guesses: {guesses}): name it, as in --from {best[0]}."
        )
    return best[0], certainty
