"""What a pack says: the schema of ``pack.toml``, ``visemes.toml`` and ``shorten.toml``, version 1.

docs/packs.md explains it for those who write packs.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

SCHEMA_VERSION: Literal[1] = 1

Parameter = Literal[
    "jaw",
    "aperture",
    "width",
    "protrusion",
    "compression",
    "closure",
    "lip_to_teeth",
    "teeth_together",
    "tongue_visible",
]
PARAMETERS: tuple[Parameter, ...] = get_args(Parameter)
"""The articulation basis, each 0-1; width .5 is the relaxed mouth, 0 the others' rest."""

Contact = Literal["", "closure", "labiodental"]


class PackError(ValueError):
    """A language pack cannot be found or does not say what it must; ``str()`` is one line."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SubtitleRules(_Frozen):
    """How text is set for a viewer to read it in time; defaults: Netflix Timed Text Style Guide.

    What a pack does not say is its script's, see :func:`language_packs.scripts.defaults`.
    """

    characters_per_second: float = Field(default=17.0, gt=0, allow_inf_nan=False)
    characters_per_line: int = Field(default=42, gt=0)
    lines: int = Field(default=2, gt=0)
    min_ms: int = Field(default=833, gt=0)
    """Shortest time a cue stays on the screen."""
    max_ms: int = Field(default=7000, gt=0)
    """Longest time a cue stays on the screen."""
    breaks: Literal["spaces", "characters"] = "spaces"
    """Where a line may break: at spaces, or, in a script without them between words, between any two characters."""
    no_break_after: tuple[str, ...] = ()
    """Words in lower case that belong to the next one (articles, prepositions); characters where ``breaks`` says so."""
    no_break_before: tuple[str, ...] = ()
    """Words that belong to the one before them (postpositions, particles), or characters."""
    font: str = "Noto Sans"
    """A font family that has all signs of the script: a hint to whoever shows the subtitles."""


class G2P(_Frozen):
    """How text becomes phones."""

    engine: Literal["espeak", "epitran", "g2p2"] = "espeak"
    code: str
    """A voice of espeak-ng (``pt-br``), a language of Epitran (``hau-Latn``) or of g2p2 (``th``)."""
    segmenter: str = ""
    """What finds the words where the script leaves no spaces, or reads characters: see :mod:`language_packs.g2p`."""
    respell: tuple[tuple[str, str], ...] = ()
    """What is written otherwise for the engine, e.g. letters that it does not know: (``я``, ``йа``); in any case."""
    corrections: tuple[tuple[str, str], ...] = ()
    """What the engine's IPA is corrected to, in order: (``oŋ``, ``oŋ͡m``)."""
    numbers: str = ""
    """The language whose number words (Unicode CLDR, else num2words) are used where the engine does not read digits."""


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)]
Segment = Annotated[str, Field(min_length=1, max_length=12)]


class Override(_Frozen):
    """How a sound looks in this language, where that differs from the derived articulation."""

    like: Segment | None = None
    """Take the whole articulation of this IPA segment first."""
    targets: dict[Parameter, Share] = {}
    dominances: dict[Parameter, Weight] = {}
    contact: Contact | None = None
    viseme: Annotated[str, Field(min_length=1, max_length=4)] | None = None


Visemes = Annotated[dict[Segment, Override], Field(max_length=1000)]
"""``visemes.toml``: overrides by IPA segment or single sound, see :func:`language_packs.derive.articulations`."""


class Pack(_Frozen):
    """One language: its ``pack.toml`` and ``visemes.toml`` over those that it inherits."""

    schema_version: Literal[1] = Field(default=SCHEMA_VERSION, alias="schema")
    tag: str
    """BCP-47."""
    name: str = Field(min_length=1, max_length=100)
    """In English."""
    direction: Literal["ltr", "rtl"]
    """Of the script."""
    g2p: G2P
    phones_per_second: float = Field(gt=0, le=30, allow_inf_nan=False)
    """Typical rate of read speech, pauses left out."""
    subtitles: SubtitleRules = SubtitleRules()
    overrides: dict[str, Override] = {}

    @property
    def digest(self) -> str:
        """SHA-256 of all that it says: what depends on a pack is made anew when the pack changes."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class PackFile(_Frozen):
    """``pack.toml``: what may stay unsaid is inherited."""

    schema_version: Literal[1] = Field(default=SCHEMA_VERSION, alias="schema")
    tag: str
    inherits: str | None = Field(default=None, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")
    """Tag of the pack that says the rest."""
    base: bool = False
    """It is there to be inherited from, and no language of its own."""
    name: str | None = None
    direction: str | None = None
    g2p: dict[str, Any] | None = None
    phones_per_second: float | None = None
    subtitles: dict[str, Any] | None = None


class ShorteningRule(_Frozen):
    """One way of saying the same in fewer words."""

    find: str
    """Regular expression (:mod:`re`), upper and lower case alike."""
    replace: str = ""
    """With ``\\1`` for a group."""
    sides: tuple[Literal["source", "target"], ...]
    """Whether it holds for what is to be translated out of the language, into it, or both."""

    @field_validator("find")
    @classmethod
    def _compiles(cls, find: str) -> str:
        try:
            re.compile(find)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return find


class ShorteningFile(_Frozen):
    """``shorten.toml``: what stays unsaid is inherited, rules are added to the inherited ones."""

    keep: tuple[str, ...] | None = None
    avoid: str | None = None
    rule: tuple[ShorteningRule, ...] = ()


class Shortening(_Frozen):
    """What ``shorten.toml`` says."""

    keep: tuple[str, ...] = ()
    """Regular expressions of words that are never lost: a shorter version has as many of each kind."""
    avoid: str = ""
    """Regular expression of what a shorter version may not bring in."""
    rules: tuple[ShorteningRule, ...] = ()
    """In the order of their application: those that are missed least come first."""


class Wordings(_Frozen):
    """How lines are shortened before and after they are translated."""

    source: Shortening = Shortening()
    target: Shortening = Shortening()

    @property
    def digest(self) -> str:
        """SHA-256 of all that they say."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
