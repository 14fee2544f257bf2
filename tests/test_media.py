from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace
from conftest import MakeClip, tone

from stages import media
from stages.artifacts import Media, SourceVideo
from stages.errors import InputError
from stages.picture_writer import EncodeConfig, PictureWriter
from stages.progress import silent


def ingested(path: Path, out: Path, config: media.MediaConfig | None = None) -> tuple[SourceVideo, Media]:
    video = media.open_source(path)
    out.mkdir(exist_ok=True)
    return video, media.ingest(video, config or media.MediaConfig(), out, silent).at(out)


def test_sample_is_probed_with_its_real_times(sample: Path, tmp_path: Path) -> None:
    video, found = ingested(sample, tmp_path / "a")
    assert (found.picture.width_px, found.picture.height_px, found.picture.frames) == (320, 240, 105)
    assert found.picture.end_ms == found.duration_ms == 8713
    assert len(video.sha256) == 64
    times = np.load(found.file(found.frame_times))
    assert times[0] == 0 and np.allclose(np.diff(times), 1000 / 12, atol=1)
    mix, rate = soundfile.read(found.file(found.mix))
    assert rate == 48_000 and mix.shape == (round(8.71333 * 48_000), 2)
    assert found.integrated_lufs is not None and -40 < found.integrated_lufs < -5


def test_variable_frame_rate_is_kept_through_encoding(make_clip: MakeClip, tmp_path: Path) -> None:
    times_ms = [0, 40, 120, 130, 300, 1000, 1033]
    video, found = ingested(make_clip(times_ms=times_ms, sounds=[tone(1.1)]), tmp_path / "a")
    assert found.picture.is_variable_rate
    assert np.load(found.file(found.frame_times)).tolist() == times_ms
    with PictureWriter(tmp_path / "again.mp4", video, found, EncodeConfig()) as writer:
        for frame in media.frames(video, found):
            writer.write(frame)
    with av.open(str(tmp_path / "again.mp4")) as again:
        stream = again.streams.video[0]
        stamps = sorted(packet.pts * stream.time_base * 1000 for packet in again.demux(stream) if packet.size)
    assert stamps == times_ms


REWRITTEN = """
import sys
from pathlib import Path
from stages import media
from stages.picture_writer import EncodeConfig, PictureWriter
from stages.progress import silent
out = Path(sys.argv[2])
video = media.open_source(Path(sys.argv[1]))
found = media.ingest(video, media.MediaConfig(), out, silent).at(out)
with PictureWriter(out / "again.mp4", video, found, EncodeConfig()) as writer:
    for frame in media.frames(video, found):
        writer.write(frame)
"""


def test_what_memory_held_before_does_not_show_in_the_picture(sample: Path, tmp_path: Path) -> None:
    written = set()
    for filling in ("0", "1"):  # 1: the C library hands out memory full of 0xfe
        out = tmp_path / filling
        out.mkdir()
        subprocess.run(
            [sys.executable, "-c", REWRITTEN, str(sample), str(out)],
            env=os.environ | {"MALLOC_PERTURB_": filling}, check=True,
        )  # fmt: skip
        written.add((out / "again.mp4").read_bytes())
    assert len(written) == 1


@pytest.mark.parametrize("matrix", [Colorspace.ITU709, Colorspace.ITU601, Colorspace.BT2020])
@pytest.mark.parametrize("color_range", [ColorRange.MPEG, ColorRange.JPEG])
def test_colours_come_back_in_the_sources_own_matrix_and_range(
    tmp_path: Path, matrix: Colorspace, color_range: ColorRange
) -> None:
    rows, columns = np.mgrid[:96, :128].astype(np.float32)
    rgb = np.stack([40 + columns, 200 - columns, 40 + 1.5 * rows], axis=-1).astype(np.uint8)
    shown = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format="yuv420p", dst_colorspace=matrix, dst_color_range=color_range
    )
    with av.open(str(tmp_path / "colours.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, color_range
        sound = out.add_stream("aac", rate=48_000, layout="mono")
        for number in range(5):
            shown.pts = number
            out.mux(stream.encode(shown))
        out.mux(stream.encode(None))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 9600), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 48_000
        out.mux([*sound.encode(silence), *sound.encode(None)])
    video, found = ingested(tmp_path / "colours.mp4", tmp_path / "a")
    with PictureWriter(tmp_path / "again.mp4", video, found, EncodeConfig(crf=1)) as writer:
        for frame in media.frames(video, found):
            writer.write(frame)
    planes = []
    for path in (video.path, tmp_path / "again.mp4"):
        with av.open(str(path)) as container:
            planes.append(next(container.decode(video=0)).to_ndarray().astype(int))
    off = planes[1] - planes[0]
    assert abs(off[:96].mean()) < 0.2 and np.abs(off[:96]).mean() < 0.5
    assert abs(off[96:].mean()) < 0.3 and np.abs(off[96:]).mean() < 1.2


def test_frames_can_be_read_from_the_middle(make_clip: MakeClip, tmp_path: Path) -> None:
    video, found = ingested(make_clip(sounds=[tone(2)]), tmp_path / "a")
    everything = list(media.frames(video, found))
    assert len(everything) == 50
    part = list(media.frames(video, found, 20, 30))
    assert len(part) == 11 and all((one == other).all() for one, other in zip(part, everything[20:31], strict=True))


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("closed.mp4", "libx264", {"bf": "2"}),
        ("open.mp4", "libx264", {"bf": "2", "x264-params": "open-gop=1"}),
        ("closed.ts", "libx264", {"bf": "2"}),
        ("refreshed.ts", "libx264", {"bf": "2", "intra-refresh": "1"}),
        ("broadcast.mpg", "mpeg2video", {"bf": "2"}),
        ("old.avi", "mpeg4", {"bf": "2"}),
    ],
)
def test_whatever_the_container_a_frame_from_the_middle_is_that_frame(
    name: str, codec: str, options: dict[str, str], sample: Path, tmp_path: Path
) -> None:
    with av.open(str(sample)) as source, av.open(str(tmp_path / name), "w") as out:
        picture = out.add_stream(codec, rate=25, options={"g": "20", **options})
        sound = out.add_stream("mp2", rate=48_000, layout="stereo")
        picture.width, picture.height, picture.pix_fmt = 320, 240, "yuv420p"
        for number, frame in zip(range(60), source.decode(video=0), strict=False):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            frame.pict_type = PictureType.NONE
            out.mux(picture.encode(frame))
        out.mux(picture.encode(None))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 115_200), dtype=np.int16), format="s16", layout="stereo")
        silence.rate = 48_000
        resampler = av.AudioResampler("s16", "stereo", 48_000, frame_size=1152)
        for block in resampler.resample(silence):
            out.mux(sound.encode(block))
        out.mux(sound.encode(None))
    video, found = ingested(tmp_path / name, tmp_path / "a")
    whole = list(media.frames(video, found))
    assert len(whole) == 60
    for first in (1, 2, 19, 20, 21, 37, 38, 39, 40, 58):
        for number, bgr in enumerate(media.frames(video, found, first, first + 1), start=first):
            assert np.array_equal(bgr, whole[number]), (first, number)


def test_rotation_is_applied(make_clip: MakeClip, tmp_path: Path) -> None:
    upright = make_clip(sounds=[tone(2)], size=(64, 48))
    turned = tmp_path / "turned.mp4"
    with av.open(str(upright)) as source, av.open(str(turned), "w") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        out.streams.video[0].metadata["rotate"] = "90"
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
    set_display_matrix(turned, upright)
    video, found = ingested(turned, tmp_path / "a")
    assert found.picture.rotation_deg == 90
    assert (found.picture.width_px, found.picture.height_px) == (48, 64)
    assert next(media.frames(video, found)).shape == (64, 48, 3)


def set_display_matrix(target: Path, source: Path) -> None:
    """Write a 90 degree clockwise matrix into the video track's header (ISO 14496-12, 8.3.2: tkhd)."""
    content = bytearray(source.read_bytes())
    one = (1 << 16).to_bytes(4, "big")
    identity = b"".join([one, bytes(12), one, bytes(12), (1 << 30).to_bytes(4, "big")])
    at = content.index(identity, content.index(b"tkhd"))
    minus = (-(1 << 16) & 0xFFFFFFFF).to_bytes(4, "big")
    width = (48 << 16).to_bytes(4, "big")
    turned = b"".join([bytes(4), one, bytes(4), minus, bytes(8), width, bytes(4), (1 << 30).to_bytes(4, "big")])
    content[at : at + 36] = turned
    target.write_bytes(content)


def test_sound_track_is_chosen(make_clip: MakeClip, tmp_path: Path) -> None:
    path = make_clip(sounds=[tone(2, 300), tone(2, 900)], default_sound=1)
    _, default = ingested(path, tmp_path / "a")
    _, first = ingested(path, tmp_path / "b", media.MediaConfig(audio_track=1))
    assert [_pitch(found) for found in (default, first)] == pytest.approx([900, 300], abs=10)
    with pytest.raises(InputError, match="2 sound track"):
        ingested(path, tmp_path / "c", media.MediaConfig(audio_track=3))


def _pitch(found: Media) -> float:
    mix, rate = soundfile.read(found.file(found.mix))
    spectrum = np.abs(np.fft.rfft(mix[:, 0]))
    return float(np.argmax(spectrum) * rate / len(mix))


def test_sound_is_the_clips_own_clock(make_clip: MakeClip, tmp_path: Path) -> None:
    sound = np.zeros(96_000)
    sound[48_000:48_480] = 0.9
    _, found = ingested(make_clip(sounds=[sound]), tmp_path / "a")
    mix, _ = soundfile.read(found.file(found.mix))
    assert abs(int(np.argmax(np.abs(mix[:, 0]) > 0.3)) - 48_000) < 48  # 1 ms


def test_the_source_is_not_touched(make_clip: MakeClip, tmp_path: Path) -> None:
    path = make_clip(sounds=[tone(2)])
    before, status = path.read_bytes(), path.stat()
    path.chmod(0o444)
    ingested(path, tmp_path / "a")
    assert path.read_bytes() == before and path.stat().st_mtime_ns == status.st_mtime_ns


def bad_inputs(make_clip: MakeClip, folder: Path) -> dict[str, tuple[Path, str]]:
    whole = make_clip("whole.mp4", sounds=[tone(2)], options={"movflags": "faststart"}, size=(320, 240))
    folder.mkdir()
    empty, text, cut = folder / "empty.mp4", folder / "text.mp4", folder / "cut.mp4"
    empty.touch()
    text.write_text("this is not a video\n" * 100)
    long = make_clip(
        "long.mp4",
        times_ms=range(0, 8000, 40),
        sounds=[tone(8)],
        options={"movflags": "faststart"},
        size=(320, 240),
    )
    cut.write_bytes(long.read_bytes()[: long.stat().st_size // 2])
    headless = folder / "headless.mp4"
    headless.write_bytes(whole.read_bytes()[:500])
    sound_only = folder / "sound.wav"
    soundfile.write(sound_only, tone(1), 48_000)
    return {
        "no such file": (folder / "nothing.mp4", "no such file"),
        "a folder": (folder, "is a folder"),
        "zero bytes": (empty, "is empty"),
        "text": (text, "cannot be read as a video"),
        "truncated": (cut, "cut off"),
        "header only": (headless, "cannot be read as a video|no picture"),
        "no sound": (make_clip("mute.mp4"), "no sound track"),
        "no picture": (sound_only, "no picture"),
    }


def test_bad_inputs_are_one_clear_line(make_clip: MakeClip, tmp_path: Path) -> None:
    for name, (path, message) in bad_inputs(make_clip, tmp_path / "bad").items():
        with pytest.raises(InputError, match=message) as caught:
            ingested(path, tmp_path / "out")
        assert "\n" not in str(caught.value), name
