import numpy as np
import pytest

from stages.artifacts import AddedPause, Phone
from stages.synthesize.kokoro import KokoroEngine, Utterance
from stages.synthesize.pauses import added_ms, with_pauses

IPA = "bˈoæ nˈoɪtʃy, papˈaɪ, kˈomu vˈaɪ?"


def utterance() -> Utterance:
    """Two tones of 400 ms with 200 ms between."""
    tone = 0.3 * np.sin(np.arange(24 * 400) * 0.1).astype(np.float32)
    phones = (Phone(ipa="a", start_ms=0, end_ms=400), Phone(ipa="o", start_ms=600, end_ms=1000))
    return Utterance(np.concatenate([tone, np.zeros(24 * 200, np.float32), tone]), phones, np.array([40]))


@pytest.mark.parametrize("added", [300, -100])
def test_the_pause_gets_longer_or_shorter_and_the_phones_follow(added: int) -> None:
    before = utterance()
    after = with_pauses(before, (AddedPause(after_phone=0, added_ms=added),))
    assert len(after.samples) == len(before.samples) + 24 * added
    assert [(p.start_ms, p.end_ms) for p in after.phones] == [(0, 400), (600 + added, 1000 + added)]
    loud = np.flatnonzero(np.abs(after.samples) > 0.01)
    assert abs(loud[loud > 24 * 450][0] / 24 - (600 + added)) <= 1


def test_no_more_is_left_out_than_the_pause_has() -> None:
    after = with_pauses(utterance(), (AddedPause(after_phone=0, added_ms=-900),))
    assert [(p.start_ms, p.end_ms) for p in after.phones] == [(0, 400), (460, 860)]


def test_without_pauses_nothing_is_changed() -> None:
    before = utterance()
    assert with_pauses(before, ()) is before and added_ms(()) == 0


def test_a_line_pauses_at_its_commas_without_a_click() -> None:
    engine = KokoroEngine()
    ends = engine.durations(IPA, "jm_kumo").phrase_ends
    assert len(ends) == 2
    spoken = engine.speak(IPA, "jm_kumo")
    for end in ends:
        assert abs(spoken.phones[end.phone].end_ms - spoken.phones[0].start_ms - end.end_ms) <= 150
        assert abs(spoken.phones[end.phone + 1].start_ms - spoken.phones[0].start_ms - end.next_ms) <= 100
    paused = with_pauses(spoken, tuple(AddedPause(after_phone=end.phone, added_ms=400) for end in ends))
    assert len(paused.samples) == len(spoken.samples) + 2 * 24 * 400
    assert np.abs(np.diff(paused.samples)).max() <= np.abs(np.diff(spoken.samples)).max()
    for end in ends:
        first, last = (24 * t for t in (paused.phones[end.phone].end_ms, paused.phones[end.phone + 1].start_ms))
        assert (paused.samples[first:last] == 0).sum() >= 24 * 400
