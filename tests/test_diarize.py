from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages.artifacts import Diarization, Separation
from stages.diarize import DiarizeConfig, diarize
from stages.progress import silent

SAMPLE = Path(__file__).parents[1] / "data" / "samples" / "statement-en.mp4"
CLIPS = Path(__file__).parents[1].parent / "shared" / "clips"
FRAME_MS = 10


def sound(path: Path) -> np.ndarray:
    from faster_whisper.audio import decode_audio

    if not path.is_file():
        pytest.skip(f"{path.name} is not among the shared clips here")
    samples = decode_audio(str(path), sampling_rate=16_000)
    return samples / np.abs(samples).max() * 0.5


def run(folder: Path, samples: np.ndarray, config: DiarizeConfig | None = None) -> Diarization:
    soundfile.write(folder / "voice_16k.wav", samples, 16_000, subtype="PCM_16")
    return diarize(Separation().at(folder), config or DiarizeConfig(), folder, silent).at(folder)


def conversation() -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """Three people in seven turns: the sound, and (person, start, end) of every turn's clip in ms."""
    a, b, c = (sound(CLIPS / name) for name in ("talker-a.mp4", "talker-b.mp4", "speech-en-long.wav"))
    parts = [(0, a), (1, b), (2, c[:192_000]), (0, a[80_000:]), (2, c[320_000:432_000]), (1, b[:80_000])]
    parts.append((2, c[496_000:576_000]))
    ends_ms = np.cumsum([len(samples) // 16 for _, samples in parts]).tolist()
    starts_ms = [0, *ends_ms[:-1]]
    truth = [(who, start, end) for (who, _), start, end in zip(parts, starts_ms, ends_ms, strict=True)]
    return np.concatenate([samples for _, samples in parts]), truth


def test_a_conversation_of_three(tmp_path: Path) -> None:
    samples, truth = conversation()
    found = run(tmp_path, samples)
    assert found.speakers == ("S1", "S2", "S3")
    frames = truth[-1][2] // FRAME_MS
    people, speakers = np.full(frames, -1), np.full(frames, -1)
    for who, start_ms, end_ms in truth:
        people[start_ms // FRAME_MS : end_ms // FRAME_MS] = who
    for turn in found.turns:
        speakers[turn.start_ms // FRAME_MS : turn.end_ms // FRAME_MS] = int(turn.speaker[1:]) - 1
    # They appear in the order a, b, c, so the numbers agree without matching.
    heard = speakers >= 0
    assert (speakers[heard] != people[heard]).mean() < 0.03
    assert 0.6 < heard.mean() < 0.95


def test_embeddings_are_one_unit_vector_each(tmp_path: Path) -> None:
    samples, _ = conversation()
    found = run(tmp_path, samples)
    with np.load(found.file(found.embeddings)) as embeddings:
        assert set(embeddings.files) == set(found.speakers)
        vectors = np.stack([embeddings[speaker] for speaker in found.speakers])
    assert vectors.shape == (3, 256) and vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert (vectors @ vectors.T)[~np.eye(3, dtype=bool)].max() < 0.75


def test_the_number_of_speakers_can_be_given(tmp_path: Path) -> None:
    samples, _ = conversation()
    assert run(tmp_path, samples, DiarizeConfig(speakers=2)).speakers == ("S1", "S2")
    assert run(tmp_path, samples, DiarizeConfig(speakers=1)).speakers == ("S1",)


def test_change_without_a_pause(tmp_path: Path) -> None:
    """Hard cuts from one voice to another, in the middle of their speech."""
    statement, long = sound(SAMPLE), sound(CLIPS / "speech-en-long.wav")
    parts = [long[32_000:72_000], statement[33_600:59_200], long[480_000:544_000], statement[91_200:118_400]]
    found = run(tmp_path, np.concatenate(parts))
    changes = [(before, after) for before, after in pairwise(found.turns) if before.speaker != after.speaker]
    assert [after.speaker for _, after in changes] == ["S2", "S1", "S2"]
    for (before, after), truth_ms in zip(changes, (2500, 4100, 8100), strict=True):
        assert abs(after.start_ms - truth_ms) <= 700
        assert before.end_ms <= after.start_ms


def test_one_man_s_statement(tmp_path: Path) -> None:
    samples = sound(SAMPLE)
    found = run(tmp_path, samples)
    assert found.speakers == ("S1",)
    # "Today," begins at 1.03 s; the clip ends inside the last word.
    assert found.turns[0].start_ms == pytest.approx(1030, abs=80)
    assert found.turns[-1].end_ms == pytest.approx(len(samples) / 16, abs=40)
    assert all(before.end_ms < after.start_ms for before, after in pairwise(found.turns))


@pytest.mark.parametrize("kind", ["silence", "hiss", "music", "nothing"])
def test_without_speech_there_are_no_turns(tmp_path: Path, kind: str) -> None:
    times_s = np.arange(5 * 16_000) / 16_000
    samples = {
        "silence": np.zeros(len(times_s)),
        "hiss": np.random.default_rng(3).normal(size=len(times_s)) * 0.05,
        "music": 0.1 * sum(np.sin(2 * np.pi * 220 * ratio * times_s) for ratio in (1, 1.25, 1.5)),
        "nothing": np.zeros(0),
    }[kind]
    found = run(tmp_path, samples)
    assert found.turns == () and found.speakers == ()
    with np.load(found.file(found.embeddings)) as embeddings:
        assert embeddings.files == []


def test_the_same_sound_gives_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    results = []
    for folder in folders:
        folder.mkdir()
        results.append(run(folder, sound(SAMPLE)).model_dump_json())
    assert results[0] == results[1]
    assert (folders[0] / "embeddings.npz").read_bytes() == (folders[1] / "embeddings.npz").read_bytes()
