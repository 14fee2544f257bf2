"""Engines: the ways in which a stage's work can be done, as data.

Every stage that has a choice keeps one registry, a mapping from the name in the settings (``<stage>.engine``) to an
:class:`Engine`. Nothing is imported until an engine is loaded, and a missing package or model is said before any work.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from stages import models as weights
from stages.devices import DeviceConfig, torch_finds_cuda
from stages.errors import InputError, MissingEngineError

_LIGHT_BYTES = 300 << 20
"""Models up to this size may stay in the memory of the run."""


def _no_models(_config: Any) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Engine:
    """One way of doing a stage's work."""

    title: str
    """For people."""
    loads: str
    """``module:attribute`` of what makes it; imported when it is loaded."""
    modules: tuple[str, ...] = ()
    """Import names that must be installed."""
    extra: str | None = None
    """The extra of this distribution that brings them; None: they come with it."""
    models: Callable[[Any], tuple[str, ...]] = _no_models
    """The stage's config -> names of the models that it then needs."""
    device: str | None = None
    """Where in the stage's config its :class:`stages.devices.DeviceConfig` is, e.g. ``"demucs.device"``; None: it runs
    on the processor, in one precision."""
    finds_cuda: Callable[[], bool] = torch_finds_cuda
    """Whether the library that it computes with finds a CUDA device."""

    def device_config(self, config: Any) -> DeviceConfig | None:
        """Return where the stage's config lets it run; None: there is no choice."""
        return None if self.device is None else attrgetter(self.device)(config)

    def needs_own_process(self, config: Any) -> bool:
        """Return whether it is too heavy to stay in memory: it loads torch or large models, or may use a GPU."""
        where = self.device_config(config)
        if "torch" in self.modules or (where is not None and where.kind != "cpu"):
            return True
        return sum(map(weights.size_bytes, self.models(config))) > _LIGHT_BYTES

    def missing(self) -> tuple[str, ...]:
        """Return the import names that are not installed."""
        return tuple(name for name in self.modules if not _is_installed(name))

    def make(self) -> Callable[..., Any]:
        """Return what makes the engine."""
        module, attribute = self.loads.split(":")
        return getattr(importlib.import_module(module), attribute)


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # nor is the package that it is part of
        return False


def chosen(engines: Mapping[str, Engine], name: str, setting: str) -> Engine:
    """Return an engine by name.

    Args:
        engines: the stage's registry.
        name: as the settings say it.
        setting: what they say it in, for the message: ``"transcribe.engine"``.

    Raises:
        InputError: there is none of that name.
        MissingEngineError: a package that it needs is not installed.
    """
    if name not in engines:
        raise InputError(f"{setting}: there is no engine {name!r}; choose one of: {', '.join(engines)}.")
    engine = engines[name]
    if lacking := engine.missing():
        raise MissingEngineError(
            f"{setting}: {name} needs {' and '.join(lacking)}, which {'is' if len(lacking) == 1 else 'are'} not "
            f"installed. Run: {install_command(engine)}"
        )
    return engine


def install_command(engine: Engine) -> str:
    """Return what installs what an engine needs."""
    return f'pip install "dubwright[{engine.extra}]"' if engine.extra else "pip install --force-reinstall dubwright"
