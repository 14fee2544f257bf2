"""The pure parts of the diarization: speech spans, clustering, turns."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages.diarize import clustering, voice_activity
from stages.diarize.clustering import cluster
from stages.diarize.resegmentation import resegmented
from stages.diarize.turns import Cell, cells_of, join_cells
from stages.diarize.voice_activity import CHUNK_MS, Span, earlier, padded, speech_probabilities, speech_spans
from stages.errors import MissingEngineError

SAMPLE = Path(__file__).parents[1] / "data" / "samples" / "statement-en.mp4"


def spans(*runs: tuple[float, int], min_speech_ms: int = 64, min_pause_ms: int = 96, pad_ms: int = 0) -> list:
    """Spans of (probability, chunks) runs, as (first chunk, last chunk + 1)."""
    probabilities = np.concatenate([np.full(chunks, probability) for probability, chunks in runs])
    found = speech_spans(probabilities, 0.5, min_speech_ms, min_pause_ms, pad_ms)
    return [(span.start_ms / CHUNK_MS, span.end_ms / CHUNK_MS) for span in found]


def test_spans_have_hysteresis() -> None:
    assert spans((0.1, 5), (0.9, 5), (0.4, 5), (0.1, 5)) == [(5, 15)]
    assert spans((0.4, 10)) == []


def test_short_pauses_and_short_sounds_are_passed_over() -> None:
    assert spans((0.9, 5), (0.1, 2), (0.9, 5)) == [(0, 12)]
    assert spans((0.9, 5), (0.1, 3), (0.9, 5)) == [(0, 5), (8, 13)]
    assert spans((0.1, 5), (0.9, 1), (0.1, 5)) == []


def test_padding_stops_in_the_middle_of_a_pause_and_at_zero() -> None:
    assert padded([Span(10, 100), Span(140, 200)], 50) == (Span(0, 120), Span(120, 250))
    assert padded([], 50) == ()


def test_probabilities_do_not_depend_on_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from faster_whisper.audio import decode_audio
    from faster_whisper.vad import get_vad_model

    samples = decode_audio(str(SAMPLE), sampling_rate=16_000)[: 512 * 270]
    soundfile.write(tmp_path / "voice.wav", samples, 16_000, subtype="FLOAT")
    whole = speech_probabilities(tmp_path / "voice.wav")
    monkeypatch.setattr(voice_activity, "_BLOCK_CHUNKS", 7)
    assert np.abs(speech_probabilities(tmp_path / "voice.wav") - whole).max() < 1e-4
    # faster-whisper's own wrapper of the same network, which zeroes the last chunk's context.
    assert np.abs(get_vad_model()(samples.copy()).reshape(-1)[:-1] - whole[:-1]).max() < 1e-3


def test_a_damaged_voice_detector_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(voice_activity, "_SHA256", "0" * 64)
    with pytest.raises(MissingEngineError, match="SHA-256"):
        speech_probabilities(tmp_path / "never-read.wav")


def people(*counts: int, spread: float = 0.25) -> np.ndarray:
    """Unit vectors around one random direction for each of the runs' people."""
    rng = np.random.default_rng(5)
    directions = np.linalg.qr(rng.normal(size=(64, 8)))[0].T
    vectors = [
        directions[person] + spread / 8 * rng.normal(size=64)
        for person, count in enumerate(counts)
        for _ in range(count)
    ]
    return np.stack([vector / np.linalg.norm(vector) for vector in vectors])


def labels(vectors: np.ndarray, speakers: int | None = None, weight_ms: float = 400) -> list[int]:
    return cluster(vectors, np.full(len(vectors), weight_ms), 0.42, speakers, 1000).tolist()


def test_clusters_are_numbered_by_first_appearance() -> None:
    a, b = people(4, 4)[:4], people(4, 4)[4:]
    assert labels(np.concatenate([b, a, b])) == [0] * 4 + [1] * 4 + [0] * 4
    assert labels(np.concatenate([a, b, a])) == [0] * 4 + [1] * 4 + [0] * 4


def test_a_short_cluster_is_absorbed() -> None:
    assert set(labels(people(6, 2, 6))) == {0, 1}
    assert set(labels(people(6, 3, 6))) == {0, 1, 2}
    assert labels(people(1, 1), weight_ms=300) in ([0, 0], [0, 1]) and len(set(labels(people(1, 1)))) == 1


def test_a_given_number_is_not_used_up_by_outliers() -> None:
    assert labels(people(5, 1, 5), speakers=2)[:5] == [0] * 5
    assert labels(people(5, 1, 5), speakers=2)[-5:] == [1] * 5
    assert set(labels(people(5, 5, 5), speakers=1)) == {0}


def test_one_window_is_one_speaker() -> None:
    assert labels(people(1)) == [0]


def test_many_windows_are_clustered_by_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "_MOST_CLUSTERED", 20)
    assert labels(people(50, 30, 40)) == [0] * 50 + [1] * 30 + [2] * 40


def test_cells_share_a_span_out() -> None:
    cells = cells_of(Span(1000, 1700), 3, 200)
    assert [(cell.start_ms, cell.end_ms) for cell in cells] == [(1000, 1175), (1175, 1350), (1350, 1525), (1525, 1700)]
    assert {cell.span for cell in cells} == {3}
    assert cells_of(Span(0, 90), 0, 200) == [Cell(0, 0, 90)]


def spoken(cells: list[Cell], labels: list[int], probabilities: np.ndarray, pause_ms: int = 200) -> list:
    turns = join_cells(cells, labels, probabilities, 400, pause_ms)
    return [(turn.speaker, turn.start_ms, turn.end_ms) for turn in turns]


def test_turns_end_at_pauses_and_changes() -> None:
    cells = [Cell(0, 0, 500), Cell(0, 500, 900), Cell(1, 1000, 1300), Cell(2, 1500, 2000)]
    assert spoken(cells, [0, 0, 0, 0], np.ones(100)) == [("S1", 0, 1300), ("S1", 1500, 2000)]
    # What is between two people is nobody's, however short.
    assert spoken(cells, [0, 0, 1, 1], np.ones(100))[:2] == [("S1", 0, 900), ("S2", 1000, 1300)]


def test_a_border_moves_to_the_breath() -> None:
    probabilities = np.ones(100)
    probabilities[34] = 0.6
    assert spoken([Cell(0, 0, 1000), Cell(0, 1000, 2000)], [0, 1], probabilities) == [
        ("S1", 0, 34 * CHUNK_MS),
        ("S2", 34 * CHUNK_MS, 2000),
    ]


def test_speech_is_told_one_chunk_late() -> None:
    assert earlier([Span(16, 500), Span(800, 1200)], 5000) == (Span(0, 468), Span(768, 1168))
    assert earlier([Span(800, 1200)], 1210) == (Span(768, 1210),)


def test_a_stray_cell_is_its_neighbours() -> None:
    vectors = people(4, 4)
    between = (vectors[0] * 0.45 + vectors[5] * 0.55) / np.linalg.norm(vectors[0] * 0.45 + vectors[5] * 0.55)
    cells = np.stack([*vectors[:4], between, *vectors[:4], *vectors[4:]])
    truth = [0] * 9 + [1] * 4
    labels = np.array([0] * 4 + [1] + [0] * 4 + [1] * 4)
    assert resegmented(cells, np.full(13, 200.0), [0] * 13, labels).tolist() == truth
    # A span of its own may be another's.
    spans = [0] * 4 + [1] + [2] * 4 + [3] * 4
    assert resegmented(cells, np.full(13, 200.0), spans, labels)[4] == 1


def test_a_speaker_whom_nobody_is_like_is_given_up() -> None:
    a, b = people(6, 6)[:6], people(6, 6)[6:]
    mixed = np.concatenate([b, a, b])
    labels = np.array([2] * 6 + [0] * 6 + [2] * 6)
    assert resegmented(mixed, np.full(18, 200.0), [0] * 18, labels).tolist() == [0] * 6 + [1] * 6 + [0] * 6
