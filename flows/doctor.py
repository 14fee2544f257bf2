"""What is installed here, and what is missing for what."""

from __future__ import annotations

import sys

from stages import models
from stages.artifacts import Record
from stages.translate import apertium, routes


class Check(Record):
    """One thing looked at."""

    name: str
    ok: bool
    required: bool
    """False for what only widens the choice of languages."""
    detail: str


def checks() -> list[Check]:
    """Look at Python, weights and optional translators."""
    found = [_python()]
    for model in models.catalogue().values():
        if model.profile != "embedded" and models.missing((model.name,)):
            continue
        problems = models.verify(model)
        found.append(
            Check(
                name=f"model {model.name}",
                ok=not problems,
                required=model.profile == "embedded",
                detail=f"{'; '.join(problems)}. Run: {models.fetch_command(model)}" if problems else model.title,
            )
        )
    found.append(_apertium())
    return found


def _apertium() -> Check:
    hops = [hop for hop in routes.table().hops if hop.engine == "apertium"]
    missing = dict.fromkeys(hop.package for hop in hops if hop.mode not in apertium.modes())
    command = f"for es ca gl fr it run: sudo apt-get install -y apertium {' '.join(missing)}"
    return Check(name="apertium", ok=not missing, required=False, detail=command if missing else "es ca gl fr it")


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Check(name="python", ok=sys.version_info >= (3, 11), required=True, detail=version)
