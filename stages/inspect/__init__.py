"""Listens to the finished dub a second time: transcribes every line back and counts the edits."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import langcodes

from stages import models
from stages.artifacts import Inspection, LineCheck, Mixdown, Record, Script, Speech, Unchecked
from stages.engines import Engine, chosen
from stages.errors import DubwrightError
from stages.progress import Progress
from stages.sound import SAMPLE_RATE_HZ, SPEECH_RATE_HZ, read_span, resample

VERSION = 3
_MARGIN_MS = 150
"""Kept around a line so that its first and last sounds are heard whole."""


class InspectConfig(Record):
    """How the dub is checked."""

    engine: str = "faster-whisper"
    """A name in :data:`ENGINES`."""
    model: str = "whisper-base"
    """A name in the list of models, or a folder with a model of CTranslate2's form."""
    max_cer: float = 0.3
    """A line whose back-transcription differs more than this is flagged for a person."""


ENGINES: Mapping[str, Engine] = {
    "faster-whisper": Engine(
        "faster-whisper",
        "stages.transcribe.faster_whisper_engine:WhisperEngine",
        modules=("faster_whisper",),
        models=lambda config: (config.model,),
    ),
}


def inspect(
    script: Script, speech: Speech, mixdown: Mixdown, config: InspectConfig, out: Path, progress: Progress
) -> Inspection:
    """Transcribe every dubbed line of the mix back in the target language.

    A line that the recogniser fails on is listed in ``unchecked`` and does not end the run.

    The character error rate (CER) is that of jiwer on normalised text: lower case, no punctuation, one space
    between words.
    """
    import jiwer

    engine = chosen(ENGINES, config.engine, "inspect.engine").make()(models.find(config.model))
    language = langcodes.get(script.target).language
    assert language is not None
    texts = {line.id: line.text for line in script.lines}
    checks, unchecked = [], []
    dubbed = [line for line in speech.lines if line.is_dubbed]
    for number, line in enumerate(dubbed, start=1):
        sound = read_span(mixdown.file(mixdown.sound), line.start_ms - _MARGIN_MS, line.end_ms + _MARGIN_MS)
        try:
            heard = engine.recognise(
                resample(sound.mean(axis=1), SAMPLE_RATE_HZ, SPEECH_RATE_HZ), language, "transcribe"
            )
        except (DubwrightError, MemoryError):
            raise
        except Exception as error:  # a recogniser may fail in any way on one line
            unchecked.append(Unchecked(id=line.id, reason=f"{type(error).__name__}: {error}"))
            continue
        reference = normalised(texts[line.id])
        cer = jiwer.cer(reference, normalised(heard)) if reference else 0.0
        checks.append(LineCheck(id=line.id, heard=heard, cer=round(float(cer), 4)))
        progress(number / len(dubbed))
    return Inspection(lines=tuple(checks), cer=total_cer(script, checks), unchecked=tuple(unchecked))


def total_cer(script: Script, checks: Sequence[LineCheck]) -> float:
    """Return the character error rate over all checked lines."""
    import jiwer

    texts = {line.id: line.text for line in script.lines}
    references = [normalised(texts[check.id]) for check in checks]
    if not any(references):
        return 0.0
    return round(float(jiwer.cer(references, [normalised(check.heard) for check in checks])), 4)


def normalised(text: str) -> str:
    """Return text as it is compared: NFKC, case-folded, letters, marks and digits only, single spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"\s+", " ", re.sub(r"[^\w\s]|_", " ", folded)).strip()
