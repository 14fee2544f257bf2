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
    changed = speech.model_copy(update={"lines": tuple(line for line in speech.lines if line.id in lines)})
    fresh = {check.id: check for check in inspect(script, changed, mixdown, config, out, progress).lines}
    checks = tuple(fresh.get(check.id, check) for check in previous.lines)
    return Inspection(lines=checks, cer=total_cer(script, checks))
