from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import MakeClip, tone

from stages import media, sound
from stages.artifacts import Media, Mixdown, MixLevels, Picture, Script, SourceVideo
from stages.deliver.mux import mux
from stages.picture_writer import EncodeConfig, PictureWriter
from stages.progress import silent
from stages.subtitles import Cue

SUBTITLES = {
    "pt-BR": (Cue(start_ms=200, end_ms=700, lines=("Olá,", "{mundo} \\o/ & <b>ação</b>")),),
    "en": (Cue(start_ms=300, end_ms=900, lines=("Hello",)), Cue(start_ms=900, end_ms=1500, lines=("world",))),
}


def dubbed(path: Path, folder: Path, picture: Picture | None = None) -> tuple[SourceVideo, Media, Path]:
    folder.mkdir(exist_ok=True)
    video = media.open_source(path)
    found = media.ingest(video, media.MediaConfig(), folder, silent).at(folder)
    samples = round(found.duration_ms * sound.SAMPLE_RATE_HZ / 1000)
    beep = tone(samples / sound.SAMPLE_RATE_HZ, 1000)
    sound.write(folder / "dub.wav", np.stack([beep, beep], axis=1), sound.SAMPLE_RATE_HZ)
    levels = MixLevels(speakers={}, speech_db=0, trim_db=0, limit_dbfs=None, turn_down_db=0)
    mixdown = Mixdown(integrated_lufs=-20, true_peak_dbtp=-9, levels=levels).at(folder)
    script = Script(source="en", target="pt-BR", route=(), lines=())
    target = folder / "dub.mp4"
    mux(
        target,
        video,
        found,
        (picture or Picture(video=None, changed_frames=0)).at(folder),
        mixdown,
        script,
        SUBTITLES,
        folder,
    )
    return video, found, target


def times_ms(path: Path, kind: str, number: int = 0) -> tuple[list[Fraction], Fraction]:
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[number]
        stamps = sorted(packet.pts * stream.time_base * 1000 for packet in container.demux(stream) if packet.size)
        return stamps, stream.duration * stream.time_base * 1000


def test_tracks_languages_and_defaults(make_clip: MakeClip, tmp_path: Path) -> None:
    _, _, target = dubbed(make_clip(sounds=[tone(2), tone(2, 700)]), tmp_path / "out")
    with av.open(str(target)) as container:
        kinds = [(stream.type, stream.codec_context.name, stream.language) for stream in container.streams]
        defaults = [bool(s.disposition & av.stream.Disposition.default) for s in container.streams.audio]
        assert container.streams.audio[0].rate == 48_000 and container.streams.audio[0].channels == 2
        assert "Dubwright" in container.metadata["comment"]
    assert kinds == [
        ("video", "h264", "und"),
        ("audio", "aac", "por"),
        ("audio", "aac", "eng"),
        ("audio", "aac", "und"),
        ("subtitle", "mov_text", "por"),
        ("subtitle", "mov_text", "eng"),
    ]
    assert defaults == [True, False, False]


def test_picture_and_sound_keep_their_times_and_lengths(sample: Path, tmp_path: Path) -> None:
    _, _, target = dubbed(sample, tmp_path / "out")
    for kind, number in (("video", 0), ("audio", 0), ("audio", 1)):
        before, length_before = times_ms(sample, kind)
        after, length_after = times_ms(target, kind, number)
        assert abs(length_after - length_before) < 1.1, (kind, number)
        if kind == "video":
            assert np.allclose([float(t) for t in after], [float(t) for t in before], atol=0.06)


def test_a_rerendered_picture_keeps_variable_times(make_clip: MakeClip, tmp_path: Path) -> None:
    shown_ms = [0, 40, 120, 130, 300, 1000, 1033]
    path = make_clip(times_ms=shown_ms, sounds=[tone(1.1)])
    video = media.open_source(path)
    (tmp_path / "out").mkdir()
    found = media.ingest(video, media.MediaConfig(), tmp_path / "out", silent).at(tmp_path / "out")
    with PictureWriter(tmp_path / "out" / "picture.mp4", video, found, EncodeConfig()) as writer:
        for frame in media.frames(video, found):
            writer.write(frame)
    _, _, target = dubbed(path, tmp_path / "out", Picture(changed_frames=7))
    after, length = times_ms(target, "video")
    assert after == shown_ms
    assert length == pytest.approx(float(times_ms(path, "video")[1]), abs=1)


def test_the_dub_is_what_is_heard_first(make_clip: MakeClip, tmp_path: Path) -> None:
    _, _, target = dubbed(make_clip(sounds=[tone(2)]), tmp_path / "out")
    pitches = []
    for number in (0, 1):
        with av.open(str(target)) as container:
            frames = [frame.to_ndarray()[0] for frame in container.decode(container.streams.audio[number])]
        samples = np.concatenate(frames)
        pitches.append(np.argmax(np.abs(np.fft.rfft(samples))) * 48_000 / len(samples))
    assert pitches == pytest.approx([1000, 440], abs=5)


def test_subtitles_read_back_as_written(make_clip: MakeClip, tmp_path: Path) -> None:
    _, _, target = dubbed(make_clip(sounds=[tone(2)]), tmp_path / "out")
    for number, cues in enumerate(SUBTITLES.values()):
        with av.open(str(target)) as container:
            stream = container.streams.subtitles[number]
            read = [
                (round(packet.pts * stream.time_base * 1000), packet.duration, bytes(packet)[2:].decode())
                for packet in container.demux(stream)
                if packet.size > 2
            ]
        assert [(start, start + length) for start, length, _ in read] == [(c.start_ms, c.end_ms) for c in cues]
        assert [text.split("\x00")[0] for *_, text in read] == [cue.text for cue in cues]
