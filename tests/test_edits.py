"""The parts of a re-run that need no clip: the edits file, the joined trajectory, the exchanged samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from language_packs import PARAMETERS
from stages.artifacts import SpokenLine
from stages.edits import edits_file, listed, read_edits
from stages.mix.rerun import changed_samples, exchange
from stages.visemes.rerun import joined, kept_frames


def line(id: int, start_ms: int, end_ms: int) -> SpokenLine:
    return SpokenLine(
        id=id, speaker="S1", sound="a.wav", sound_start_ms=start_ms, start_ms=start_ms, end_ms=end_ms, rate=1,
        phones=(), similarity=0,
    )  # fmt: skip


def test_texts_are_read_by_line_with_single_spaces(tmp_path: Path) -> None:
    file = edits_file(tmp_path, "my film", "pt-BR")
    assert file.name == "my film.pt-BR.edits.toml" and read_edits(file).texts() == {}
    file.write_text('\ufeff[lines.12]\ntext = """Olá,\n  mundo."""\n[lines.3]\ntext = "Oi."\n', encoding="utf-8")
    edits = read_edits(file)
    assert edits.texts() == {3: "Oi.", 12: "Olá, mundo."}
    again = file.rename(tmp_path / "other")
    assert read_edits(again).digest == edits.digest, "what counts is what is said, not where"


def test_ids_are_listed_in_runs() -> None:
    assert listed([4, 1, 2, 3, 9, 7]) == "1-4, 7, 9"


def test_frames_are_kept_beyond_the_pauses_around_a_changed_line() -> None:
    lines, times_ms = [line(1, 0, 1000), line(2, 1200, 2000), line(3, 2600, 4000)], np.arange(0, 5000, 40.0)
    free = times_ms[~kept_frames(lines, [2], times_ms)]
    assert (free[0], free[-1]) == (1040, 2560)
    free = times_ms[~kept_frames(lines, [2, 3], times_ms)]
    assert (free[0], free[-1]) == (1040, times_ms[-1])


def test_a_changed_stretch_leads_into_the_frames_beside_it_and_keeps_its_contacts() -> None:
    times_ms = np.arange(20) * 40.0
    old, new = np.full((20, len(PARAMETERS)), 0.8, np.float32), np.full((20, len(PARAMETERS)), 0.2, np.float32)
    new[:, PARAMETERS.index("closure")] = 0
    new[6, PARAMETERS.index("closure")] = 1
    is_kept = np.ones(20, dtype=bool)
    is_kept[5:15] = False
    result = joined(old, new, is_kept, times_ms)
    aperture = result[:, PARAMETERS.index("aperture")]
    assert np.array_equal(result[is_kept], old[is_kept]) and np.array_equal(result[6], new[6])
    assert 0.5 < aperture[5] < 0.8 and 0.5 < aperture[14] < 0.8 and np.allclose(aperture[8:12], 0.2)


def test_samples_are_exchanged_inside_the_span_only(tmp_path: Path) -> None:
    before, after = [line(1, 0, 1000), line(2, 1060, 2000)], [line(1, 0, 1000), line(2, 1060, 2500)]
    (span,) = changed_samples(after, before, (2,), 20)
    assert span == (48_000, 2620 * 48), "a kept line keeps its samples, the margin ends at it"
    noise = np.random.default_rng(0).integers(-(2**15), 2**15, (2, 200_000, 2), dtype=np.int16)
    for name, samples in zip(("old", "new"), noise, strict=True):
        soundfile.write(tmp_path / f"{name}.wav", samples, 48_000, subtype="PCM_16")
    exchange(tmp_path / "old.wav", tmp_path / "new.wav", [span], tmp_path / "out.wav")
    (old, new), out = noise, soundfile.read(tmp_path / "out.wav", dtype="int16")[0]
    assert np.array_equal(out[: span[0]], old[: span[0]]) and np.array_equal(out[span[1] :], old[span[1] :])
    inside = slice(span[0] + 240, span[1] - 240)
    assert np.array_equal(out[inside], new[inside])
