"""Settings of a run: ``configs/base.yaml`` < profile < environment (``DUBWRIGHT_...``) < command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import platformdirs
from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from stages.diarize import DiarizeConfig
from stages.errors import InputError
from stages.inspect import InspectConfig
from stages.limits import LimitsConfig
from stages.lipsync import LipsyncConfig, SpeakerConfig, TrackConfig
from stages.media import MediaConfig
from stages.mix import MixConfig
from stages.separate import SeparateConfig
from stages.spread import SpreadConfig
from stages.still import StillConfig
from stages.synthesize import SynthesizeConfig
from stages.timing import TimingConfig
from stages.transcribe import TranscribeConfig
from stages.translate import TranslateConfig
from stages.visemes import VisemesConfig

_CONFIGS = Path(__file__).parents[1] / "configs"
_NO_PROFILES = {"base", "prefect"}


def profiles() -> tuple[str, ...]:
    """Return the names that ``--profile`` accepts."""
    return tuple(sorted(file.stem for file in _CONFIGS.glob("*.yaml") if file.stem not in _NO_PROFILES))


class Settings(BaseSettings):
    """Everything that can be set, one section a stage. Unknown keys are errors."""

    model_config = SettingsConfigDict(env_prefix="DUBWRIGHT_", env_nested_delimiter="__", extra="forbid", frozen=True)

    work: Path = Field(default_factory=lambda: Path(platformdirs.user_cache_dir("dubwright")) / "work")
    """The work folder."""
    shared_store: str | None = None
    """URL of a folder (``s3://bucket/prefix``, ``file:///...``) where machines find what others have made; none: they
    do not."""
    packs: tuple[Path, ...] = ()
    """Folders with language packs beside the built-in and the installed ones."""
    glossary: Path | None = None
    """CSV file of terms and how they are translated, or that they are not."""
    memories: tuple[Path, ...] = ()
    """Translation memories (TMX, XLIFF); of several translations of a text the last one counts."""
    commercial: bool = False
    """The dub is for commercial use: models that may not be used so are refused."""
    models_per_gpu: int = Field(default=1, ge=1)
    """How many models, of all runs of this user, may use a GPU at once; others wait."""
    limits: LimitsConfig = LimitsConfig()
    spread: SpreadConfig = SpreadConfig()
    still: StillConfig = StillConfig()
    ingest: MediaConfig = MediaConfig()
    separate: SeparateConfig = SeparateConfig()
    diarize: DiarizeConfig = DiarizeConfig()
    transcribe: TranscribeConfig = TranscribeConfig()
    translate: TranslateConfig = TranslateConfig()
    synthesize: SynthesizeConfig = SynthesizeConfig()
    timing: TimingConfig = TimingConfig()
    visemes: VisemesConfig = VisemesConfig()
    track: TrackConfig = TrackConfig()
    speaker: SpeakerConfig = SpeakerConfig()
    lipsync: LipsyncConfig = LipsyncConfig()
    mix: MixConfig = MixConfig()
    inspect: InspectConfig = InspectConfig()


def load(profile: str, overrides: dict[str, Any]) -> Settings:
    """Return the settings of a profile; ``overrides`` are the command line's, nested by section.

    Raises:
        InputError: an unknown profile, key or value, named.
    """
    if profile not in profiles():
        raise InputError(f"there is no profile {profile!r}; there are: {', '.join(profiles())}.")

    class ProfileSettings(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            files = [_CONFIGS / f"{profile}.yaml", _CONFIGS / "base.yaml"]
            return (
                init_settings,
                env_settings,
                *(YamlConfigSettingsSource(cls, yaml_file=file) for file in files),
            )

    try:
        found = ProfileSettings.model_validate(overrides)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"setting {place}: {first['msg']} (given: {first['input']!r}).") from error
    # Of the class that can be sent to another process.
    return Settings.model_construct(found.model_fields_set, **dict(found))
