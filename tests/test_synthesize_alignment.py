"""espeak-ng's renderings with exact times, and phone times found by aligning with them."""

from __future__ import annotations

import numpy as np
import pytest

from language_packs import g2p, load_pack
from language_packs.schema import G2P
from stages import models
from stages.artifacts import Phone
from stages.errors import MissingEngineError
from stages.synthesize.alignment import aligned
from stages.synthesize.rendering import Rendering, phones_of, render
from stages.synthesize.stretching import at_tempo

TEXTS = {
    "en": "Good morning, my name is Joe. I like the churches.",
    "pt-BR": "Boa noite, papai. Como vai você?",
    "fr": "Je ne sais pas, mais c'est très bien.",
    "de": "Ich möchte nicht jeden Tag arbeiten, Frau Müller.",
    "ja": "おはようございます。元気ですか。",
    "zh": "你好，很高兴认识你。",
    "ar": "صباح الخير يا صديقي.",
}


def rendering(tag: str) -> tuple[str, Rendering]:
    how = load_pack(tag).g2p
    if how.segmenter in ("chinese", "japanese", "arabic"):
        pytest.importorskip("pypinyin")
        pytest.importorskip("fugashi")
        pytest.importorskip("text2tashkeel")
    ipa = g2p.phonemize(TEXTS[tag], how)
    return ipa, render(TEXTS[tag], ipa, how)


def in_order(phones: tuple[Phone, ...], latest_ms: float) -> bool:
    times = [time for phone in phones for time in (phone.start_ms, phone.end_ms)]
    return times == sorted(times) and times[0] >= 0 and times[-1] <= latest_ms


@pytest.mark.parametrize("tag", TEXTS)
def test_a_rendering_has_the_packs_phones_at_its_times(tag: str) -> None:
    ipa, said = rendering(tag)
    assert [phone.ipa for phone in said.phones] == phones_of(ipa)
    assert in_order(said.phones, len(said.samples) * 1000 / said.rate_hz)
    level = np.array([
        np.abs(said.samples[phone.start_ms * said.rate_hz // 1000 : phone.end_ms * said.rate_hz // 1000 + 1]).max()
        for phone in said.phones
        if phone.ipa[0] in "aeiouɔɛɐ"
    ])  # fmt: skip
    assert (level > 0.02).mean() > 0.9


def test_a_phrase_ends_in_a_pause() -> None:
    _, said = rendering("en")
    gaps = [after.start_ms - before.end_ms for before, after in zip(said.phones, said.phones[1:], strict=False)]
    assert [index for index, gap in enumerate(gaps) if gap > 40] == [len(phones_of("ɡˈʊd mˈɔːɹnɪŋ")) - 1,
        len(phones_of("ɡˈʊd mˈɔːɹnɪŋ maɪ nˈeɪm ɪz dʒˈoʊ")) - 1]  # fmt: skip


def test_nothing_to_say_and_nobody_to_say_it() -> None:
    assert render("...", "", G2P(code="en-us")).sounding_ms == 0
    with pytest.raises(MissingEngineError, match="cannot be timed in a language that is read by epitran"):
        render("x", "ˈa", G2P(engine="epitran", code="hau-Latn"))
    with pytest.raises(MissingEngineError, match="no voice 'xx-none'"):
        render("x", "ˈa", G2P(code="xx-none"))


@pytest.mark.parametrize("tempo", [0.85, 1.0, 1.25])
def test_the_same_voice_at_another_tempo(tempo: float) -> None:
    _, said = rendering("en")
    samples = at_tempo(said.samples, tempo, said.rate_hz)
    found = aligned(samples, said.rate_hz, said)
    errors = [abs(mine.start_ms - own.start_ms / tempo) for mine, own in zip(found, said.phones, strict=True)]
    assert np.median(errors) <= 10 and np.percentile(errors, 95) <= 40


def test_silence_around_speech_does_not_move_it() -> None:
    _, said = rendering("pt-BR")
    late = np.concatenate([np.zeros(said.rate_hz), said.samples, np.zeros(2 * said.rate_hz)]).astype(np.float32)
    found = aligned(late, said.rate_hz, said)
    errors = [mine.start_ms - own.start_ms - 1000 for mine, own in zip(found, said.phones, strict=True)]
    assert np.abs(errors).max() <= 15


@pytest.mark.parametrize("seconds", [0.06, 0.2, 0.7, 3.0, 20.0])
def test_noise_of_any_length_gets_every_phone_in_order(seconds: float) -> None:
    _, said = rendering("pt-BR")
    noise = np.random.default_rng(0).normal(0, 0.1, int(seconds * 24_000)).astype(np.float32)
    found = aligned(noise, 24_000, said)
    assert [phone.ipa for phone in found] == [phone.ipa for phone in said.phones]
    assert in_order(found, seconds * 1000)


def test_silence_has_no_phones() -> None:
    _, said = rendering("pt-BR")
    assert aligned(np.zeros(24_000, np.float32), 24_000, said) == ()
    assert aligned(np.zeros(0, np.float32), 24_000, said) == ()


def test_a_neural_voice_is_timed_to_a_frame_or_two_of_video() -> None:
    if models.missing(("kokoro-82m", "kokoro-voices")):
        pytest.skip("Kokoro is not here")
    from stages.synthesize.kokoro import RATE_HZ, KokoroEngine

    ipa, said = rendering("pt-BR")
    spoken = KokoroEngine().speak(ipa, "af_heart")
    found = aligned(spoken.samples, RATE_HZ, said)
    errors = [abs(mine.start_ms - true.start_ms) for mine, true in zip(found, spoken.phones, strict=True)]
    assert np.median(errors) <= 40
