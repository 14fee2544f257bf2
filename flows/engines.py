"""Which engine every stage would run, on what device, and what is missing for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from stages import lipsync, models, pipeline
from stages.artifacts import Record
from stages.engines import chosen
from stages.errors import DubwrightError, MissingEngineError
from stages.settings import Settings
from stages.store import Stage
from stages.synthesize import check_speaks
from stages.translate import check_pair, chosen_route

_ELSEWHERE = {("translate", "llm"): "its server", ("lipsync", "external"): "its program's"}
"""Stages and engines whose work is done by something else."""


class Choice(Record):
    """How one stage would be done."""

    stage: str
    language: str | None
    """Target language; None for what all languages share, or where none was asked for."""
    engine: str
    models: tuple[str, ...]
    device: str | None
    """``cpu``, ``cuda``, or where else; None where what it needs to tell is missing."""
    missing: tuple[str, ...]
    """What is missing, each with how to mend it."""


def choices(settings: Settings, targets: tuple[str, ...], composes: bool) -> Iterator[tuple[Stage, Choice]]:
    """Yield every stage of a run in order, those of a language once for each; without one, once.

    Args:
        settings: say the engines.
        targets: normalised tags.
        composes: a picture, or a sound of its own, is made a clip first.
    """
    for stage in pipeline.SHARED_STAGES:
        if composes or stage is not pipeline.COMPOSE:
            yield stage, _choice(stage, settings, None)
    for target in targets or (None,):
        for stage in pipeline.LANGUAGE_STAGES:
            yield stage, _choice(stage, settings, target)


def _choice(stage: Stage, settings: Settings, language: str | None) -> Choice:
    config = getattr(settings, stage.config)
    missing: list[str] = []
    names, device = stage.models, None
    with _noted(missing):
        if stage.engines:
            chosen(stage.engines, config.engine, f"{stage.config}.engine")
        device = _device(stage, config)
    with _noted(missing):
        if stage.engine_for(config) in stage.engines:
            names = tuple(dict.fromkeys((*names, *stage.engines[config.engine].models(config))))
    for name in names:
        with _noted(missing):
            models.find(name)
            if settings.commercial:
                models.check_commercial(name)
    with _noted(missing):
        if language is not None and stage.name in _CHECKS:
            _CHECKS[stage.name](settings, language)
        if stage is pipeline.LIPSYNC:
            lipsync.check(settings.lipsync, ())
    return Choice(
        stage=stage.name,
        language=language,
        engine=_engine(stage, settings, language, bool(missing)),
        models=names,
        device=device,
        missing=tuple(missing),
    )


@contextmanager
def _noted(missing: list[str]) -> Iterator[None]:
    """Note an error's line, once, and go on."""
    try:
        yield
    except DubwrightError as error:
        if str(error) not in missing:
            missing.append(str(error))


def _engine(stage: Stage, settings: Settings, language: str | None, is_missing: bool) -> str:
    """Return what would do the work; for a translation whose both languages are known, by its hops."""
    source = settings.transcribe.language
    if stage is pipeline.TRANSLATE and source is not None and language is not None and not is_missing:
        return " + ".join(hop.name for hop in chosen_route(source, language, settings.translate).hops)
    return stage.engine_for(getattr(settings, stage.config))


def _device(stage: Stage, config: Any) -> str:
    """Return where a stage computes; nothing is imported for it where only the processor can.

    Raises:
        DubwrightError: a device is asked for that is not here.
    """
    name = stage.engine_for(config)
    if (stage.config, name) in _ELSEWHERE:
        return _ELSEWHERE[stage.config, name]
    engine = stage.engines.get(name)
    where = engine.device_config(config) if engine else None
    if engine is None or where is None or where.kind == "cpu":
        return "cpu"
    if engine.finds_cuda():
        return "cuda"
    if where.kind == "cuda":
        raise MissingEngineError(f"{stage.config}.{engine.device}.kind is cuda, and no CUDA device is found here.")
    return "cpu"


def _check_pair(settings: Settings, language: str) -> None:
    check_pair(settings.transcribe.language, language, settings.translate)


def _check_speaks(settings: Settings, language: str) -> None:
    check_speaks(settings.synthesize, language)


_CHECKS: Mapping[str, Callable[[Settings, str], None]] = {
    "translate": _check_pair,
    "cast": _check_speaks,
    "read": _check_speaks,
    "speak": _check_speaks,
}
