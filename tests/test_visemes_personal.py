"""What is learnt of a speaker's own visemes."""

from __future__ import annotations

import numpy as np
import pytest

from language_packs import PARAMETERS, load_pack
from stages.artifacts import FaceTrack, Line, SpeakerFaces, SpeakerHabits, Transcript, VisemeHabit, Word
from stages.visemes.personal import Sight, learn, personal, source_gestures, with_habits
from stages.visemes.trajectory import Timing, blend

TEXT = "the good people of this old town have made a lot of very fine boats for us and they sing of them all day long"


def said(text: str, word_ms: int = 300) -> Line:
    words = tuple(
        Word(text=word, start_ms=n * word_ms, end_ms=(n + 1) * word_ms, probability=1.0)
        for n, word in enumerate(text.split())
    )
    return Line(id=1, speaker="S1", start_ms=0, end_ms=words[-1].end_ms, text=text, words=words)


def heard(rounds: int):
    return source_gestures([said(" ".join([TEXT] * rounds))], load_pack("en"))


def habits(**offsets: dict[str, float]) -> SpeakerHabits:
    visemes = tuple(VisemeHabit(viseme=name, phones=9, offsets=each) for name, each in offsets.items())
    return SpeakerHabits(speaker="S1", visemes=visemes)


def seen(gestures, own: SpeakerHabits, noise: float = 0.0) -> Sight:
    times_ms = np.arange(0.0, gestures[-1].end_ms, 40.0)
    values, _ = blend(with_habits(gestures, own), times_ms, Timing())
    values = values + noise * np.random.default_rng(1).standard_normal(values.shape)
    return Sight(times_ms, {name: values[:, PARAMETERS.index(name)] for name in ("aperture", "width", "jaw")})


def total(learnt, viseme: str, kind: str, parameter: str) -> float:
    known = {habit.viseme: habit.offsets for habit in learnt}
    return known[viseme][parameter] + known[kind][parameter]


def test_what_a_speaker_does_differently_is_found() -> None:
    gestures = heard(8)
    own = habits(consonant={"aperture": 0.15}, SS={"width": 0.12}, aa={"jaw": -0.1})
    learnt = learn(gestures, seen(gestures, own, noise=0.05), Timing())
    assert total(learnt, "nn", "consonant", "aperture") == pytest.approx(0.15, abs=0.04)
    assert total(learnt, "SS", "consonant", "width") == pytest.approx(0.12, abs=0.05)
    assert total(learnt, "aa", "vowel", "jaw") == pytest.approx(-0.1, abs=0.05)
    assert total(learnt, "E", "vowel", "aperture") == pytest.approx(0.0, abs=0.04)


def test_little_speech_leaves_the_pack_mostly_as_it_is() -> None:
    own = habits(consonant={"aperture": 0.15})
    gestures = heard(1)[:12]
    few = learn(gestures, seen(gestures, own), Timing())
    assert 0.01 < total(few, "DD", "consonant", "aperture") < 0.1


def test_contacts_keep_their_exact_aperture() -> None:
    gestures = heard(1)
    own = habits(consonant={"aperture": 0.2, "width": 0.1}, PP={"aperture": 0.2, "jaw": 0.2})
    for before, after in zip(gestures, with_habits(gestures, own), strict=True):
        opened = after.articulation.targets["aperture"] - before.articulation.targets["aperture"]
        is_touching = bool(before.articulation.contact)
        assert opened == (0 if is_touching or before.articulation.is_vowel else pytest.approx(0.2, abs=1e-6))
        assert not is_touching or after.articulation.targets["jaw"] == before.articulation.targets["jaw"]
        assert min(after.articulation.targets.values()) >= 0 and max(after.articulation.targets.values()) <= 1


def test_without_a_pack_for_the_source_nothing_is_learnt_and_it_says_so() -> None:
    transcript = Transcript(language="tlh", language_probability=1.0, lines=(said("nuqneH"),), unprocessed=())
    nothing = personal(None, FaceTrack.model_construct(), SpeakerFaces(turns=()), transcript, None, Timing())  # type: ignore[arg-type]
    assert nothing.speakers[0].visemes == () and "no language pack for tlh" in nothing.speakers[0].reason


def test_phones_share_the_time_of_their_word() -> None:
    gestures = source_gestures([said("map sea")], load_pack("en"))
    assert [gesture.articulation.viseme for gesture in gestures][:3] == ["PP", "aa", "PP"]
    assert gestures[0].start_ms == 0 and gestures[2].end_ms == 300 and gestures[-1].end_ms == 600
