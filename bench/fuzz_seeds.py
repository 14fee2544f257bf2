"""Small whole files of every kind that is read: what :mod:`fuzz` damages."""

from __future__ import annotations

import base64
import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

ROOT = Path(__file__).parents[1]
PACK = "en"
"""The language pack whose files are damaged, one at a time."""
_RATE_HZ = 48_000
_SECONDS = 1
_CONTAINERS = {
    "a.mp4": ("mp4", "libx264", "aac"),
    "b.mp4": ("mp4", "mpeg4", "libmp3lame"),
    "a.mov": ("mov", "libx264", "pcm_s16le"),
    "a.mkv": ("matroska", "libx264", "flac"),
    "a.webm": ("webm", "libvpx-vp9", "libopus"),
    "a.avi": ("avi", "mpeg4", "libmp3lame"),
    "a.ts": ("mpegts", "mpeg2video", "mp2"),
    "a.flv": ("flv", "libx264", "aac"),
    "a.wav": ("wav", None, "pcm_s16le"),
    "a.mp3": ("mp3", None, "libmp3lame"),
    "a.flac": ("flac", None, "flac"),
    "a.m4a": ("ipod", None, "aac"),
    "a.ogg": ("ogg", None, "libopus"),
}
"""File -> container, codec of the picture and of the sound."""
_TMX = """<?xml version="1.0" encoding="utf-8"?>
<tmx version="1.4"><header srclang="en" segtype="sentence" o-tmf="x" adminlang="en" datatype="plaintext"
 creationtool="x" creationtoolversion="1"/><body>
<tu><tuv xml:lang="en"><seg>Good <hi>morning</hi>.</seg></tuv><tuv xml:lang="pt-BR"><seg>Bom dia.</seg></tuv></tu>
</body></tmx>"""
_XLIFF = """<?xml version="1.0" encoding="utf-8"?>
<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2"><file source-language="en" target-language="pt-BR"
 tool-id="dubwright" original="a" datatype="plaintext"><body><trans-unit id="1"><source>Good morning.</source>
<target state="translated">Bom dia.</target><note>0.0-1.2 s</note></trans-unit></body></file></xliff>"""
_GLOSSARY = 'term,translation,pt-BR,do-not-translate\nboard,,conselho,\nDubwright,,,yes\n"red, tape",,burocracia,no\n'
_EDITS = '[lines.7]\ntext = "Hoje conseguimos uma coisa importante."\n\n[lines.12]\ntext = "Sim, senhora."\n'


@dataclass(frozen=True)
class Seed:
    """A whole file, and who reads it (:data:`fuzz.READERS`)."""

    kind: str
    file: Path


def seeds(folder: Path) -> list[Seed]:
    """Write the files into ``folder``, beside a whole portrait and speech, and return them."""
    folder.mkdir(parents=True)
    found = []
    for name, (container, picture, sound) in _CONTAINERS.items():
        _write(folder / name, container, picture, sound)
        found.append(Seed("video" if picture else "sound", folder / name))
    shutil.copy(folder / "a.wav", folder / "speech.wav")
    for name in ("a.png", "a.jpg", "portrait.png"):
        cv2.imwrite(str(folder / name), _frame(3))
    found += [Seed("picture", folder / name) for name in ("a.png", "a.jpg")]
    voice = base64.b64encode(bytes(number % 251 + 1 for number in range(256))).decode()
    entry = '[speakers.{0}]\nname = "{1}"\nfirst_heard_s = 0.1\nspeech_s = 6.2\nvoice = "{2}"\n\n'
    texts = {
        ("memory", "a.tmx"): _TMX,
        ("memory", "a.xlf"): _XLIFF,
        ("glossary", "a.csv"): _GLOSSARY,
        ("edits", "a.edits.toml"): _EDITS,
        ("speakers", "a.speakers.toml"): entry.format("S1", "Anna", voice) + entry.format("S2", "Ben", voice),
    }
    for (kind, name), text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        found.append(Seed(kind, folder / name))
    for name in ("pack.toml", "visemes.toml", "shorten.toml"):
        shutil.copy(ROOT / "language_packs" / PACK / name, folder / name)
        found.append(Seed("pack", folder / name))
    return found


def _frame(number: int) -> np.ndarray:
    """Return a picture, uint8 BGR (48, 64, 3), that changes with its number."""
    rows, columns = np.mgrid[:48, :64]
    return np.stack([(rows * 5 + number * 9) % 256, (columns * 4 + number * 5) % 256, rows + columns], -1).astype(
        np.uint8
    )


def _write(file: Path, container: str, picture: str | None, sound: str) -> None:
    with av.open(f"file:{file}", "w", format=container) as out:
        streams: list[tuple[av.VideoStream | av.AudioStream, list[av.VideoFrame] | list[av.AudioFrame]]] = []
        if picture is not None:
            shown = out.add_stream(picture, rate=25)
            shown.width, shown.height, shown.pix_fmt = 64, 48, "yuv420p"
            made = [av.VideoFrame.from_ndarray(_frame(number), format="bgr24") for number in range(25 * _SECONDS)]
            for number, frame in enumerate(made):
                frame.pts, frame.time_base = number, Fraction(1, 25)
            streams.append((shown, made))
        heard = out.add_stream(sound, rate=_RATE_HZ, layout="stereo")
        tone = (8000 * np.sin(np.arange(_RATE_HZ * _SECONDS) / 20)).astype(np.int16).repeat(2)[None]
        whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(tone), format="s16", layout="stereo")
        whole.sample_rate, whole.pts, whole.time_base = _RATE_HZ, 0, Fraction(1, _RATE_HZ)
        format_ = heard.codec_context.format.name
        size = 1152 if sound in ("libmp3lame", "mp2") else 960 if sound == "libopus" else 1024
        streams.append((heard, av.AudioResampler(format=format_, layout="stereo", frame_size=size).resample(whole)))
        for stream, frames in streams:
            for frame in frames:
                out.mux(stream.encode(frame))
        for stream, _ in streams:
            out.mux(stream.encode(None))
