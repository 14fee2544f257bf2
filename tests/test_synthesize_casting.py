import numpy as np
import pytest

from stages import models
from stages.synthesize import castable, casting, matching
from stages.synthesize.matching import RATE_HZ
from stages.synthesize.pitch import LogF0, Pitch
from stages.synthesize.voices import Voice, blend, clear, measured, shares

HIGH_HZ, LOW_HZ = 230.0, 95.0


def direction(*parts: float) -> np.ndarray:
    vector = np.zeros(256, np.float32)
    vector[: len(parts)] = parts
    return vector / np.linalg.norm(vector)


def voice(sex: str, embedding: np.ndarray, cer: float = 0.0) -> Voice:
    f0 = LogF0(float(np.log(HIGH_HZ if sex == "female" else LOW_HZ)), 0.2)
    return Voice("female" if sex == "female" else "male", f0, {"pt": cer}, embedding)


WOMEN = {f"w{at}": voice("female", direction(1, 0.1 * at)) for at in range(7)}
MEN = {f"m{at}": voice("male", direction(0, 0, 1, 0.1 * at)) for at in range(7)}


def test_shares_of_a_blend_add_up() -> None:
    assert shares("af_river") == {"af_river": 1.0}
    assert shares("a*0.25+b*0.75") == {"a": 0.25, "b": 0.75}
    thirds = shares(blend(["c", "a", "b"]))
    assert list(thirds) == ["a", "b", "c"] and sum(thirds.values()) == pytest.approx(1)
    assert blend(["a"]) == "a"


def test_what_was_measured_is_whole() -> None:
    voices = measured("kokoro")
    assert {file.name for file in models.catalogue()["kokoro-voices"].files} == {f"{name}.bin" for name in voices}
    assert len({frozenset(one.cer) for one in voices.values()}) == 1, "every voice is measured in the same languages"
    for name, one in voices.items():
        assert one.sex == ("female" if name[1] == "f" else "male")
        assert 60 < np.exp(one.f0.mean) < 350 and np.linalg.norm(one.embedding) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("tag", ["pt-BR", "fr", "de", "EN-us"])
def test_every_language_has_clear_voices_of_both_sexes(tag: str) -> None:
    voices = castable("kokoro", tag)
    assert {one.sex for one in voices.values()} == {"female", "male"}
    errors = [one.cer_in(tag.split("-")[0].lower()) for one in voices.values()]
    assert errors == sorted(errors) and errors[0] <= 0.02


def test_a_voice_that_slurs_is_not_cast() -> None:
    voices = {"best": voice("male", direction(1), 0.01), "as_good": voice("male", direction(1), 0.03)}
    voices |= {"slurred": voice("male", direction(1), 0.04), "her": voice("female", direction(1), 0.2)}
    assert list(clear(voices, "pt", 0.02)) == ["best", "as_good", "her"]
    assert list(clear(voices, "xx", 0.02)) == ["best", "as_good", "her"], "the mean stands for what was not measured"


@pytest.mark.parametrize(
    ("f0_hz", "like", "expected"),
    [(110, WOMEN, "male"), (220, MEN, "female"), (160, WOMEN, "female"), (170, MEN, "male")],
)
def test_pitch_says_the_sex_where_it_is_clear_and_likeness_elsewhere(f0_hz: float, like: dict, expected: str) -> None:
    speaker = next(iter(like.values())).embedding
    assert casting.sex_of(LogF0(np.log(f0_hz), 0.2), speaker, {**WOMEN, **MEN}) == expected


def test_every_voice_is_told_to_be_of_its_own_sex() -> None:
    """Each voice as the speaker, among the others; pitch is moved to where it does not decide."""
    voices = measured("kokoro")
    unclear = LogF0(float(np.log(165)), 0.2)
    wrong = [
        name
        for name, one in voices.items()
        if casting.sex_of(unclear, one.embedding, {other: voices[other] for other in voices if other != name})
        != one.sex
    ]
    assert len(wrong) <= 5, wrong


def test_the_shortlist_is_of_the_own_sex_and_the_most_alike_first() -> None:
    found = casting.shortlist(LogF0(np.log(220), 0.2), direction(1, 0.3), {**MEN, **WOMEN})
    assert found[0] == "w3" and len(found) == 5 and set(found) <= set(WOMEN)
    assert set(casting.shortlist(LogF0(np.log(220), 0.2), direction(1), MEN)) <= set(MEN)


def test_another_speakers_voice_is_passed_over_where_others_are_nearly_as_alike() -> None:
    f0, wanted = LogF0(np.log(220), 0.2), direction(1, 0.3)
    assert casting.shortlist(f0, wanted, WOMEN, frozenset({"w3"}))[0] != "w3"
    lonely = {"near": voice("female", direction(1)), "far": voice("female", direction(1, 1))}
    assert casting.shortlist(f0, direction(1), lonely, frozenset({"near"}))[0] == "near"
    assert casting.shortlist(f0, direction(1), lonely, frozenset({"near", "far"}))[0] == "near"


@pytest.fixture(scope="module")
def buzz() -> np.ndarray:
    """Two seconds of a sawtooth at 110-130 Hz."""
    time_s = np.arange(2 * RATE_HZ) / RATE_HZ
    phase = np.cumsum(120 + 10 * np.sin(2 * np.pi * 3 * time_s)) / RATE_HZ
    return (0.2 * (phase % 1 - 0.5)).astype(np.float32)


def cast(speaker: np.ndarray, matched: bool) -> tuple[casting.Likeness, list[str]]:
    """Among men who all sound like a buzz; the more voices a blend has, the more alike it is."""
    read: list[str] = []

    def read_aloud(name: str, pitch: Pitch) -> np.ndarray:
        read.append(name)
        return speaker * len(shares(name))

    def embed(samples: np.ndarray) -> np.ndarray:
        loudness = float(np.sqrt(np.mean(samples**2)))
        return direction(0, 0, 1, 10 * loudness)

    return casting.cast_speaker(speaker, casting.Auditions({**WOMEN, **MEN}, read_aloud), embed, matched), read


def test_blends_of_the_nearest_are_tried(buzz: np.ndarray) -> None:
    found, read = cast(buzz, matched=True)
    assert len({name for name in read if len(shares(name)) == 1}) == 5
    assert {len(shares(name)) for name in read} == {1, 2, 3, 4}
    assert all(name.startswith("m") for tried in read for name in shares(tried))
    assert found.matched >= found.unmatched
    assert found.matching.source_f0.mean < found.matching.target_f0.mean + 1


def test_unmatched_is_the_most_alike_voice_as_it_is(buzz: np.ndarray) -> None:
    found, read = cast(buzz, matched=False)
    assert read == [found.voice] and found.matching.warp == 1.0 and not found.matching.correction.any()
    assert found.matched == found.unmatched


def test_the_voices_own_pitch_is_what_was_heard(buzz: np.ndarray) -> None:
    """Stated 95 Hz, moved by towards() to 190: a voice that then is at 120 must be at 60 by itself."""
    auditions = casting.Auditions(MEN, lambda *_: buzz)
    _, own = auditions.at_pitch_of(LogF0(float(np.log(2 * LOW_HZ)), 0.2), "m0")
    assert np.exp(own.mean) == pytest.approx(60, rel=0.02)


def test_who_cannot_be_measured_gets_the_clearest_voice_as_it_is() -> None:
    found = casting.cast_speaker(
        np.zeros(RATE_HZ), casting.Auditions(MEN, lambda *_: np.zeros(0)), lambda samples: samples, True
    )
    assert (found.voice, found.matched, found.matching.pitch.power) == ("m0", 0.0, 1.0)
    assert matching.match(np.ones(9, np.float32), found.matching).tolist() == [1.0] * 9
