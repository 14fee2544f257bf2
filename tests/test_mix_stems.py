"""``--stems``: the parts of the sound, and what they add up to."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ROOT, SAMPLE, Run
from test_mix import RATE_HZ, SPEECH_HZ, Clip, voice_like

from stages import sound
from stages.artifacts import Speech
from stages.deliver.stems import STEMS, stem_names, write_stems
from stages.mix import MixConfig, mix
from stages.progress import silent


def read(folder: Path, stem: str, tag: str) -> dict[str, np.ndarray]:
    found = {}
    for kind, name in stem_names(stem, tag).items():
        found[kind], rate_hz = soundfile.read(folder / name)
        assert rate_hz == RATE_HZ and found[kind].shape[1] == 2
    return found


def test_the_stems_add_up(tmp_path: Path) -> None:
    clip = Clip(tmp_path)
    lines = tuple(clip.spoken(n, start, voice_like(2.5, 0.1, SPEECH_HZ, n)) for n, start in ((1, 1000), (2, 6000)))
    speech = Speech(language="pt-BR", engine="kokoro", rate_hz=SPEECH_HZ, lines=lines).at(tmp_path)
    made = mix(clip.media, clip.separation, clip.transcript, speech, MixConfig(), tmp_path, silent).at(tmp_path)
    assert made.levels.limit_dbfs is None
    write_stems(tmp_path, stem_names("a", "pt-BR"), clip.media, made)
    stems = read(tmp_path, "a", "pt-BR")
    mixed, _ = sound.read(tmp_path / made.sound)
    source, _ = sound.read(tmp_path / "mix.wav")
    gain = 10 ** ((made.levels.trim_db - made.levels.turn_down_db) / 20)
    step = 1 / 32768
    assert np.abs(stems["background"] + stems["dub"] - mixed).max() <= 1.01 * step
    assert np.abs(stems["background"] + stems["voice"] - gain * source).max() <= 0.01 * step
    assert not stems["dub"][: RATE_HZ // 2].any() and not stems["voice"][: RATE_HZ // 2].any()


def translate(run: Run, out: Path, *options: str) -> dict:
    command = [sys.executable, "-m", "flows.cli", "translate", str(SAMPLE), "--to", "pt-BR", "--out", str(out)]
    done = subprocess.run(
        [*command, "--work", str(run.work), *options], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return json.loads((out / "statement-en.pt-BR.report.json").read_text())


@pytest.mark.slow
def test_they_are_written_when_asked_for_listed_and_renewed(run: Run, tmp_path: Path) -> None:
    assert run.report["stems"] is None and not list(run.out.glob("*.flac"))
    out = tmp_path / "out"
    names = stem_names("statement-en", "pt-BR")
    assert translate(run, out, "--stems")["stems"] == names and sorted(names) == sorted(STEMS)
    first = read(out, "statement-en", "pt-BR")
    text = run.report["lines"][0]["text"]
    (out / "statement-en.pt-BR.edits.toml").write_text(
        f"[lines.{run.report['lines'][0]['id']}]\ntext = {json.dumps(text.replace('.', '') + ' hoje.')}\n"
    )
    report = translate(run, out, "--line", str(run.report["lines"][0]["id"]))
    assert report["stems"] == names and report["rerun"]["lines"]
    second = read(out, "statement-en", "pt-BR")
    assert first["dub"].shape == second["dub"].shape and not np.array_equal(first["dub"], second["dub"])
    shutil.rmtree(out)
