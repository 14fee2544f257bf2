"""Timing: every line of the dub gets words that fit, its place and its rate."""

from __future__ import annotations

from pathlib import Path

from stages.artifacts import Media, Plan, Reading, Script
from stages.progress import Progress
from stages.timing.fitting import fit
from stages.timing.planner import Slot, TimingConfig, plan_lines, slots

__all__ = ["FIT_VERSION", "PLAN_VERSION", "Slot", "TimingConfig", "fit", "plan"]

FIT_VERSION = 3
PLAN_VERSION = 2


def plan(script: Script, reading: Reading, media: Media, config: TimingConfig, out: Path, progress: Progress) -> Plan:
    """Place every line of ``script`` in the clip; see :func:`stages.timing.planner.plan_lines` for the rules."""
    sounding_ms = {line.id: line.duration_ms - line.lead_ms - line.tail_ms for line in reading.lines}
    planned = plan_lines(slots(script), sounding_ms, media.duration_ms, config)
    progress(1.0)
    return Plan(lines=planned)
