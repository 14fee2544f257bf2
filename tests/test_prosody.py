"""How lines of the source are said, and how their dubs follow: on made voices whose pitch and level are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import sound
from stages.artifacts import ScriptLine
from stages.synthesize import prosody, speaking
from stages.synthesize.matching import as_it_is
from stages.synthesize.pitch import STEP_MS, UNCHANGED, LinePitch, LogF0, Pitch, lifted, spread, voiced
from stages.synthesize.prosody import Habits

RATE_HZ = sound.SAMPLE_RATE_HZ
VOICE = LogF0(float(np.log(120)), 0.15)
SEMITONE = np.log(2) / 12


def sung(f0_hz: np.ndarray, amplitude: float | np.ndarray = 0.1, rate_hz: int = RATE_HZ) -> np.ndarray:
    """A buzz with the F0 given per sample, harmonics falling by 1/n."""
    phase = 2 * np.pi * np.cumsum(f0_hz) / rate_hz
    return (amplitude * sum(np.sin(n * phase) / n for n in range(1, 25))).astype(np.float32)


def melody(seconds: float, hz: float, swing_st: float = 2.0, rise_st: float = 0.0) -> np.ndarray:
    """F0 per sample: swinging around ``hz`` three times a second; the last 300 ms rise from its middle."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    semitones = swing_st * np.sin(2 * np.pi * 3 * time_s)
    if rise_st:
        ending = time_s > seconds - 0.3
        semitones[ending] = rise_st * (time_s[ending] - seconds + 0.3) / 0.3
    return hz * 2 ** (semitones / 12)


def habits(folder: Path, lines: list[tuple[np.ndarray, str, str]], speakers: str | None = None):
    """Habits of lines of (samples, source text, text), half a second between them."""
    pause, parts, script, at_ms = np.zeros(RATE_HZ // 2, np.float32), [], [], 0
    for number, (samples, source, text) in enumerate(lines):
        length_ms = len(samples) * 1000 // RATE_HZ
        script.append(
            ScriptLine(
                id=number, speaker="S1" if speakers is None else speakers[number], start_ms=at_ms,
                end_ms=at_ms + length_ms, source_text=source, text=text,
            )
        )  # fmt: skip
        parts += [samples, pause]
        at_ms += length_ms + 500
    sound.write(folder / "voice.wav", np.concatenate(parts), RATE_HZ)
    found = Habits(folder / "voice.wav", script)
    return found, [found.prosody(line, "en", "pt-BR") for line in script], script


PLAIN = ("a", "b")


def test_a_higher_a_livelier_and_a_louder_line_are_known(tmp_path: Path) -> None:
    usual = [(sung(melody(3, 120)), *PLAIN) for _ in range(4)]
    special = [
        (sung(melody(3, 120 * 2 ** (3 / 12))), *PLAIN),
        (sung(melody(3, 120, swing_st=3.0)), *PLAIN),
        (sung(melody(3, 120), 0.2), *PLAIN),
    ]
    _, found, _ = habits(tmp_path, usual + special)
    assert None not in found
    base = np.median([each.f0_shift_st for each in found[:4]])
    assert found[4].f0_shift_st - base == pytest.approx(3 * 3 / 3.35, abs=0.3)
    assert 1.25 < found[5].f0_range_ratio / found[0].f0_range_ratio <= 1.5
    assert found[6].level_db == pytest.approx(6.0, abs=0.3)
    for plain in found[:4]:
        assert plain.level_db == pytest.approx(0, abs=0.3) and plain.rise_st is None


def test_a_short_line_says_less_and_nothing_is_beyond_its_bounds(tmp_path: Path) -> None:
    usual = [(sung(melody(3, 120)), *PLAIN) for _ in range(6)]
    short, long = sung(melody(0.4, 151)), sung(melody(3, 151))
    _, found, _ = habits(tmp_path, [*usual, (short, *PLAIN), (long, *PLAIN), (sung(melody(3, 240, 6.0)), *PLAIN)])
    assert 0 < found[6].f0_shift_st < 0.75 * found[7].f0_shift_st
    assert found[8].f0_shift_st == 5.0 and found[8].f0_range_ratio == 1.5


def test_every_speaker_has_their_own_habit(tmp_path: Path) -> None:
    lines = [(sung(melody(2, hz), amplitude), *PLAIN) for hz, amplitude in ((110, 0.1), (220, 0.02))] * 3
    _, found, _ = habits(tmp_path, lines, "ABABAB")
    assert all(abs(each.f0_shift_st) < 0.2 and abs(each.level_db) < 0.2 for each in found)


def test_noise_and_silence_have_no_prosody(tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE_HZ).astype(np.float32)
    measure, found, script = habits(
        tmp_path, [(noise, *PLAIN), (np.zeros(2 * RATE_HZ, np.float32), *PLAIN), (sung(melody(2, 120)), *PLAIN)]
    )
    assert found[:2] == [None, None] and found[2] is not None
    assert -60 < measure.level_dbfs(script[1]) < 0  # the speaker's usual level, not that of silence


@pytest.mark.parametrize(
    ("source", "text", "is_question"),
    [("Really?", "Sério?", True), ("Really?", "Sério.", False), ("Really.", "Sério?", False), ("R?”", "S?»", True)],
)
def test_a_rise_counts_where_both_texts_ask(tmp_path: Path, source: str, text: str, is_question: bool) -> None:
    _, found, _ = habits(tmp_path, [(sung(melody(2, 120, rise_st=6.0)), source, text)])
    assert (found[0].rise_st is not None) == is_question
    if is_question:
        assert 4.0 < found[0].rise_st < 8.5


def test_a_falling_question_does_not_rise(tmp_path: Path) -> None:
    _, found, _ = habits(tmp_path, [(sung(melody(2, 120, swing_st=0.5, rise_st=-5.0)), "Where?", "Onde?")])
    assert found[0].rise_st < 1.0


@pytest.mark.parametrize(
    ("text", "tag", "asking"),
    [
        ("É?", "pt", True), ("Ποιος;", "el", True), ("a;", "en", False), ("كيف؟", "ar", True), ("什么？", "zh", True),
        ("« Oui ? »", "fr", True), ("Yes.", "en", False), ("", "en", False), ("What?!", "en", True),
    ],
)  # fmt: skip
def test_question_marks(text: str, tag: str, asking: bool) -> None:
    assert prosody.asks(text, tag) == asking


def test_octave_errors_are_not_believed() -> None:
    curve = np.full(200, 120.0)
    curve[50:54] = 240.0
    curve[120:125] = 60.0
    assert (prosody.believed(curve)[50:54] == 0).all() and (prosody.believed(curve)[120:125] == 0).all()
    assert (prosody.believed(curve)[:50] == 120).all()


def falling(frames: int = 160, hz: float = 120.0) -> np.ndarray:
    """A predicted curve as Kokoro's: silence, voice with a dip, a fall at the end, silence."""
    curve = np.zeros(frames)
    voice = slice(20, frames - 40)
    count = frames - 60
    curve[voice] = hz * 2 ** (
        (2 * np.sin(np.arange(count) / 7) - 6 * np.clip(np.arange(count) - count + 25, 0, 25) / 25) / 12
    )
    curve[60:64] = 0
    return curve


def test_a_line_gets_the_mean_and_the_spread_it_is_given() -> None:
    for shift, ratio in ((0.0, 1.0), (3 * SEMITONE, 1.0), (-2 * SEMITONE, 1.3)):
        target = LogF0(VOICE.mean + shift, VOICE.std * ratio)
        moved = LinePitch(target, VOICE).moved(falling())
        found = spread(np.log(moved[voiced(moved)]))
        assert found.mean == pytest.approx(target.mean, abs=0.3 * SEMITONE)
        assert found.std == pytest.approx(target.std, rel=0.25)


def test_a_question_ends_in_the_rise_of_its_source() -> None:
    curve, step = falling(), STEP_MS
    assert prosody.rise_st(np.where(voiced(curve), curve, 0), step) < 1
    last = np.flatnonzero(voiced(curve))[-1]
    for rise in (4.0, 6.0, 20.0):
        found = prosody.rise_st(lifted(curve, rise)[: last + 1], step)
        assert (lifted(curve, rise)[last : last + 16] == lifted(curve, rise)[last]).all()  # no fall into creak
        assert found == pytest.approx(min(rise, 7.0), abs=1.5)
    assert np.array_equal(lifted(curve, 1.0), curve) and np.array_equal(lifted(curve, None), curve)
    assert np.array_equal(lifted(curve, 5.0)[:60], curve[:60])


@given(
    st.lists(st.floats(0, 600, width=32), min_size=0, max_size=80),
    st.floats(4.0, 6.0),
    st.floats(0.01, 0.6),
    st.one_of(st.none(), st.floats(-20, 30)),
)
def test_no_curve_breaks_the_change(curve: list[float], mean: float, std: float, rise: float | None) -> None:
    f0_hz = np.array(curve)
    moved = LinePitch(LogF0(mean, std), VOICE, rise).moved(f0_hz)
    assert moved.shape == f0_hz.shape and np.isfinite(moved).all() and (moved >= 0).all()


def test_unchanged_is_unchanged() -> None:
    assert np.allclose(UNCHANGED.moved(falling()), falling())
    assert np.allclose(Pitch(1.0, 1.5).moved(falling())[30:50], 1.5 * falling()[30:50])


def test_a_soft_end_is_followed_in_slow_changes() -> None:
    rate_hz = 24_000
    steady = 0.1 * np.random.default_rng(1).standard_normal(3 * rate_hz).astype(np.float32)
    followed = prosody.follow_contour(steady, rate_hz, (3.0, 0.0, -3.0))
    high, middle, low = prosody.contour_db(followed, rate_hz) or (0, 0, 0)
    assert high == pytest.approx(2.0, abs=0.7) and low == pytest.approx(-2.0, abs=0.7) and abs(middle) < 0.5
    gain = followed[np.abs(steady) > 0.01] / steady[np.abs(steady) > 0.01]
    assert np.abs(np.diff(gain)).max() < 1e-3
    assert np.array_equal(prosody.follow_contour(steady, rate_hz, None), steady)
    assert np.array_equal(prosody.follow_contour(steady, rate_hz, (0.5, 0.0, -0.5)), steady)
    wild = prosody.follow_contour(steady, rate_hz, (30.0, 0.0, -30.0))
    assert np.abs(20 * np.log10(np.abs(wild[1000] / steady[1000]))) <= 5.01


def test_a_short_line_has_no_contour() -> None:
    assert prosody.contour_db(np.ones(24_000, np.float32), 24_000) is None
    assert prosody.contour_db(np.zeros(90_000, np.float32), 24_000) is None


def test_the_part_of_a_line_lies_beside_its_speakers_pitch() -> None:
    from stages.artifacts import Prosody

    matched = as_it_is(VOICE)
    assert speaking.Part("v", matched, -20.0).pitch == matched.pitch
    manner = Prosody(f0_shift_st=3.0, f0_range_ratio=1.2, level_db=0.0, rise_st=4.0)
    pitch = speaking.Part("v", matched, -20.0, manner).pitch
    assert isinstance(pitch, LinePitch) and pitch.rise_st == 4.0
    assert pitch.target.mean == pytest.approx(VOICE.mean + 3 * SEMITONE) and pitch.target.std == pytest.approx(0.18)
