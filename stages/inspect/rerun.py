"""Some lines listened to anew."""

from __future__ import annotations

from pathlib import Path

from stages.artifacts import Inspection, Mixdown, Script, Speech
from stages.inspect import InspectConfig, inspect, total_cer
from stages.progress import Progress


def reinspect(
    script: Script,
    speech: Speech,
    mixdown: Mixdown,
    previous: Inspection,
    lines: tuple[int, ...],
    config: InspectConfig,
    out: Path,
    progress: Progress,
) -> Inspection:
    """Return the previous inspection with ``lines`` transcribed back anew; see :func:`stages.inspect.inspect`."""
    order = {line.id: place for place, line in enumerate(speech.lines)}
    changed = speech.model_copy(update={"lines": tuple(line for line in speech.lines if line.id in lines)})
    fresh = inspect(script, changed, mixdown, config, out, progress)
    kept = [check for check in previous.lines if check.id not in lines]
    checks = tuple(sorted([*kept, *fresh.lines], key=lambda check: order[check.id]))
    unchecked = [each for each in previous.unchecked if each.id not in lines]
    return Inspection(lines=checks, cer=total_cer(script, checks), unchecked=(*unchecked, *fresh.unchecked))
