"""Files that were made to do harm: none leads elsewhere, none takes the machine, none is a traceback."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import ROOT, SAMPLE, MakeClip, tone
from test_bad_input import refused

from language_packs import PackError, Packs
from stages import hostile, media
from stages.deliver import check_place
from stages.edits import read_edits
from stages.errors import InputError
from stages.media import MediaConfig
from stages.progress import silent
from stages.settings import load
from stages.speakers import read_speakers
from stages.still import open_inputs
from stages.translate.exchange import read_units


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def to(tmp_path: Path, out: Path) -> list[str]:
    return ["--to", "pt-BR", "--out", str(out), "--work", str(tmp_path / "work")]


@pytest.fixture
def host() -> Iterator[tuple[str, list[str]]]:
    """An address of this machine, and the connections that were made to it."""
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        over = threading.Event()

        def listen() -> None:
            while not over.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                asked.append(connection.recv(200).decode(errors="replace"))
                connection.close()

        thread = threading.Thread(target=listen)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}", asked
        over.set()
        thread.join()


# What leads to other files and hosts


def test_fuzzed_files_are_read_or_refused() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / "fuzz.py", "--files", "161", "--seed", "77"],
        capture_output=True, text=True, cwd=ROOT, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "161 files" in done.stdout and "0 faults" in done.stdout


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other}\n#EXT-X-ENDLIST\n", "is an HLS playlist"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://{host}/a.ts\n#EXT-X-ENDLIST\n", "is an HLS playlist"),
        ("\ufeff#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other}\n#EXT-X-ENDLIST\n", "is an HLS playlist"),
        ("ffconcat version 1.0\nfile '{other}'\n", "is a list of files to join"),
        ("ffconcat version 1.0\nfile 'http://{host}/a.mp4'\n", "is a list of files to join"),
        ("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 33\n", "is a description of a"),
        (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'mediaPresentationDuration="PT9S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" '
            'bandwidth="1"><BaseURL>http://{host}/a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>',
            "is an XML file",
        ),
        ("[playlist]\nFile1=http://{host}/a.mp4\nNumberOfEntries=1\n", "is a playlist"),
        ("1\n00:00:00,000 --> 00:00:09,000\nHello\n", "cannot be read as a video"),  # subtitles are no video
        ("[Script Info]\nScriptType: v4.00+\n[Events]\nDialogue: 0,0:00:00.00,0:00:09.00,,,0,0,0,,Hi\n", "cannot be"),
    ],
    ids=["m3u8-file", "m3u8-http", "m3u8-bom", "concat-file", "concat-http", "sdp", "dash", "pls", "srt", "ass"],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["mp4", "m3u8"])
def test_lists_of_other_files_are_refused_whatever_they_are_called(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, to: list[str], out: Path, host: tuple[str, list[str]],
    content: str, says: str, ending: str,
) -> None:  # fmt: skip
    other = tmp_path / "other.mp4"
    other.write_bytes(SAMPLE.read_bytes())
    file = tmp_path / f"clip.{ending}"
    file.write_text(content.format(other=other.name, host=host[0]) + "\n" * 400, encoding="utf-8")
    line = refused(capsys, 2, out, "translate", file, *to)
    assert says in line and str(file) in line
    assert host[1] == [], "nobody was asked for anything"


def test_the_lists_would_be_followed_without_the_limits(tmp_path: Path) -> None:
    (tmp_path / "other.mp4").write_bytes(SAMPLE.read_bytes())
    file = tmp_path / "clip.mp4"
    file.write_text("ffconcat version 1.0\nfile 'other.mp4'\n")
    with av.open(f"file:{file}") as container:  # as FFmpeg does on its own
        assert container.streams.video
    with pytest.raises(InputError, match="a list of files to join"), media.opened(file):
        pass


@pytest.mark.parametrize(
    "name", ["http://{host}/a.mp4", "concat:a.mp4|b.mp4", "subfile,,start,0,end,9,,:a.mp4", "file:a.mp4", "a%03d.mp4"]
)
def test_names_are_names_and_no_addresses(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, to: list[str], out: Path, host: tuple[str, list[str]],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for real in ("a.mp4", "b.mp4", "a001.mp4"):
        (tmp_path / real).write_bytes(SAMPLE.read_bytes())
    assert "no such file" in refused(capsys, 2, out, "translate", name.format(host=host[0]), *to)
    assert host[1] == []


def test_a_name_with_a_pattern_is_one_file(make_clip: MakeClip) -> None:
    clip = make_clip("a%03d.mp4", sounds=[tone(2)])
    make_clip("a001.mp4", times_ms=range(0, 400, 40))
    with media.opened(clip) as container:
        assert container.duration == pytest.approx(2 * av.time_base, rel=0.1)
    make_clip("a001.png", times_ms=range(0, 400, 40))
    pictures = make_clip("a%03d.png", sounds=[tone(2)])  # FFmpeg takes this name for a row of pictures
    with pytest.raises(InputError, match="cannot be read"), media.opened(pictures):
        pass


def atom(name: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I", 8 + len(content)) + name + content


OPENING = """
import av, sys
from stages import hostile, media
hostile.OPTIONS.update(dict(item.split("=") for item in sys.argv[2:]))
try:
    with media.opened(sys.argv[1]) as container:
        print(sum(packet.size for packet in container.demux()))
except media.InputError as error:
    print(error)
"""


def opened_files(clip: Path, *options: str) -> str:
    """What the system is asked to open while a clip is read with FFmpeg's ``options`` changed."""
    if not shutil.which("strace"):
        pytest.skip("there is no strace here")
    command = ["strace", "--follow-forks", "--trace=open,openat", sys.executable, "-c", OPENING, str(clip), *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0 and clip.name in done.stderr, done.stderr[-2000:]
    return done.stderr


def test_references_of_a_mov_to_other_files_are_not_followed(make_clip: MakeClip) -> None:
    """An alias record in ``dref``, as of Apple's QuickTime file format, says where else the samples lie."""
    secret = make_clip("secret.mp4", sounds=[tone(2)])
    clip = make_clip("clip.mp4", sounds=[tone(2)])
    content, own = clip.read_bytes(), atom(b"url ", b"\0\0\0\1")
    assert content.count(own) == 2
    alias = bytearray(150)
    struct.pack_into(">H", alias, 6, 2)
    for kind, text in ((2, str(secret)), (18, str(secret))):
        name = text.encode()
        alias += struct.pack(">HH", kind, len(name)) + name + b"\0" * (len(name) % 2)
    alias += struct.pack(">hH", -1, 0)
    struct.pack_into(">HH", alias, 130, 1, 1)  # levels up to a common folder, and down from it
    reference = atom(b"alis", b"\0\0\0\0", bytes(alias))
    grown, at = len(reference) - len(own), 0
    while (at := content.find(own, at)) >= 0:  # moov lies behind mdat: the samples stay where they are
        content = content[:at] + reference + content[at + len(own) :]
        for parent in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
            place = content.rfind(parent, 0, at) - 4
            size = struct.unpack_from(">I", content, place)[0] + grown
            content = content[:place] + struct.pack(">I", size) + content[place + 4 :]
        at += len(reference)
    clip.write_bytes(content)
    assert secret.name not in opened_files(clip)
    assert secret.name in opened_files(clip, "enable_drefs=1", "use_absolute_path=1"), "the reference is a real one"


def test_translations_that_include_other_files_are_refused(tmp_path: Path, host: tuple[str, list[str]]) -> None:
    for name, entity in {"file": "file:///etc/passwd", "http": f"http://{host[0]}/x"}.items():
        file = tmp_path / f"{name}.tmx"
        file.write_text(
            f'<?xml version="1.0"?><!DOCTYPE tmx [<!ENTITY x SYSTEM "{entity}">]><tmx version="1.4"><body><tu>'
            '<tuv xml:lang="en"><seg>&x;</seg></tuv></tu></body></tmx>'
        )
        with pytest.raises(InputError, match="refers to other files"):
            read_units(file)
    assert host[1] == []


# How much is read


def test_limits_are_one_line_each(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip(sounds=[tone(2), tone(2)])
    for limit in (
        {"max_size_mb": 0.001}, {"max_duration_s": 1}, {"max_side_px": 63}, {"max_pixels": 64 * 48 - 1},
        {"max_streams": 2},
    ):  # fmt: skip
        (name,) = limit
        with pytest.raises(InputError, match=rf"are allowed; raise ingest\.{name} if it is meant") as error:
            open_inputs(clip, None, MediaConfig(**limit))
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"has 11 frames, and 10 are allowed; raise ingest\.max_frames"):
        media.ingest(media.open_source(clip), MediaConfig(max_frames=10), tmp_path, silent)


def test_limits_are_settings_and_in_no_key(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, to: list[str], out: Path
) -> None:
    monkeypatch.setenv("DUBWRIGHT_INGEST__MAX_DURATION_S", "5")
    line = refused(capsys, 2, out, "translate", SAMPLE, *to)
    assert "has 8.7" in line and "5 are allowed; raise ingest.max_duration_s" in line
    assert "DUBWRIGHT_INGEST__MAX_DURATION_S" in line
    assert load("embedded", {}).ingest.max_duration_s == 5
    assert MediaConfig(max_duration_s=5).model_dump() == MediaConfig().model_dump() == {"audio_track": None}


def test_a_length_that_no_header_tells_is_found_while_reading(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip("gap.mp4", times_ms=[0, 40, 80, 9_000_000], sounds=[tone(1)])
    with pytest.raises(InputError, match=r"s, and 14400 are allowed|s, and 8000 are allowed"):
        media.ingest(media.open_source(clip), MediaConfig(max_duration_s=8000), tmp_path, silent)


def test_a_gap_in_the_sound_is_not_filled_beyond_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "gap.mkv"
    with av.open(f"file:{file}", "w") as out:
        stream = out.add_stream("pcm_s16le", rate=48_000, layout="mono")
        for start in (0, 48_000 * 3600 * 9):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 48_000, start
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(InputError, match=r"has 32400.* s, and 14400 are allowed"):
        media.extract_sound(file, MediaConfig(), tmp_path / "sound.wav")
    sound = tmp_path / "sound.wav"
    assert not sound.exists() or sound.stat().st_size < 1 << 20


def test_a_picture_that_says_it_is_huge_is_not_decoded(tmp_path: Path) -> None:
    sound = tmp_path / "s.wav"
    with av.open(f"file:{sound}", "w") as out:
        stream = out.add_stream("pcm_s16le", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    picture = tmp_path / "bomb.png"
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0))
    rows = zlib.compress(bytes(30_000 * 3 + 1) * 100, 9)
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    with pytest.raises(
        InputError, match=r"has 30000 pixels on a side, and 8192 are allowed|cannot be read as a picture"
    ):
        open_inputs(picture, sound)


# Names


@pytest.mark.parametrize(
    "name", ["...mp4", "CON.mp4", "nul.mp4", "a\\..\\b.mp4", "-o.mp4", "a\x1b[2Jb.mp4", "~.mp4", "$(id).mp4"]
)
def test_no_name_leads_out_of_the_output_folder(make_clip: MakeClip, tmp_path: Path, name: str) -> None:
    clip = make_clip(name, sounds=[tone(2)])
    stem, folder = clip.stem, tmp_path / "out"
    check_place(folder, stem, ("pt-BR",), False)
    for made in (folder / f"{stem}.pt-BR.mp4", folder / f"{stem}.speakers.toml", folder / f"{stem}.pt-BR.edits.toml"):
        made.touch()
        assert made.resolve().parent == folder.resolve()
    assert all(sign.isprintable() for sign in hostile.printable(clip))


def test_a_name_too_long_for_its_outputs_is_said_before_any_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, to: list[str], out: Path
) -> None:
    clip = tmp_path / ("ä" * 120 + ".mp4")  # 244 bytes: a name that is allowed, with endings that are not
    clip.write_bytes(SAMPLE.read_bytes())
    assert "is too long for the names of what is made of it" in refused(capsys, 2, out, "translate", clip, *to)
    assert "there can be no such file" in refused(capsys, 2, out, "translate", tmp_path / ("x" * 300), *to)


def test_what_tracks_call_their_language_may_be_anything(make_clip: MakeClip, tmp_path: Path) -> None:
    clip, named = make_clip(sounds=[tone(2)]), tmp_path / "named.mkv"
    with av.open(str(clip)) as source, av.open(f"file:{named}", "w") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        for stream in streams.values():
            stream.metadata["language"] = "../!?"
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
    (sound,) = media.ingest(media.open_source(named), MediaConfig(), tmp_path, silent).sounds
    assert sound.language is None


# Texts


@pytest.mark.parametrize("text", ["x = " + "[" * 100_000, "x = " + "9" * 10_000, "[" * 5000, "\x00", '"' * 9])
def test_texts_that_are_no_toml(tmp_path: Path, text: str) -> None:
    for name, read in {"a.edits.toml": read_edits, "a.speakers.toml": read_speakers}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match="is not TOML") as error:
            read(tmp_path / name)
        assert len(str(error.value)) < 1000 and "\n" not in str(error.value)
    (tmp_path / "zz").mkdir()
    (tmp_path / "zz" / "pack.toml").write_text(text)
    with pytest.raises(PackError):
        Packs((tmp_path / "zz",)).load("zz")


def test_markup_without_end(tmp_path: Path) -> None:
    file = tmp_path / "a.tmx"
    deep = "<hi>" * 20_000 + "</hi>" * 20_000
    file.write_text(f'<tmx version="1.4"><body><tu><tuv xml:lang="en"><seg>{deep}</seg></tuv></tu></body></tmx>')
    with pytest.raises(InputError, match="markup inside markup"):
        read_units(file)


def test_there_is_no_way_to_run_what_a_file_says() -> None:
    rules = "S102,S103,S108,S301,S302,S306,S307,S310,S314,S506,S602,S604,S605,S606,S609,S701"
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--select", rules, "flows", "stages", "language_packs"],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    unsafe = [file for file in (ROOT / "stages").rglob("*.py") if "allow_pickle=True" in file.read_text()]
    assert unsafe == []
