"""The trajectory of the mouth: what must be seen in every frame, at every frame rate."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from language_packs import PARAMETERS, load_pack
from stages.artifacts import Media, PersonalVisemes, Phone, PictureStream, Speech, SpokenLine
from stages.visemes import VisemesConfig, articulate
from stages.visemes.contacts import ContactRules, enforce
from stages.visemes.gestures import gestures_of
from stages.visemes.intensity import levels_db, with_intensity
from stages.visemes.trajectory import REST, Timing, blend

JAW, APERTURE, WIDTH, PROTRUSION, _, CLOSURE, LIP_TO_TEETH = range(7)
ALPHABET = [
    "p",
    "b",
    "m",
    "f",
    "v",
    "t",
    "s",
    "ʃ",
    "k",
    "l",
    "w",
    "a",
    "i",
    "u",
    "ɐ̃",
    "pf",
    "aɪ",
    "pː",
    "ɹ",
    "x",
]


def spoken(phones: list[str], start_ms: int = 1000, each_ms: int | list[int] = 80, line_id: int = 1) -> SpokenLine:
    lengths = each_ms if isinstance(each_ms, list) else [each_ms] * len(phones)
    edges = [start_ms, *(start_ms + np.cumsum(lengths)).tolist()]
    return SpokenLine(
        id=line_id, speaker="S1", sound="1.wav", sound_start_ms=start_ms, start_ms=start_ms, end_ms=edges[-1],
        rate=1.0, similarity=1.0,
        phones=tuple(Phone(ipa=p, start_ms=a, end_ms=b) for p, a, b in zip(phones, edges, edges[1:], strict=False)),
    )  # fmt: skip


def mouth(
    phones: str | list[str], fps: float = 100, language: str = "en", **timing: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return times (frames,), values (frames, 9) and speaking (frames,)."""
    gestures = gestures_of([spoken(list(phones), **timing)], load_pack(language).overrides)
    times_ms = np.arange(0, 4000, 1000 / fps)
    values, speaking = blend(gestures, times_ms, Timing())
    return times_ms, enforce(values, gestures, times_ms, ContactRules()), speaking


def at(times_ms: np.ndarray, values: np.ndarray, time_ms: float) -> np.ndarray:
    return values[np.argmin(np.abs(times_ms - time_ms))]


def test_lips_part_no_faster_than_lips_can():
    _, values, _ = mouth("papa", each_ms=60)
    steepest = np.abs(np.diff(values[:, APERTURE])).max() / 10
    assert 0.9 * 0.85 / 65 < steepest < 1.001 * 0.85 / 65
    assert (values[values[:, CLOSURE] == 1, APERTURE] == 0).all()


lines_of_phones = st.lists(st.tuples(st.sampled_from(ALPHABET), st.integers(20, 200)), min_size=1, max_size=15)
rates = st.sampled_from([12, 15, 24, 25, 30000 / 1001, 50, 60])


class TestProperties:
    @settings(deadline=None, max_examples=200)
    @given(lines_of_phones, rates, st.floats(0, 90))
    def test_every_closing_phone_closes_whatever_the_rate(self, line, fps, offset_ms):
        phones, lengths = zip(*line, strict=True)
        gestures = gestures_of([spoken(list(phones), 1000, list(lengths))], {})
        times_ms = offset_ms + np.arange(0, 5000, 1000 / fps)
        values = enforce(blend(gestures, times_ms, Timing())[0], gestures, times_ms, ContactRules())
        closed = (values[:, CLOSURE] == 1) & (values[:, APERTURE] == 0)
        for gesture in gestures:
            if gesture.articulation.contact == "closure":
                centre = (gesture.start_ms + gesture.end_ms) / 2
                reach = max(30.0, (gesture.end_ms - gesture.start_ms) / 2, 1000 / fps)
                assert closed[np.abs(times_ms - centre) <= reach].any()

    @settings(deadline=None, max_examples=100)
    @given(lines_of_phones, rates)
    def test_values_are_shares_and_no_frame_outside_speech_moves(self, line, fps):
        phones, lengths = zip(*line, strict=True)
        times_ms, values, speaking = mouth(list(phones), fps, each_ms=list(lengths))
        assert (values >= 0).all() and (values <= 1).all()
        window_ms = 120 + 0.6 * max(lengths) * len(lengths) + 50
        outside = (times_ms < 1000 - window_ms) | (times_ms > 1000 + sum(lengths) + 170)
        # The mouth is at rest wherever it is not said to speak, except in a frame that had to close.
        still = ~speaking & (values[:, CLOSURE] < 1) & (values[:, LIP_TO_TEETH] < 1)
        np.testing.assert_array_equal(values[still], np.tile(REST, (still.sum(), 1)))
        assert not speaking[outside].any()
        np.testing.assert_array_equal(values[outside], np.tile(REST, (outside.sum(), 1)))

    @settings(deadline=None, max_examples=100)
    @given(lines_of_phones, rates)
    def test_every_labiodental_touches_the_teeth(self, line, fps):
        phones, lengths = zip(*line, strict=True)
        gestures = gestures_of([spoken(list(phones), 1000, list(lengths))], {})
        times_ms = np.arange(0, 5000, 1000 / fps)
        values = enforce(blend(gestures, times_ms, Timing())[0], gestures, times_ms, ContactRules())
        for gesture in gestures:
            if gesture.articulation.contact == "labiodental":
                # At a low rate the frames around may all be taken by closures.
                centre, reach = (gesture.start_ms + gesture.end_ms) / 2, 3000 / fps + 100
                near = np.abs(times_ms - centre) <= reach
                touching = (values[near, LIP_TO_TEETH] == 1) & (values[near, APERTURE] <= 0.06)
                assert touching.any() or (values[near, CLOSURE] == 1).sum() > 1


class TestClosures:
    @pytest.mark.parametrize("fps", [24, 25, 30, 50, 60])
    def test_last_60_ms_and_two_frames(self, fps):
        times_ms, values, _ = mouth("apa", fps, each_ms=80)
        closed = values[:, CLOSURE] == 1
        assert closed.sum() >= max(2, round(0.05 * fps))
        assert np.ptp(times_ms[closed]) + 1000 / fps >= 60

    def test_are_one_frame_at_twelve_frames_a_second_and_the_vowels_stay_open(self):
        _, values, _ = mouth("apa", 12, each_ms=[150, 60, 150])
        assert 1 <= (values[:, CLOSURE] == 1).sum() <= 2
        assert values[:, APERTURE].max() > 0.4

    def test_of_a_long_consonant_last_longer(self):
        times_ms, short, _ = mouth(["a", "p", "a"], 100, "it", each_ms=[100, 160, 100])
        _, long, _ = mouth(["a", "pː", "a"], 100, "it", each_ms=[100, 160, 100])
        assert (long[:, CLOSURE] == 1).sum() > (short[:, CLOSURE] == 1).sum()
        assert (at(times_ms, long, 1250)[CLOSURE], at(times_ms, short, 1250)[CLOSURE] < 1) == (1, True)

    def test_hold_through_two_closing_sounds_in_a_row(self):
        times_ms, values, _ = mouth("amba", 100)
        closed = times_ms[values[:, CLOSURE] == 1]
        assert closed.min() <= 1090 and closed.max() >= 1210 and np.diff(closed).max() <= 10.001

    def test_spanish_approximant_comes_near_and_never_closes(self):
        times_ms, approximant, _ = mouth("loβo", 50, "es")
        _, stop, _ = mouth("lobo", 50, "es")
        assert (approximant[:, CLOSURE] < 1).all() and (stop[:, CLOSURE] == 1).any()
        inside = (times_ms > 1050) & (times_ms < 1300)
        assert 0 < approximant[inside, APERTURE].min() < 0.3

    def test_german_pf_closes_before_it_touches_the_teeth(self):
        times_ms, values, _ = mouth(["a", "pf", "a"], 50, "de", each_ms=[100, 160, 100])
        closed = times_ms[values[:, CLOSURE] == 1]
        touching = times_ms[values[:, LIP_TO_TEETH] == 1]
        assert closed.max() < touching.min()

    def test_after_the_picture_has_ended_change_nothing(self):
        gestures = gestures_of([spoken(["p"], 9000)], {})
        times_ms = np.arange(0, 4000, 40.0)
        values, _ = blend(gestures, times_ms, Timing())
        np.testing.assert_array_equal(enforce(values, gestures, times_ms, ContactRules()), values)


class TestCoarticulation:
    def test_rounding_begins_before_the_consonants_of_a_rounded_vowel(self):
        times_ms, values, _ = mouth("stu")
        assert at(times_ms, values, 1080)[PROTRUSION] > 0.2
        _, unrounded, _ = mouth("sti")
        assert at(times_ms, unrounded, 1080)[PROTRUSION] < 0.01

    def test_rounding_begins_earlier_through_more_consonants(self):
        def onset(phones: str) -> float:
            times_ms, values, _ = mouth(phones)
            vowel_ms = 1000 + 80 * phones.index("u")
            return vowel_ms - times_ms[np.flatnonzero(values[:, PROTRUSION] > 0.1)[0]]

        assert onset("tu") < onset("ktu") < onset("kstu")

    def test_rounding_waits_for_a_spread_vowel(self):
        times_ms, values, _ = mouth("ikstu", each_ms=60)
        assert at(times_ms, values, 1030)[PROTRUSION] < 0.05
        assert at(times_ms, values, 1030)[WIDTH] > 0.7

    def test_lips_go_their_way_through_sounds_of_the_tongue(self):
        times_ms, values, _ = mouth("uku")
        through = (times_ms >= 1020) & (times_ms <= 1200)
        assert values[through, PROTRUSION].min() > 0.8
        assert values[through, WIDTH].max() < 0.25

    def test_a_vowel_reaches_its_opening_and_a_consonant_takes_it_back(self):
        times_ms, values, _ = mouth("ata", each_ms=120)
        assert at(times_ms, values, 1040)[APERTURE] > 0.75
        assert at(times_ms, values, 1160)[APERTURE] < 0.6

    def test_fast_speech_has_shorter_movements(self):
        def rise(each_ms: int) -> float:
            times_ms, values, _ = mouth("aaaa", each_ms=each_ms)
            return 1000 - times_ms[np.flatnonzero(values[:, APERTURE] > 0.01)[0]]

        assert rise(40) < rise(80)

    def test_the_mouth_opens_before_the_sound_and_rests_after_it(self):
        times_ms, values, speaking = mouth("a", each_ms=200)
        assert 0.05 < at(times_ms, values, 960)[APERTURE] < 0.9
        np.testing.assert_array_equal(at(times_ms, values, 1400), REST)
        assert not at(times_ms, speaking, 850) and at(times_ms, speaking, 1100)

    def test_a_pause_inside_a_line_rests(self):
        before, after = spoken(["a"], 1000, 100), spoken(["a"], 1700, 100)
        gestures = gestures_of([before, after], {})
        times_ms = np.arange(0, 3000, 10.0)
        values, speaking = blend(gestures, times_ms, Timing())
        np.testing.assert_array_equal(at(times_ms, values, 1400), REST)
        assert not at(times_ms, speaking, 1400)


def media(folder: Path, times_ms: np.ndarray) -> Media:
    np.save(folder / "frame_times.npy", times_ms)
    picture = PictureStream(
        index=0, width_px=64, height_px=64, rotation_deg=0, fps=Fraction(25), is_variable_rate=True,
        frames=len(times_ms), codec="h264", end_ms=4000,
    )  # fmt: skip
    return Media(
        file_name="a.mp4", duration_ms=4000, picture=picture, sounds=(), sound_index=1, integrated_lufs=None
    ).at(folder)


PACK_ONLY = PersonalVisemes(speakers=())


def sounding(folder: Path, lines: tuple[SpokenLine, ...], language: str = "en") -> Speech:
    """Speech whose second half of every line is twice as loud as the first."""
    for line in lines:
        samples = 0.1 * np.sin(np.arange(24 * (line.end_ms - line.start_ms)) / 8)
        samples[len(samples) // 2 :] *= 2
        soundfile.write(folder / line.sound, samples, 24000)
    return Speech(language=language, engine="kokoro", rate_hz=24000, lines=lines).at(folder)


def test_louder_vowels_open_the_jaw_further(tmp_path: Path):
    line = spoken(list("patapata"), 1000, 100)
    speech = sounding(tmp_path, (line,))
    gestures = gestures_of([line], {})
    levels = levels_db(gestures, [line], speech)
    assert np.round(levels[4:] - levels[:4]).tolist() == [6.0] * 4
    jaw = [gesture.articulation.targets["jaw"] for gesture in with_intensity(gestures, levels)]
    flat = [gesture.articulation.targets["jaw"] for gesture in gestures]
    assert jaw[5] / flat[5] == pytest.approx(1.075, abs=0.01) and jaw[1] / flat[1] == pytest.approx(0.925, abs=0.01)
    assert jaw[0] == flat[0] and jaw[2] == flat[2]


class TestStage:
    def test_every_speaker_has_a_mouth_and_rests_while_the_other_speaks(self, tmp_path: Path):
        first = spoken(list("papa"), 500)
        second = spoken(list("fufu"), 2500, line_id=2).model_copy(update={"speaker": "S2"})
        speech = sounding(tmp_path, (first, second), "pt-BR")
        times_ms = np.sort(np.random.default_rng(1).uniform(0, 4000, 120))
        seen: list[float] = []
        trajectory = articulate(
            speech, media(tmp_path, times_ms), PACK_ONLY, load_pack("pt-BR"), VisemesConfig(), tmp_path, seen.append
        )
        assert trajectory.speakers == ("S1", "S2") and seen == [0.5, 1.0]
        assert [viseme.contact for viseme in trajectory.visemes] == [
            "closure",
            "",
            "closure",
            "",
            "labiodental",
            "",
            "labiodental",
            "",
        ]
        assert [v.viseme for v in trajectory.visemes[:2]] == ["PP", "aa"]
        with np.load(trajectory.at(tmp_path).file(trajectory.arrays)) as arrays:
            assert set(arrays) == {"S1", "S1.speaking", "S2", "S2.speaking"}
            assert arrays["S1"].shape == (120, len(PARAMETERS)) and arrays["S1"].dtype == np.float32
            late = times_ms > 2000
            np.testing.assert_array_equal(arrays["S1"][late], np.tile(REST.astype(np.float32), (late.sum(), 1)))
            assert not arrays["S1.speaking"][late].any() and arrays["S2.speaking"][late].any()

    def test_the_same_speech_gives_the_same_bytes(self, tmp_path: Path):
        speech = sounding(tmp_path, (spoken(list("pastu")),))
        clip = media(tmp_path, np.arange(0, 4000, 40.0))
        written = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            articulate(
                speech, clip, PACK_ONLY, load_pack("pt-BR"), VisemesConfig(), tmp_path / name, lambda share: None
            )
            written.append((tmp_path / name / "trajectory.npz").read_bytes())
        assert written[0] == written[1]

    def test_a_line_without_phones_leaves_the_mouth_at_rest(self, tmp_path: Path):
        speech = Speech(language="en", engine="kokoro", rate_hz=24000, lines=(spoken([]),)).at(tmp_path)
        clip = media(tmp_path, np.arange(0, 4000, 40.0))
        trajectory = articulate(speech, clip, PACK_ONLY, load_pack("en"), VisemesConfig(), tmp_path, lambda s: None)
        with np.load(tmp_path / trajectory.arrays) as arrays:
            np.testing.assert_array_equal(arrays["S1"], np.tile(REST.astype(np.float32), (100, 1)))
