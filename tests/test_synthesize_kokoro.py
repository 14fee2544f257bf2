from pathlib import Path

import numpy as np
import pytest

from language_packs import G2P, g2p
from stages import models
from stages.synthesize import kokoro_graph, matching
from stages.synthesize.kokoro import FRAME_SAMPLES, MAX_TOKENS, KokoroEngine, open_session
from stages.synthesize.pitch import Pitch

TEXT = "Boa noite, papai. Como vai a tia?"


@pytest.fixture(scope="module")
def engine() -> KokoroEngine:
    return KokoroEngine()


def test_the_derived_graphs_are_the_same_bytes_again(tmp_path: Path) -> None:
    folder = models.path("kokoro-82m")
    (tmp_path / "kokoro.onnx").symlink_to(folder / "kokoro.onnx")
    made = kokoro_graph.expose_durations(tmp_path)
    assert [path.name for path in made] == ["kokoro-timed.onnx", "kokoro-predicted.onnx"]
    for path in made:
        assert path.read_bytes() == (folder / path.name).read_bytes()
    assert [output.name for output in open_session(made[0]).get_outputs()] == ["audio", kokoro_graph.DURATIONS]


def test_sound_and_phones(engine: KokoroEngine) -> None:
    ipa = g2p.phonemize(TEXT, G2P(code="pt-br"))
    utterance = engine.speak(ipa, "jm_kumo")
    assert len(utterance.samples) == FRAME_SAMPLES * utterance.token_frames.sum()
    assert [phone.ipa for phone in utterance.phones] == g2p.segments(ipa)
    for one, other in zip(utterance.phones, utterance.phones[1:], strict=False):
        assert one.start_ms < one.end_ms <= other.start_ms
    assert np.array_equal(utterance.samples, engine.speak(ipa, "jm_kumo").samples)


def test_closures_are_quiet_and_vowels_are_not(engine: KokoroEngine) -> None:
    utterance = engine.speak(
        g2p.phonemize("O papai pediu a tapioca ao capitão, e a tia.", G2P(code="pt-br")), "jm_kumo"
    )

    def level(start_ms: int, end_ms: int) -> float:
        return float(np.sqrt(np.mean(utterance.samples[start_ms * 24 : end_ms * 24] ** 2)))

    stops = [level(phone.start_ms, phone.end_ms - 15) for phone in utterance.phones if phone.ipa in "ptk"]
    vowels = [level(phone.start_ms, phone.end_ms) for phone in utterance.phones if phone.ipa in "aeio"]
    assert len(stops) >= 6
    assert np.median(stops) < 0.25 * np.median(vowels)


@pytest.mark.parametrize("share", [0.7, 0.76, 0.82, 0.9, 1.0, 1.15])
@pytest.mark.parametrize("voice", ["jm_kumo", "am_echo*0.5000+am_puck*0.5000"])
def test_speed_for_a_length(engine: KokoroEngine, voice: str, share: float) -> None:
    ipa = g2p.phonemize("Estávamos todos indo direto para o céu.", G2P(code="pt-br"))
    wanted_ms = round(share * engine.durations(ipa, voice).sounding_ms)
    found_ms = engine.durations(ipa, voice, engine.speed_for(ipa, voice, wanted_ms)).sounding_ms
    assert 0.98 * wanted_ms <= found_ms <= 1.1 * wanted_ms


def test_durations_are_the_sounds(engine: KokoroEngine) -> None:
    ipa = g2p.phonemize(TEXT, G2P(code="pt-br"))
    length = engine.durations(ipa, "jf_alpha", 1.1)
    spoken = engine.speak(ipa, "jf_alpha", 1.1)
    assert length.total_ms * 24 == len(spoken.samples)
    assert length.lead_ms == spoken.phones[0].start_ms
    assert length.lead_ms + length.sounding_ms == spoken.phones[-1].end_ms
    (pause,) = length.phrase_ends[:1]
    assert length.lead_ms + pause.end_ms == spoken.phones[pause.phone].end_ms
    assert length.lead_ms + pause.next_ms == spoken.phones[pause.phone + 1].start_ms


@pytest.mark.parametrize("voice", ["jm_kumo", "af_jessica", "af_river*0.5+am_onyx*0.5"])
@pytest.mark.parametrize("speed", [0.85, 1.0, 1.25])
def test_phrases_begin_and_end_with_their_sound(engine: KokoroEngine, voice: str, speed: float) -> None:
    spoken = engine.speak(g2p.phonemize("Boa noite, papai.", G2P(code="pt-br")), voice, speed)
    level = np.abs(spoken.samples).reshape(-1, 120).max(axis=1)  # of every 5 ms
    loud_ms = 5 * np.flatnonzero(level > level.max() / 30)
    comma = next(index for index, phone in enumerate(spoken.phones) if phone.ipa == "p") - 1
    pause_ms = (spoken.phones[comma].end_ms + spoken.phones[comma + 1].start_ms) / 2
    assert spoken.phones[0].start_ms == pytest.approx(loud_ms[0], abs=70)
    assert spoken.phones[comma].end_ms == pytest.approx(loud_ms[loud_ms < pause_ms][-1], abs=70)
    assert spoken.phones[comma + 1].start_ms == pytest.approx(loud_ms[loud_ms > pause_ms][0], abs=70)
    assert spoken.phones[-1].end_ms == pytest.approx(loud_ms[-1], abs=70)


def test_phones_outside_the_vocabulary_are_spoken(engine: KokoroEngine) -> None:
    (part,) = engine.encode("ʑˈʉ ɫɭ ħʕɗ")
    assert part.phones == ("ʑ", "ʉ", "ɫ", "ɭ", "ħ", "ʕ", "ɗ")
    assert {token.phone for token in part.tokens} == {-1, 0, 1, 2, 3, 4, 5, 6}


def test_a_long_text_is_cut_at_punctuation(engine: KokoroEngine) -> None:
    ipa = g2p.phonemize("Uma frase de tamanho comum, que continua. " * 20, G2P(code="pt-br"))
    parts = engine.encode(ipa)
    assert len(parts) > 1
    assert all(len(part.tokens) <= MAX_TOKENS for part in parts)
    assert [phone for part in parts for phone in part.phones] == g2p.segments(ipa)
    assert all(len(part.phones) - 1 in part.closing for part in parts)


def test_nothing_to_say(engine: KokoroEngine) -> None:
    assert engine.durations("...", "jm_kumo").total_ms == 0
    assert len(engine.speak("...", "jm_kumo").samples) == 0


def test_the_pitch_moves_and_nothing_else(engine: KokoroEngine) -> None:
    ipa = g2p.phonemize("O menino comeu a maçã na mesa.", G2P(code="pt-br"))
    voice = "jm_kumo"
    own, moved = engine.speak(ipa, voice), engine.speak(ipa, voice, pitch=Pitch(power=1.0, gain=1.4))
    f0 = [matching.log_f0(matching.analyse(utterance.samples).f0_hz) for utterance in (own, moved)]
    assert f0[0] is not None and f0[1] is not None
    assert f0[1].mean - f0[0].mean == pytest.approx(np.log(1.4), abs=0.1)  # the decoder follows its F0 nearly
    assert np.array_equal(own.token_frames, moved.token_frames)


def test_a_blend_lies_between_its_voices(engine: KokoroEngine) -> None:
    ipa = g2p.phonemize("O menino comeu a maçã na mesa.", G2P(code="pt-br"))
    one, other = "bm_daniel", "jf_gongitsune"
    frames = [engine.durations(ipa, voice).total_ms for voice in (one, other, f"{one}*0.5+{other}*0.5")]
    assert min(frames[:2]) <= frames[2] < max(frames[:2])
    blended = engine.speak(ipa, f"{one}*0.5+{other}*0.5").samples
    assert np.array_equal(blended, engine.speak(ipa, f"{other}*0.5+{one}*0.5").samples)
    assert np.array_equal(engine.speak(ipa, one).samples, engine.speak(ipa, f"{one}*1").samples)
