"""Some lines worded and placed anew between the others, which stay where they are."""

from __future__ import annotations

from math import ceil
from pathlib import Path

from language_packs import Pack
from stages.artifacts import Cast, Media, Plan, Reading, Script, SpeakerFaces, Transcript
from stages.edits import Edits, LineEdit, listed
from stages.errors import InputError
from stages.progress import Progress
from stages.synthesize import Voicing
from stages.timing.fitting import fit
from stages.timing.planner import TimingConfig, plan_lines
from stages.timing.source import source_slots


def refit(
    script: Script,
    cast: Cast,
    media: Media,
    voicing: Voicing,
    pack: Pack,
    edits: Edits,
    previous: Script,
    lines: tuple[int, ...],
    config: TimingConfig,
    out: Path,
    progress: Progress,
) -> Script:
    """Return the previous script with ``lines`` worded anew; see :func:`stages.timing.fitting.fit`.

    Raises:
        InputError: there is no line of an edit's number.
        MissingEngineError: an unknown engine, or a model that is not here.
    """
    edits.check([line.id for line in script.lines])
    # A text that stays need not be measured, like one that a person has written.
    stays = {line.id: LineEdit.model_construct(text=line.text) for line in previous.lines if line.id not in lines}
    edits = edits.model_copy(update={"lines": edits.lines | stays})
    fresh = {line.id: line for line in fit(script, cast, media, voicing, pack, edits, config, out, progress).lines}
    return previous.model_copy(
        update={"lines": tuple(fresh[line.id] if line.id in lines else line for line in previous.lines)}
    )


def replan(
    script: Script,
    reading: Reading,
    transcript: Transcript,
    faces: SpeakerFaces,
    media: Media,
    previous: Plan,
    lines: tuple[int, ...],
    config: TimingConfig,
    out: Path,
    progress: Progress,
) -> Plan:
    """Return the previous plan with ``lines``, the ones that were read, placed anew.

    Raises:
        InputError: a line is too long for its place, however fast it is read.
    """
    fixed = {line.id: line for line in previous.lines if line.id not in lines}
    sounding_ms = {line.id: line.sounding_ms for line in reading.lines}
    phrase_ends = {line.id: line.phrase_ends for line in reading.lines}
    slots = source_slots(script, transcript, faces, config.pause_ms, config.seen_share)
    try:
        planned = plan_lines(slots, sounding_ms, media.duration_ms, config, fixed, phrase_ends)
    except ArithmeticError as error:
        shortest = [f"{ceil(sounding_ms[line] / config.fastest_rate) / 1000:.1f} s" for line in sorted(lines)]
        raise InputError(
            f"line {listed(lines)}: the new text takes {' and '.join(shortest)} at the fastest rate "
            f"({config.fastest_rate:g}), and that does not fit between the lines beside it; use fewer words, or give "
            "--line for a neighbour as well."
        ) from error
    progress(1.0)
    return Plan(lines=planned)
