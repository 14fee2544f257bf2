"""Timing: every line of the dub gets words that fit, its place and its rate."""

from __future__ import annotations

from pathlib import Path

from stages.artifacts import Media, Plan, Reading, Script, SpeakerFaces, Transcript
from stages.progress import Progress
from stages.timing.fitting import fit
from stages.timing.planner import TimingConfig, plan_lines
from stages.timing.source import Slot, source_slots

__all__ = ["FIT_VERSION", "PLAN_VERSION", "Slot", "TimingConfig", "fit", "plan"]

FIT_VERSION = 4
PLAN_VERSION = 5


def plan(
    script: Script,
    reading: Reading,
    transcript: Transcript,
    faces: SpeakerFaces,
    media: Media,
    config: TimingConfig,
    out: Path,
    progress: Progress,
) -> Plan:
    """Place every line of ``script`` in the clip; see :func:`stages.timing.planner.plan_lines` for the rules.

    Args:
        script: what is said.
        reading: how long it takes, and where it can pause.
        transcript: where the source paused.
        faces: whose lips are seen.
        media: for the clip's end.
        config: the bounds.
        out: not written to.
        progress: told the share done.
    """
    planned = plan_lines(
        source_slots(script, transcript, faces, config.pause_ms, config.seen_share),
        {line.id: line.sounding_ms for line in reading.lines},
        media.duration_ms,
        config,
        phrase_ends={line.id: line.phrase_ends for line in reading.lines},
    )
    progress(1.0)
    return Plan(lines=planned)
