"""Is a pack right? Its own statements, and what it makes of real text.

The goals are those of any language: every phone has a look, lips meet in 2-25 % of the phones (3.6 % in German, 2.2 %
in Basque, where p b m are rare; fewer or more mean that letters are lost or taken for other sounds), people utter 8-20
phones a second, no word of the text is lost, and none is spelt out.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from language_packs import PARAMETERS, Pack
from language_packs.derive import Articulation, articulations, unknown_signs
from language_packs.g2p import STRESS_MARKS, phonemize, pieces

CLOSING_SHARE = (0.02, 0.25)
PHONES_PER_SECOND = (8.0, 20.0)
PHONES_PER_CHARACTER = (0.4, 4.5)
"""Silent letters at the one end, Chinese characters at the other; a sign that is called by its name gives more."""
_IN_THE_IPA = "βθχɸ"
"""Letters of the IPA that Unicode calls Greek; all others are Latin."""
_READ = ("Lu", "Ll", "Lt", "Lo", "Nd", "Nl", "No")
"""Categories of signs that are said; of a repeat sign (Lm) alone there is nothing to say."""
_TONE_MARKS = ("Sk", "Nd", "No")
"""Categories of tone letters and of the figures that espeak-ng writes tones with."""


@dataclass(frozen=True)
class Figures:
    """What a pack makes of a text."""

    characters: int
    """Letters, figures and marks of the text, without spaces and punctuation."""
    phones: int
    covered: int
    """Phones that have a look: a label and targets, and some hold on the mouth."""
    nearest: tuple[str, ...]
    """Signs that are in no table and take their nearest one's look, most frequent first."""
    nearest_phones: int
    """How many phones have such a sign."""
    closing: int
    """Phones for which the lips meet."""
    seconds: float
    """Spoken length at the pack's rate, without pauses."""
    unread: tuple[str, ...]
    """Words that give no phone, and signs that came through the G2P as they were; each once, in order."""

    @property
    def coverage(self) -> float:
        """Share of the phones that have a look."""
        return self.covered / self.phones if self.phones else 0.0

    @property
    def closing_share(self) -> float:
        """Share of the phones for which the lips meet."""
        return self.closing / self.phones if self.phones else 0.0

    @property
    def phones_per_character(self) -> float:
        """How many phones a character of the text gives."""
        return self.phones / self.characters if self.characters else 0.0


def read(pack: Pack, paragraphs: Sequence[str]) -> Figures:
    """Run a pack's G2P over a text and look at every phone.

    Raises:
        ValueError: the G2P cannot read this text or has no such voice.
    """
    ipa = [phonemize(paragraph, pack.g2p) for paragraph in paragraphs]
    return judge(pack, paragraphs, ipa)


def judge(pack: Pack, paragraphs: Sequence[str], ipa: Sequence[str]) -> Figures:
    """Return the figures of paragraphs that were read as ``ipa``, one string each."""
    counts = Counter(phone for line in ipa for phone in phones_of(line))
    looks = {phone: articulations(phone, pack.overrides) for phone in counts}
    unknown = {phone: signs for phone in counts if (signs := unknown_signs(phone, pack.overrides))}
    nearest: Counter[str] = Counter()
    for phone, signs in unknown.items():
        nearest.update({sign: counts[phone] for sign in signs})
    phones = counts.total()
    return Figures(
        characters=sum(unicodedata.category(sign)[0] in "LNM" for paragraph in paragraphs for sign in paragraph),
        phones=phones,
        covered=sum(count for phone, count in counts.items() if is_covered(phone, looks[phone])),
        nearest=tuple(sign for sign, _ in nearest.most_common()),
        nearest_phones=sum(counts[phone] for phone in unknown),
        closing=sum(count for phone, count in counts.items() if closes(looks[phone])),
        seconds=phones / pack.phones_per_second,
        unread=_silent_words(pack, paragraphs) + _foreign_signs(ipa),
    )


def phones_of(ipa: str) -> list[str]:
    """Return the phones of an IPA string, stress and pauses left out."""
    return [piece.text for piece in pieces(ipa) if piece.is_phone]


def is_covered(phone: str, phases: Sequence[Articulation]) -> bool:
    """Return whether a phone is seen: it has a letter, and each of its phases a label, all targets and some hold."""
    has_letter = any(unicodedata.category(sign) in ("Ll", "Lu", "Lo") for sign in phone)
    complete = all(
        phase.viseme and set(phase.targets) == set(PARAMETERS) and max(phase.dominances.values()) > 0
        for phase in phases
    )
    return bool(phases) and has_letter and complete


def closes(phases: Sequence[Articulation]) -> bool:
    """Return whether the lips meet in one of a phone's phases."""
    return any(phase.contact == "closure" for phase in phases)


def mistakes(pack: Pack) -> tuple[str, ...]:
    """Return what a pack states that means nothing: keys and ``like`` of its overrides that are no IPA."""
    found = []
    for key, override in pack.overrides.items():
        if not _sounds_like_something(key):
            found.append(f"visemes.toml: key {key!r} is not a segment of the IPA")
        if override.like is not None and not _sounds_like_something(override.like):
            found.append(f"visemes.toml: {key}.like: {override.like!r} is not a segment of the IPA")
    return tuple(found)


def misses(figures: Figures, rate: float, closing_share: tuple[float, float] = CLOSING_SHARE) -> tuple[str, ...]:
    """Return which goals a pack misses, in words; ``rate`` in phones/s. Empty where all are met."""
    found = []
    if not figures.phones:
        found.append("no phones")
    elif figures.covered < figures.phones:
        found.append(f"{figures.phones - figures.covered} phones are not seen")
    low, high = closing_share
    if figures.phones and not low <= figures.closing_share <= high:
        found.append(f"closing share {figures.closing_share:.1%} is not {low:.0%}-{high:.0%}")
    slow, fast = PHONES_PER_SECOND
    if not slow <= rate <= fast:
        found.append(f"{rate:g} phones/s is not {slow:g}-{fast:g}")
    fewest, most = PHONES_PER_CHARACTER
    if figures.phones and not fewest <= figures.phones_per_character <= most:
        found.append(f"{figures.phones_per_character:.2f} phones per character is not {fewest:g}-{most:g}")
    if figures.unread:
        found.append(f"unread: {_some(figures.unread)}")
    return tuple(found)


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return " ".join(names[:most]) + more


def _sounds_like_something(segment: str) -> bool:
    is_phone = len(phones_of(segment)) > 0
    return is_phone and not unknown_signs(segment)


def _silent_words(pack: Pack, paragraphs: Sequence[str]) -> tuple[str, ...]:
    words = dict.fromkeys(word for paragraph in paragraphs for word in paragraph.split())
    return tuple(
        word
        for word in words
        if any(unicodedata.category(sign) in _READ for sign in word) and not phones_of(phonemize(word, pack.g2p))
    )


def _foreign_signs(ipa: Sequence[str]) -> tuple[str, ...]:
    """Return the signs of the IPA strings that are neither phones, stress, tones nor punctuation."""
    found: dict[str, None] = {}
    for line in ipa:
        before_is_phone = False
        for piece in pieces(line):
            sign = piece.text
            is_tone = before_is_phone and unicodedata.category(sign[0]) in _TONE_MARKS
            if piece.is_phone:
                found |= dict.fromkeys(letter for letter in sign if not _is_ipa(letter))
            elif not (is_tone or sign in STRESS_MARKS or sign.isspace() or unicodedata.category(sign)[0] == "P"):
                found[sign] = None
            before_is_phone = piece.is_phone or is_tone
    return tuple(found)


def _is_ipa(sign: str) -> bool:
    if unicodedata.category(sign) not in ("Ll", "Lu", "Lo"):
        return True  # a mark
    is_latin = unicodedata.name(sign, "").startswith("LATIN") and unicodedata.category(sign) != "Lu"
    return is_latin or sign in _IN_THE_IPA
