"""The room of a voice, and a dry voice in it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from conftest import SAMPLE
from made_clips import sound_of

from stages.artifacts import Room
from stages.mix.room import falls_db, matched_room, placed_in

RATE_HZ = 48_000


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return sound_of(SAMPLE, 0.0, 8.5)


@pytest.mark.parametrize("room", [Room(decay_s=0.3, level_db=-8), Room(decay_s=0.7, level_db=-12)])
def test_a_dry_voice_falls_like_one_in_the_room(speech: np.ndarray, room: Room) -> None:
    first, second = speech[: 4 * RATE_HZ], speech[4 * RATE_HZ :]
    original = placed_in(room, first, RATE_HZ)
    found = matched_room(original, RATE_HZ, second, RATE_HZ)
    assert found is not None
    wanted = falls_db(original, RATE_HZ)
    before = falls_db(second, RATE_HZ) - wanted
    after = falls_db(placed_in(found, second, RATE_HZ), RATE_HZ) - wanted
    assert np.sqrt(np.mean(after**2)) < 3 < np.sqrt(np.mean(before**2))


def test_a_voice_that_is_no_drier_stays_as_it_is(speech: np.ndarray) -> None:
    assert matched_room(speech, RATE_HZ, speech, RATE_HZ) is None
    wet = placed_in(Room(decay_s=0.5, level_db=-4), speech, RATE_HZ)
    assert matched_room(speech, RATE_HZ, wet, RATE_HZ) is None


def test_too_little_speech_tells_of_no_room(speech: np.ndarray) -> None:
    assert falls_db(speech[: RATE_HZ // 10], RATE_HZ) is None
    assert falls_db(np.zeros(5 * RATE_HZ), RATE_HZ) is None
    assert matched_room(np.zeros(5 * RATE_HZ), RATE_HZ, speech, RATE_HZ) is None


def test_a_longer_room_falls_more_slowly(speech: np.ndarray) -> None:
    falls = [
        falls_db(placed_in(Room(decay_s=decay_s, level_db=-4), speech, RATE_HZ), RATE_HZ)
        for decay_s in (0.15, 0.3, 0.5, 1.0)
    ]
    assert all((late[:4] > early[:4]).all() for early, late in itertools.pairwise(falls))


def test_the_direct_sound_keeps_its_place_and_the_level_stays(speech: np.ndarray) -> None:
    room = Room(decay_s=0.4, level_db=-8)
    wet = placed_in(room, speech, RATE_HZ)
    assert 10 * np.log10(np.mean(wet[: len(speech)] ** 2) / np.mean(speech**2)) == pytest.approx(0, abs=0.5)
    click = placed_in(room, np.r_[np.zeros(100), 1.0, np.zeros(100)].astype(np.float32), RATE_HZ)
    assert np.argmax(np.abs(click)) == 100
    late = click[100 + RATE_HZ // 1000 :].astype(np.float64)
    energy = np.cumsum(late[::-1] ** 2)[::-1]  # Schroeder's backward integration
    level_db = 10 * np.log10(energy / energy[0])
    first, last = (int(np.argmax(level_db < limit)) for limit in (-5, -35))
    assert 2 * (last - first) / RATE_HZ == pytest.approx(0.4, rel=0.1)
