"""Some lines spoken anew; the sounds of all others are handed on."""

from __future__ import annotations

import shutil
from pathlib import Path

from stages.artifacts import Cast, Diarization, Plan, Reading, Script, Separation, Speech
from stages.progress import Progress
from stages.synthesize import SynthesizeConfig, speak


def respeak(
    script: Script,
    reading: Reading,
    plan: Plan,
    cast: Cast,
    separation: Separation,
    diarization: Diarization,
    previous: Speech,
    config: SynthesizeConfig,
    out: Path,
    progress: Progress,
) -> Speech:
    """Return the previous speech with the lines of ``reading`` spoken anew; see :func:`stages.synthesize.speak`.

    Raises:
        MissingEngineError: an unknown engine, or a model that is not here.
    """
    fresh = speak(script, reading, plan, cast, separation, diarization, config, out, progress)
    spoken = {line.id: line for line in fresh.lines}
    for line in previous.lines:
        if line.id not in spoken:
            shutil.copyfile(previous.file(line.sound), out / line.sound)
    lines = tuple(spoken.get(line.id, line) for line in previous.lines)
    return previous.model_copy(update={"lines": lines})
