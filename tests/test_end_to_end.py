"""The whole chain on the committed sample, once, without a network; everything else reads what that run left."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import jiwer
import numpy as np
import pysubs2
import pytest
from conftest import ROOT, SAMPLE, WATCHED, Run, stored

from stages import lipsync, media
from stages.artifacts import FaceTrack, Media, SpeakerFaces, Trajectory
from stages.inspect import normalised
from stages.lipsync.track_file import FaceStates
from stages.sound import SPEECH_RATE_HZ, resample
from stages.translate import possible_targets

pytestmark = pytest.mark.slow
TRUTH = (
    "Today, after two years of negotiations, the United States, together with our international partners, has achieved"
)
LIPS = [0, 13, 14, 17, 61, 291, 78, 308]
"""Face Landmarker's lip points: outer and inner middle, and the corners."""
LOOPBACK = re.compile(r"127\.\d+\.\d+\.\d+|::1|localhost")


def command(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=options.pop("cwd", ROOT),
        timeout=600,
        check=False,
        **options,
    )


def test_it_ends_well_without_a_network(run: Run) -> None:
    assert run.code == 0, run.errors
    names = sorted(file.name for file in run.out.iterdir())
    assert names == [
        "statement-en.en.srt",
        "statement-en.pt-BR.ass",
        "statement-en.pt-BR.mp4",
        "statement-en.pt-BR.report.json",
        "statement-en.pt-BR.srt",
        "statement-en.pt-BR.visemes.json",
        "statement-en.pt-BR.vtt",
        "statement-en.speakers.toml",
    ]


def test_nothing_tries_to_leave_the_machine(run: Run) -> None:
    assert [line for line in run.addresses.splitlines() if not LOOPBACK.search(line)] == []
    if run.system_calls is None:
        pytest.skip("strace is not on this machine or not permitted: only Python's own sockets were watched")
    attempts = re.findall(r"connect\(\d+, \{sa_family=AF_INET6?.*", run.system_calls)
    assert [line for line in attempts if not LOOPBACK.search(line)] == []


def test_tracks_and_languages(run: Run) -> None:
    with av.open(str(run.video)) as container:
        assert [(stream.type, stream.language) for stream in container.streams] == [
            ("video", "und"),
            ("audio", "por"),
            ("audio", "eng"),
            ("subtitle", "por"),
            ("subtitle", "eng"),
        ]
        dub = container.streams.audio[0]
        assert (dub.rate, dub.channels, dub.codec_context.name) == (48_000, 2, "aac")


def test_lengths_and_frame_times_are_the_sources(run: Run) -> None:
    def read(path: Path, kind: str) -> tuple[np.ndarray, float]:
        with av.open(str(path)) as container:
            stream = getattr(container.streams, kind)[0]
            stamps = sorted(packet.pts * stream.time_base * 1000 for packet in container.demux(stream) if packet.size)
            return np.array(stamps, dtype=float), float(stream.duration * stream.time_base * 1000)

    (before, picture_before), (after, picture_after) = read(SAMPLE, "video"), read(run.video, "video")
    assert np.allclose(after, before, atol=0.06)  # the container's own clock ticks every 0.05 ms
    frame_ms = 1000 / 12
    assert abs(picture_after - picture_before) < frame_ms
    assert abs(read(run.video, "audio")[1] - read(SAMPLE, "audio")[1]) < frame_ms


def test_what_was_said_was_understood(run: Run) -> None:
    heard = " ".join(line["source_text"] for line in run.report["lines"])
    words = normalised(TRUTH).split()
    assert jiwer.wer(" ".join(words), " ".join(normalised(heard).split()[: len(words)])) <= 0.15


def test_the_dub_says_its_lines_in_portuguese(run: Run) -> None:
    from stages import models
    from stages.transcribe.faster_whisper_engine import WhisperEngine

    with av.open(str(run.video)) as container:
        rate = container.streams.audio[0].rate
        samples = np.concatenate([f.to_ndarray().mean(axis=0) for f in container.decode(container.streams.audio[0])])
    heard = WhisperEngine(models.path("whisper-base")).recognise(
        resample(samples.astype(np.float32), rate, SPEECH_RATE_HZ), "pt", "transcribe"
    )
    text = " ".join(line["text"] for line in run.report["lines"])
    assert jiwer.cer(normalised(text), normalised(heard)) <= 0.12
    assert "Estados Unidos" in text and "negociações" in text


def test_lines_begin_with_their_originals(run: Run) -> None:
    for line in run.report["lines"]:
        assert abs(line["spoken_start_ms"] - line["start_ms"]) <= 80
        assert 0.8 <= line["rate"] <= 1.35
        assert line["spoken_end_ms"] <= run.report["source"]["duration_ms"]


def test_report_has_what_the_schema_promises(run: Run) -> None:
    report = run.report
    assert report["schema"] == 1 and report["target"] == "pt-BR"
    assert report["source"]["language"] == "en" and report["source"]["sha256"]
    stages = [stage["name"] for stage in report["stages"]]
    assert stages[:4] == ["ingest", "separate", "diarize", "speakers"] and "lipsync" in stages
    assert all(stage["seconds"] >= 0 and set(stage) >= {"name", "engine", "model_sha256"} for stage in report["stages"])
    promised = {
        "id",
        "speaker",
        "source_text",
        "text",
        "start_ms",
        "end_ms",
        "spoken_start_ms",
        "spoken_end_ms",
        "rate",
    }
    promised |= {"cer", "voice_similarity", "closures_expected", "closures_reached", "on_screen", "flags"}
    assert all(promised <= set(line) for line in report["lines"])
    (voice,) = report["voices"]
    assert voice["similarity_matched"] > voice["similarity_unmatched"] + 0.1


def test_visemes_follow_the_report(run: Run) -> None:
    content = json.loads((run.out / "statement-en.pt-BR.visemes.json").read_text())
    assert content["schema"] == 1 and content["fps"] == "12/1"
    for line, told in zip(content["lines"], run.report["lines"], strict=True):
        assert line["id"] == told["id"] and line["phones"]
        starts = [phone["start_ms"] for phone in line["phones"]]
        assert starts == sorted(starts) and abs(starts[0] - told["spoken_start_ms"]) <= 1
        lengths = {len(values) for values in line["trajectory"]["parameters"].values()}
        assert len(lengths) == 1 and lengths.pop() >= 12 * (told["spoken_end_ms"] - told["spoken_start_ms"]) // 1000


def test_subtitles_are_in_both_languages(run: Run) -> None:
    source, dub = (pysubs2.load(str(run.out / f"statement-en.{tag}.srt")) for tag in ("en", "pt-BR"))
    assert "negotiations" in " ".join(event.plaintext for event in source).replace("\n", " ")
    assert "negociações" in " ".join(event.plaintext for event in dub).replace("\n", " ")
    for kind in ("vtt", "ass"):
        same = pysubs2.load(str(run.out / f"statement-en.pt-BR.{kind}"))
        assert [event.plaintext for event in same] == [event.plaintext for event in dub]
    for track in (source, dub):
        assert all(before.end <= after.start for before, after in itertools.pairwise(track))


def test_the_man_on_the_right_speaks_and_only_his_mouth_changes(run: Run) -> None:
    track, faces = stored(run, "track", FaceTrack), stored(run, "faces", SpeakerFaces)
    clip = stored(run, "ingest", Media)
    states = FaceStates.all(track)
    middle_px = {face: float(state.landmarks()[..., 0].mean()) for face, state in states.items()}
    left, right = min(middle_px, key=middle_px.__getitem__), max(middle_px, key=middle_px.__getitem__)
    assert left != right and {turn.face for turn in faces.turns if turn.face is not None} == {right}

    def mouth_change(face: int) -> float:
        """Mean absolute difference in the mouth box, over all frames, after encoding."""
        differences = []
        for index, (before, after) in enumerate(zip(decoded(SAMPLE), decoded(run.video), strict=True)):
            row = states[face].row(index)
            if row is not None:
                mouth = states[face].landmarks(row, row + 1)[0, LIPS, :2]
                (x0, y0), (x1, y1) = mouth.min(axis=0).astype(int), mouth.max(axis=0).astype(int) + 1
                differences.append(np.abs(before[y0:y1, x0:x1] - after[y0:y1, x0:x1]).mean())
        return float(np.mean(differences))

    assert mouth_change(right) > 4 * mouth_change(left)
    assert mouth_change(left) < 3  # of 255: what encoding alone does
    assert clip.picture.frames == len(list(decoded(run.video)))


def decoded(path: Path) -> Iterator[np.ndarray]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="bgr24").astype(np.int16)


def test_pixels_outside_the_mouth_are_the_sources_before_encoding(run: Run, tmp_path: Path) -> None:
    video, clip, track = media.open_source(SAMPLE), stored(run, "ingest", Media), stored(run, "track", FaceTrack)
    faces, trajectory = stored(run, "faces", SpeakerFaces), stored(run, "visemes", Trajectory)
    touched = 0
    drawn = lipsync.drawn_frames(video, clip, track, faces, trajectory, lipsync.LipsyncConfig())
    for (_, after, patches), before in zip(drawn, media.frames(video, clip), strict=True):
        outside = np.ones(before.shape[:2], bool)
        for patch in patches.values():
            outside[patch.box.top : patch.box.bottom, patch.box.left : patch.box.right] &= ~patch.moved
        assert (before[outside] == after[outside]).all()
        touched += bool(patches)
        assert outside.mean() > 0.8
    assert touched > clip.picture.frames / 2


def stages_from_store(report: dict) -> set[bool]:
    return {stage["from_store"] for stage in report["stages"]}


def test_a_second_run_takes_everything_from_the_store_and_gives_the_same(run: Run, tmp_path: Path) -> None:
    again = command("translate", SAMPLE, "--to", "pt-BR", "--out", tmp_path, "--work", run.work)
    assert again.returncode == 0, again.stderr
    assert stages_from_store(json.loads((tmp_path / "statement-en.pt-BR.report.json").read_text())) == {True}
    assert (tmp_path / run.video.name).read_bytes() == run.video.read_bytes()


def test_a_dub_is_not_replaced_unasked(run: Run) -> None:
    before = run.video.stat().st_mtime_ns
    refused = command("translate", SAMPLE, "--to", "pt-BR", "--out", run.out, "--work", run.work)
    assert refused.returncode == 2 and "--force" in refused.stderr and len(refused.stderr.splitlines()) == 1
    assert run.video.stat().st_mtime_ns == before
    forced = command("translate", SAMPLE, "--to", "pt-BR", "--out", run.out, "--work", run.work, "--force", "--json")
    assert forced.returncode == 0 and run.video.stat().st_mtime_ns > before
    (told,) = json.loads(forced.stdout)
    assert told["target"] == "pt-BR" and Path(told["video"]) == run.video


@pytest.mark.parametrize(
    "name", ["two words.mp4", 'it\'s "quoted".mp4', "new\nline.mp4", "выступление 声明.mp4", "-dash.mp4", "--to.mp4"]
)
def test_any_file_name_will_do(run: Run, tmp_path: Path, name: str) -> None:
    shutil.copy(SAMPLE, tmp_path / name)
    done = command("translate", name, "--to", "pt-BR", "--work", run.work, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    stem = name.removesuffix(".mp4")
    assert (tmp_path / f"{stem}.dub" / f"{stem}.pt-BR.mp4").stat().st_size > 10_000
    assert (tmp_path / name).read_bytes() == SAMPLE.read_bytes()


def test_the_flow_does_the_same_as_the_command(run: Run, tmp_path: Path) -> None:
    addresses = tmp_path / "addresses"
    arguments = ["translate", str(SAMPLE), "--to", "pt-BR", "--out", str(tmp_path / "out"), "--work", str(run.work)]
    done = subprocess.run(
        [*WATCHED, str(addresses), *arguments, "--prefect"],
        capture_output=True, text=True, cwd=ROOT, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / run.video.name).read_bytes() == run.video.read_bytes()
    assert "lipsync -> pt-BR" in done.stderr + done.stdout and "statement-en -> pt-BR" in done.stderr + done.stdout
    assert [line for line in addresses.read_text().splitlines() if not LOOPBACK.search(line)] == []


def test_two_languages_share_what_can_be_shared(run: Run, tmp_path: Path) -> None:
    if "es" not in possible_targets("en"):
        pytest.skip("Apertium is not installed, so Spanish cannot be reached")
    done = command("translate", SAMPLE, "--to", "pt-BR", "--to", "es", "--out", tmp_path, "--work", run.work)
    assert done.returncode in (0, 1), done.stderr
    report = json.loads((tmp_path / "statement-en.es.report.json").read_text())
    assert {stage["name"] for stage in report["stages"] if stage["from_store"]} == {
        "ingest", "separate", "diarize", "speakers", "transcribe", "track", "faces", "personal"
    }  # fmt: skip
    with av.open(str(tmp_path / "statement-en.es.mp4")) as container:
        assert [stream.language for stream in container.streams.audio] == ["spa", "eng"]
    assert "Estados Unidos" in report["lines"][0]["text"] and report["totals"]["cer"] <= 0.12


def test_interrupted_work_is_kept(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "flows.cli", "translate", str(SAMPLE), "--to", "pt-BR"]
    arguments += ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]

    def interrupt_after(label: str) -> tuple[list[str], int]:
        with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, cwd=ROOT) as running:
            assert running.stderr is not None
            seen = []
            for line in running.stderr:
                seen.append(line)
                if line.startswith(label):
                    running.send_signal(signal.SIGINT)
            return seen, running.wait()

    seen, code = interrupt_after("Separating")
    assert code == 130 and "run the same command again" in seen[-1]
    assert not list((tmp_path / "work").rglob(".*.tmp")) and list((tmp_path / "out").iterdir()) == []
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "work").rglob("manifest.json")}
    assert {file.parts[-3] for file in kept} >= {"ingest", "separate"}
    interrupt_after("Finding who speaks")
    assert all(file.stat().st_mtime_ns == moment for file, moment in kept.items())
