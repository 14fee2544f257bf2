"""Timing: every line of the dub gets its place and its rate."""

from __future__ import annotations

from pathlib import Path

from stages.artifacts import Media, Plan, Reading, Script
from stages.progress import Progress
from stages.timing.planner import Slot, TimingConfig, plan_lines

__all__ = ["VERSION", "TimingConfig", "plan"]

VERSION = 1


def plan(script: Script, reading: Reading, media: Media, config: TimingConfig, out: Path, progress: Progress) -> Plan:
    """Place every line of ``script`` in the clip; see :func:`stages.timing.planner.plan_lines` for the rules."""
    slots = [
        Slot(id=line.id, speaker=line.speaker, start_ms=line.start_ms, end_ms=line.end_ms) for line in script.lines
    ]
    sounding_ms = {line.id: line.duration_ms - line.lead_ms - line.tail_ms for line in reading.lines}
    planned = plan_lines(slots, sounding_ms, media.duration_ms, config)
    progress(1.0)
    return Plan(lines=planned)
