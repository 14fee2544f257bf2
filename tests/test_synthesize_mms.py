"""MMS-TTS on a tiny VITS with random weights: its real loader, lengths, times and errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from language_packs import load_pack
from stages import models, sound
from stages.artifacts import (
    Cast,
    Diarization,
    Plan,
    PlannedLine,
    Script,
    ScriptLine,
    Separation,
    Turn,
    VoiceSettings,
)
from stages.errors import InputError, MissingEngineError
from stages.progress import silent
from stages.synthesize import MmsConfig, SynthesizeConfig, cast, check_speaks, load, read, speak
from stages.synthesize.casting import only_voice
from stages.synthesize.pitch import Pitch

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import VitsConfig, VitsModel, VitsTokenizer  # noqa: E402

from stages.synthesize.mms import MmsEngine  # noqa: E402

SIGNS = "k '-abcdefghijlmnopqrstuvwxyz"
TEXT = "Boa noite, papai. Como vai?"
PACK = load_pack("pt-BR")


def write(folder: Path, stochastic: bool = True, **tokenizer: bool) -> Path:
    folder.mkdir(exist_ok=True)
    vocabulary = {sign: number for number, sign in enumerate(SIGNS)} | {"<unk>": len(SIGNS)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    VitsTokenizer(
        str(folder / "vocab.json"), pad_token="k", unk_token="<unk>", phonemize=False, **tokenizer
    ).save_pretrained(folder)
    torch.manual_seed(1)
    config = VitsConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, ffn_dim=32,
        flow_size=32, spectrogram_bins=65, prior_encoder_num_flows=1, prior_encoder_num_wavenet_layers=1,
        posterior_encoder_num_wavenet_layers=1, upsample_initial_channel=32, duration_predictor_filter_channels=32,
        duration_predictor_num_flows=2, use_stochastic_duration_prediction=stochastic, sampling_rate=16_000,
    )  # fmt: skip
    model = VitsModel(config)
    with torch.no_grad():  # a letter lasts some frames, as in a trained model
        (model.duration_predictor.flows[0].translate if stochastic else model.duration_predictor.proj.bias).fill_(
            0.2 if stochastic else 1.0
        )
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("mms") / "por")


def config(model: Path | str) -> SynthesizeConfig:
    return SynthesizeConfig(engine="mms", mms=MmsConfig(models={"pt": str(model)}))


def engine(model: Path) -> MmsEngine:
    made = load(config(model), "pt-BR", PACK.g2p)
    assert isinstance(made, MmsEngine)
    return made


@pytest.mark.parametrize("speed", [1.0, 0.8, 1.3])
def test_a_line_lasts_as_long_as_was_said_before(model: Path, speed: float) -> None:
    speaker = engine(model)
    length = speaker.durations(TEXT, "mms", speed)
    spoken = speaker.speak(TEXT, "mms", speed)
    assert spoken.samples.dtype == np.float32 and np.isfinite(spoken.samples).all()
    assert len(spoken.samples) / 24 == pytest.approx(length.total_ms, abs=2)
    assert length.sounding_ms > 500


def test_durations_without_noise(tmp_path: Path) -> None:
    speaker = engine(write(tmp_path / "plain", stochastic=False))
    assert len(speaker.speak(TEXT, "mms").samples) / 24 == pytest.approx(speaker.durations(TEXT, "mms").total_ms, abs=2)


def test_phones_are_the_packs_and_lie_inside_the_sound(model: Path) -> None:
    spoken = engine(model).speak(TEXT, "mms")
    times = [time for phone in spoken.phones for time in (phone.start_ms, phone.end_ms)]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= len(spoken.samples) // 24
    assert "".join(phone.ipa for phone in spoken.phones).startswith("boænoɪt")


def test_phrases_end_where_the_text_has_punctuation(model: Path) -> None:
    length = engine(model).durations(TEXT, "mms")
    spoken = engine(model).speak(TEXT, "mms").phones
    closing = [spoken[end.phone].ipa for end in length.phrase_ends]
    assert closing == ["y", "ɪ"]
    assert all(0 < end.end_ms <= end.next_ms < length.sounding_ms for end in length.phrase_ends)


def test_a_speed_fills_a_time(model: Path) -> None:
    speaker = engine(model)
    wanted_ms = round(speaker.durations(TEXT, "mms").sounding_ms / 1.2)
    speed = speaker.speed_for(TEXT, "mms", wanted_ms)
    assert speaker.durations(TEXT, "mms", speed).sounding_ms == pytest.approx(wanted_ms, rel=0.06)


def test_the_same_text_gives_the_same_sound_and_takes_no_numbers_of_others(model: Path) -> None:
    speaker = engine(model)
    first, second = (each.speak(TEXT, "mms", 1.1).samples for each in (speaker, engine(model)))
    np.testing.assert_array_equal(first, second)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    speaker.speak("Bom dia.", "mms")
    assert torch.rand(1) == expected


def test_pitch_is_moved_and_length_is_kept(model: Path) -> None:
    from stages.synthesize import matching
    from stages.synthesize.mms import at_pitch

    times = np.arange(48_000) / 24_000
    voice = sum(np.sin(2 * np.pi * 120 * n * times) / n for n in range(1, 12)).astype(np.float32) * 0.1
    moved = at_pitch(voice, Pitch(gain=1.5))
    assert len(moved) == len(voice)
    f0_hz, _ = matching.clean_f0(moved.astype(np.float64))
    assert np.median(f0_hz[f0_hz > 0]) == pytest.approx(180, rel=0.02)


def test_text_without_letters(model: Path) -> None:
    speaker = engine(model)
    assert speaker.durations("...", "mms").total_ms == 0
    assert len(speaker.speak("...", "mms").samples) == 0


def test_a_line_that_cannot_be_spelt_is_listed_and_the_others_are_read(model: Path, tmp_path: Path) -> None:
    lines = tuple(
        ScriptLine(id=n, speaker="S1", start_ms=n * 1000, end_ms=n * 1000 + 900, source_text="x", text=text)
        for n, text in enumerate(("Boa noite.", "é ã", "Boa noite."), 1)
    )
    voice = VoiceSettings(
        speaker="S1", voice="mms", warp=1, f0_mean_log_hz=4.6, f0_std_log=0.2, similarity_unmatched=0,
        similarity_matched=0,
    )  # fmt: skip
    script = Script(source="en", target="pt-BR", route=("x",), lines=lines)
    made = read(script, Cast(voices=(voice,)), PACK, config(model), tmp_path, silent)
    assert [line.failure is None for line in made.lines] == [True, False, True]
    assert "has no letter" in (made.lines[1].failure or "")
    assert made.lines[0].said == "Boa noite."


def test_a_language_without_a_model(model: Path) -> None:
    with pytest.raises(MissingEngineError, match=r"synthesize\.mms\.models\.de is not set: .* its model for German"):
        check_speaks(config(model), "de")
    with pytest.raises(InputError, match="there is no model 'nowhere'"):
        load(config("nowhere"), "pt-BR", PACK.g2p)


def test_a_truncated_file(model: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "cut")
    (folder / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(MissingEngineError, match=r"cannot be read .* fetch the model again"):
        engine(folder).speak(TEXT, "mms")


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(MissingEngineError, match=r"no model\.safetensors \(pytorch_model\.bin: a pickle, .* not read"):
        engine(folder).speak(TEXT, "mms")


def test_a_model_of_phones_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "phones")
    told = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(told | {"phonemize": True}))
    with pytest.raises(MissingEngineError, match="is given phones, not letters"):
        engine(folder)


def test_too_little_memory_is_one_line(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speaker = engine(model)
    speaker.durations(TEXT, "mms")

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(VitsModel, "forward", full)
    with pytest.raises(MissingEngineError, match="mms: the memory does not suffice"):
        speaker.speak(TEXT, "mms")


def test_numbers_are_spelt_in_words(model: Path) -> None:
    pytest.importorskip("unicode_rbnf")
    speaker = engine(model)
    assert len(speaker._letters("Tenho 25.").letters) == len(speaker._letters("Tenho vinte e cinco.").letters)


def test_letters_that_the_model_lacks_are_flagged(model: Path) -> None:
    assert engine(model).speak("Você é bom.", "mms").flags == (
        "letters that the voice does not know were left out: é ê",
    )


def test_phones_are_spread_over_letters_where_espeak_does_not_read(model: Path) -> None:
    pytest.importorskip("epitran")
    how = load_pack("so").g2p
    assert how.engine == "epitran"
    settings = SynthesizeConfig(engine="mms", mms=MmsConfig(models={"so": str(model)}))
    speaker = load(settings, "so", how)
    spoken = speaker.speak("Subax wanaagsan, iska warran.", "mms")
    length = speaker.durations("Subax wanaagsan, iska warran.", "mms")
    times = [time for phone in spoken.phones for time in (phone.start_ms, phone.end_ms)]
    assert times == sorted(times) and times[-1] <= len(spoken.samples) / 24
    assert spoken.phones[-1].end_ms - spoken.phones[0].start_ms == length.sounding_ms
    assert length.lead_ms == spoken.phones[0].start_ms > 0


def test_a_speaker_is_cast_read_and_spoken(model: Path, tmp_path: Path) -> None:
    if models.missing(("ge2e-speaker-encoder",)):
        pytest.skip("the speaker encoder is not here")
    times = np.arange(4 * 48_000) / 48_000
    voice = sum(np.sin(2 * np.pi * 130 * n * times) / n for n in range(1, 15)) / 10
    voice *= 1 + np.sin(8 * np.pi * times)
    sound.write(tmp_path / "voice.wav", voice, 48_000)
    sound.write(tmp_path / "background.wav", np.zeros((len(voice), 2)), 48_000)
    np.savez(tmp_path / "embeddings.npz", S1=np.full(256, 1 / 16, np.float32))
    separation = Separation().at(tmp_path)
    diarization = Diarization(turns=(Turn(speaker="S1", start_ms=0, end_ms=4000),), speakers=("S1",)).at(tmp_path)
    line = ScriptLine(id=1, speaker="S1", start_ms=100, end_ms=3000, source_text="x", text=TEXT)
    script = Script(source="en", target="pt-BR", route=("x",), lines=(line,))
    settings = config(model).model_copy(update={"audition_characters": 20})
    made = cast(script, diarization, separation, PACK, settings, tmp_path, silent).at(tmp_path)
    (chosen,) = made.voices
    assert (chosen.kind, chosen.voice) == ("matched", "mms")
    assert (chosen.warp, chosen.similarity_matched) == (1.0, 0.0)  # random weights have no pitch to be matched by
    reading = read(script, made, PACK, settings, tmp_path, silent)
    plan = Plan(lines=(PlannedLine(id=1, start_ms=100, end_ms=100 + reading.lines[0].sounding_ms, rate=1.0),))
    spoken = speak(script, reading, plan, made, separation, diarization, settings, tmp_path, silent).at(tmp_path)
    assert spoken.engine == "mms" and spoken.rate_hz == 24_000
    if spoken.lines[0].is_dubbed:  # what random weights say may be no speech
        assert spoken.lines[0].start_ms == 100 and spoken.lines[0].phones


def test_the_one_voice_is_measured_on_what_it_reads() -> None:
    times = np.arange(48_000) / 24_000
    voiced = sum(np.sin(2 * np.pi * 130 * n * times) / n for n in range(1, 15)) / 10

    def embed(samples: np.ndarray) -> np.ndarray:
        assert len(samples) == 32_000
        return np.full(256, 1 / 16, np.float32)

    voices, is_measured = only_voice("mms", voiced, embed)
    assert is_measured and voices["mms"].sex == "male"
    assert np.exp(voices["mms"].f0.mean) == pytest.approx(130, rel=0.02)
    assert not only_voice("mms", np.zeros(24_000), embed)[1]
