"""What Kokoro says does not depend on what else its process did: no neural extra, no other stage, no order of lines.

Libraries that share a process share its floating-point modes, its threads and its allocator; each case is a process.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from importlib.util import find_spec

import pytest
from conftest import ROOT

from stages import models

LINES = ("Boa noite, papai. Como vai a tia?", "Eu queria contar uma coisa muito bonita.")
SPEAKING = """
import hashlib, sys
import stages
{before}
from language_packs import load_pack
from stages.reading import read_line
from stages.synthesize.kokoro import KokoroEngine
engine, how = KokoroEngine(), load_pack("pt-BR").g2p
for text in sys.argv[1:]:
    spoken = engine.speak(read_line(text, how, "pt-BR", "it"), "jm_kumo")
    print(hashlib.sha256(spoken.samples.tobytes() + repr(spoken.phones).encode()).hexdigest(), len(spoken.samples))
"""
EXTRAS = ("torch", "transformers", "demucs", "pocket_tts", "whisper", "torchaudio", "TTS", "openai")
TORCH = """
torch.manual_seed(1)
network = torch.nn.Sequential(torch.nn.Conv1d(1, 8, 9), torch.nn.ReLU(), torch.nn.Conv1d(8, 1, 9))
network(torch.randn(1, 1, 24000)).sum().backward()
"""
OTHER_STAGES = """
import ctranslate2, cv2, faster_whisper, mediapipe, numpy as np, onnxruntime, pyworld
from stages.diarize import ge2e
pyworld.harvest(np.random.default_rng(0).normal(size=16000), 16000)
np.linalg.svd(np.random.default_rng(0).normal(size=(200, 200)))
cv2.resize(np.zeros((90, 90, 3), np.uint8), (45, 45))
"""


def spoken(before: str, *lines: str) -> list[str]:
    """The digest of each line and how many samples it has."""
    done = subprocess.run(
        [sys.executable, "-c", SPEAKING.format(before=before), *lines],
        capture_output=True, text=True, cwd=ROOT, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def alone() -> list[str]:
    if models.verify(models.catalogue()["kokoro-82m"]):
        pytest.fail("Kokoro's weights are not here: run make models")
    said = spoken("", *LINES)
    silence = hashlib.sha256(b"").hexdigest()
    assert len(set(said)) == 2 and not any(line.startswith(silence) or line.endswith(" 0") for line in said)
    return said


def test_with_the_neural_extras_in_the_process(alone: list[str]) -> None:
    pytest.importorskip("torch")
    here = [name for name in EXTRAS if find_spec(name)]
    assert spoken(f"import {', '.join(here)}{TORCH}", *LINES) == alone


def test_after_the_libraries_of_other_stages(alone: list[str]) -> None:
    assert spoken(OTHER_STAGES, *LINES) == alone


def test_in_another_order(alone: list[str]) -> None:
    assert spoken("", *reversed(LINES)) == alone[::-1]
    assert spoken("", LINES[1]) == alone[1:]
