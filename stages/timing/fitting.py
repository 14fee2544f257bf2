"""Which of a line's versions is spoken: the longest one that its voice can say unhurried in the time there is."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from language_packs import Pack
from stages.artifacts import Cast, Media, Script, ScriptLine
from stages.edits import Edits, taken_over
from stages.progress import Progress
from stages.reading import try_line
from stages.synthesize import Voicing, engine_spec, load
from stages.timing.planner import TimingConfig, room_ms
from stages.timing.source import slots


def fit(
    script: Script,
    cast: Cast,
    media: Media,
    voicing: Voicing,
    pack: Pack,
    edits: Edits,
    config: TimingConfig,
    out: Path,
    progress: Progress,
) -> Script:
    """Return the script with every line in the version that will be spoken.

    Alternatives are measured only where the whole translation does not fit. A line that a person has written is taken
    as it is.

    Args:
        script: with the alternatives.
        cast: whose voices say how long a text takes.
        media: for the clip's end.
        voicing: the synthesiser.
        pack: of the language that is spoken.
        edits: lines that a person has written.
        config: ``comfortable_rate`` is what fits.
        out: not written to.
        progress: told the share done.

    Raises:
        InputError: there is no line of an edit's number.
        MissingEngineError: an unknown engine, or a model that is not here.
    """
    edits.check([line.id for line in script.lines])
    written = edits.texts()
    spec = engine_spec(voicing.config.engine)
    synthesizer = load(voicing.config, script.target, pack.g2p, cast)
    voices = {voice.speaker: voice.voice for voice in cast.voices}
    rooms_ms = room_ms(slots(script), media.duration_ms, config)

    def sounding_ms(text: str, line: ScriptLine) -> int:
        ipa, failure = try_line(text, pack.g2p, script.target, f"line {line.id}")
        if failure is not None:  # the line stays as it is, for the reading to list it; no other wording is tried
            return 0 if text == line.text else sys.maxsize
        return synthesizer.durations(spec.said(text, ipa), voices[line.speaker]).sounding_ms

    lines: list[ScriptLine] = []
    for line in script.lines:
        if line.id in written:
            lines.append(taken_over(line, written[line.id]))
            continue
        versions = (line.text, *line.alternatives)
        lengths_ms = (sounding_ms(text, line) for text in versions)
        chosen = versions[first_that_fits(lengths_ms, rooms_ms[line.id] * config.comfortable_rate)]
        is_whole = chosen == line.text
        lines.append(line if is_whole else line.model_copy(update={"text": chosen, "full_text": line.text}))
        progress(len(lines) / len(script.lines))
    return script.model_copy(update={"lines": tuple(lines)})


def first_that_fits(lengths_ms: Iterable[int], limit_ms: float) -> int:
    """Return the index of the first length within the limit, else of the shortest; the rest is not looked at."""
    seen: list[int] = []
    for length_ms in lengths_ms:
        if length_ms <= limit_ms:
            return len(seen)
        seen.append(length_ms)
    return seen.index(min(seen))
