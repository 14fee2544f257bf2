"""One line of a finished dub made anew, on the sample three times over; everything else must be as it was."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import av
import numpy as np
import pysubs2
import pytest
import soundfile
from conftest import ROOT, SAMPLE

from bench.looping import looped
from flows.finished import Finished, read_finished
from language_packs import PARAMETERS
from stages import lipsync, media
from stages.evaluate.retrack import mouth_box, warping_error
from stages.lipsync import LipsyncConfig, rerun
from stages.lipsync.render import rendered_frames
from stages.lipsync.splice import group_spans
from stages.lipsync.track_file import FaceStates
from stages.picture_writer import picture_groups

LINE = 2
TEXT = "Hoje, os Estados Unidos e os seus parceiros deram um passo importante para a paz."
EDITS = f'[lines.{LINE}]\ntext = "{TEXT}"\n'


@dataclass(frozen=True)
class Both:
    """The dub as it was and with one line made anew."""

    clip: Path
    work: Path
    before: Path
    after: Path
    errors: str
    """What the re-run said."""

    def finished(self, folder: Path) -> Finished:
        found = read_finished(report(folder), media.open_source(self.clip), self.work)
        assert found is not None
        return found

    @cached_property
    def was(self) -> Finished:
        return self.finished(self.before)

    @cached_property
    def now(self) -> Finished:
        return self.finished(self.after)

    @cached_property
    def again(self) -> rerun.Replanned:
        shared = self.now.shared
        picture = self.was.dub.picture
        return rerun.replan(shared.media, shared.track, shared.faces, self.now.dub.trajectory, picture, LipsyncConfig())

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """Groups of pictures with a changed frame."""
        shared = self.now.shared
        times_ms = np.load(shared.media.file(shared.media.frame_times))
        return group_spans(self.again.frames, times_ms, [first for first, _ in shared.track.shots])

    @cached_property
    def drawn(self) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
        """Frames before encoding: all of the first run, and those that the re-run drew."""
        video, shared, config = media.open_source(self.clip), self.was.shared, LipsyncConfig()
        scratch = self.work / "drawn"
        scratch.mkdir()
        faces, trajectory = shared.faces, self.was.dub.trajectory
        first = lipsync.drawn_frames(video, shared.media, shared.track, faces, trajectory, config)
        old = {index: bgr for index, bgr, _ in first}
        with rerun.chosen(self.again, self.was.dub.picture, shared.track, config, scratch) as painters:
            new = {
                index: bgr
                for span in self.spans
                for index, bgr, _ in rendered_frames(video, shared.media, painters, *span)
            }
        return old, new


def report(folder: Path) -> dict:
    return json.loads((folder / "said.pt-BR.report.json").read_text())


def translate(clip: Path, out: Path, work: Path, *options: str) -> subprocess.CompletedProcess[str]:
    arguments = ["translate", str(clip), "--to", "pt-BR", "--out", str(out), "--work", str(work), *options]
    command = [sys.executable, "-m", "flows.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=800, check=False)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    base = tmp_path_factory.mktemp("rerun")
    clip = looped(SAMPLE, base / "said.mp4", 26)
    before, after, work = base / "before", base / "after", base / "work"
    first = translate(clip, before, work, "--from", "en")
    assert first.returncode in (0, 1), first.stderr
    assert len(report(before)["lines"]) >= 3
    shutil.copytree(before, after)
    (after / "said.pt-BR.edits.toml").write_text(EDITS, encoding="utf-8")
    second = translate(clip, after, work, "--line", str(LINE))
    assert second.returncode in (0, 1), second.stderr
    return Both(clip, work, before, after, second.stderr)


def test_the_line_says_what_was_written(both: Both) -> None:
    (line,) = [line for line in report(both.after)["lines"] if line["id"] == LINE]
    assert line["text"] == TEXT and line["full_text"] is None and line["cer"] <= 0.15
    assert 0.8 <= line["rate"] <= 1.35
    subtitles = " ".join(event.plaintext for event in pysubs2.load(str(both.after / "said.pt-BR.srt")))
    assert "um passo importante" in subtitles.replace("\n", " ")
    assert report(both.after)["rerun"]["lines"] == [LINE] and report(both.before)["rerun"] is None


def test_other_lines_are_reported_as_before(both: Both) -> None:
    old, new = (
        [line for line in report(folder)["lines"] if line["id"] != LINE] for folder in (both.before, both.after)
    )
    assert old == new and len(old) >= 2


def test_other_lines_keep_every_sample(both: Both) -> None:
    (old, rate), (new, _) = (
        soundfile.read(each.dub.mixdown.file("dub.wav"), dtype="int16") for each in (both.was, both.now)
    )
    assert old.shape == new.shape
    for line in both.was.dub.speech.lines:
        inside = slice(line.start_ms * rate // 1000, line.end_ms * rate // 1000)
        same = np.array_equal(old[inside], new[inside])
        assert same == (line.id != LINE)
    changed = np.flatnonzero((old != new).any(axis=1))
    kept = {line.id: line for line in both.was.dub.speech.lines}
    assert changed[0] >= kept[1].end_ms * rate // 1000 and changed[-1] <= -(-kept[3].start_ms * rate // 1000)


def test_other_lines_keep_their_trajectory_and_the_joins_are_smooth(both: Both) -> None:
    times_ms = np.load(both.was.shared.media.file("frame_times.npy"))
    (speaker,) = both.was.dub.trajectory.speakers
    old, new = (np.load(each.dub.trajectory.file("trajectory.npz"))[speaker] for each in (both.was, both.now))
    for line in both.was.dub.speech.lines:
        inside = (times_ms >= line.start_ms) & (times_ms <= line.end_ms)
        assert np.array_equal(old[inside], new[inside]) == (line.id != LINE)
    changed = np.flatnonzero((old != new).any(axis=1))
    columns = [PARAMETERS.index(name) for name in ("aperture", "jaw", "width")]
    steps = np.abs(np.diff(new[:, columns], axis=0)).max(axis=1)
    joins = [changed[0] - 1, changed[-1]]
    assert steps[joins].max() <= np.percentile(np.delete(steps, joins), 95)


def packets(picture: Path) -> list[tuple[int, int, bool, bytes]]:
    with av.open(str(picture)) as container:
        return [(p.pts, p.duration, p.is_keyframe, bytes(p)) for p in container.demux(video=0) if p.size]


def test_only_groups_with_a_changed_frame_are_encoded_again(both: Both) -> None:
    old, new = (packets(each.dub.picture.file("picture.mp4")) for each in (both.was, both.now))
    assert [packet[:3] for packet in old] == [packet[:3] for packet in new], "times and key frames stay"
    redrawn, count = both.now.dub.picture.redrawn, len(old)
    assert redrawn is not None
    encoded = {frame for first, last in both.spans for frame in range(first, last + 1)}
    assert {index for index in range(count) if old[index][3] != new[index][3]} <= encoded
    assert redrawn.changed_frames == len(both.again.frames) <= redrawn.drawn_frames == len(encoded)
    assert redrawn.drawn_frames <= redrawn.decoded_frames < count
    assert f"of {count} frames {redrawn.changed_frames} changed" in both.errors


def test_the_joined_picture_decodes_to_what_was_there(both: Both) -> None:
    encoded = {frame for first, last in both.spans for frame in range(first, last + 1)}
    with av.open(str(both.before / "said.pt-BR.mp4")) as old, av.open(str(both.after / "said.pt-BR.mp4")) as new:
        pairs = list(zip(old.decode(video=0), new.decode(video=0), strict=True))
        assert len(pairs) == both.was.shared.media.picture.frames
        for index, (was, now) in enumerate(pairs):
            assert was.pts == now.pts
            if index not in encoded:
                assert np.array_equal(was.to_ndarray(), now.to_ndarray())


def test_unchanged_frames_are_drawn_bit_for_bit_as_before(both: Both) -> None:
    old, new = both.drawn
    changed = set(both.again.frames.tolist())
    assert changed and changed < set(new) < set(old)
    for index, bgr in new.items():
        assert index in changed or np.array_equal(bgr, old[index]), f"frame {index}"
    assert sum(not np.array_equal(new[index], old[index]) for index in changed) > len(changed) / 2


def test_the_picture_does_not_jump_where_it_joins(both: Both) -> None:
    old, new = both.drawn
    shown = old | new
    at_joins, elsewhere = [], []
    for face, is_changed in both.again.changed.items():
        states = FaceStates(both.now.shared.track, face)
        for row in range(1, len(states.frames)):
            before, after = states.frames[row - 1 : row + 1].tolist()
            box = mouth_box(states.landmarks(row, row + 1)[0], shown[0].shape)
            grey = [shown[frame][box].mean(axis=2).astype(np.uint8) for frame in (before, after)]
            is_join = is_changed[row - 1] != is_changed[row]
            (at_joins if is_join else elsewhere).append(warping_error(*grey))
    assert at_joins and max(at_joins) <= np.percentile(elsewhere, 95)


def test_nothing_changes_where_nothing_is_asked(both: Both) -> None:
    stamps = {file: file.stat().st_mtime_ns for file in both.after.iterdir()}
    done = translate(both.clip, both.after, both.work, "--line", "1", "--line", str(LINE))
    assert done.returncode == 0, done.stderr
    assert "line 1-2: text and voice are as they were; nothing was changed." in done.stderr
    assert {file: file.stat().st_mtime_ns for file in both.after.iterdir()} == stamps


def test_taking_the_edit_back_gives_the_first_dub_again(both: Both, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(both.after, out)
    (out / "said.pt-BR.edits.toml").unlink()
    done = translate(both.clip, out, both.work, "--line", str(LINE))
    assert done.returncode in (0, 1), done.stderr
    back = both.finished(out).dub
    assert back.script.lines == both.was.dub.script.lines and back.speech.lines == both.was.dub.speech.lines
    old, new = (np.load(each.trajectory.file("trajectory.npz")) for each in (both.was.dub, back))
    assert all(np.array_equal(old[name], new[name]) for name in old.files)


def test_a_whole_run_takes_the_edit_over_and_leaves_the_file(both: Both, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(both.after, out)
    done = translate(both.clip, out, both.work, "--from", "en", "--force")
    assert done.returncode in (0, 1), done.stderr
    assert [line["text"] for line in report(out)["lines"] if line["id"] == LINE] == [TEXT]
    assert (out / "said.pt-BR.edits.toml").read_text(encoding="utf-8") == EDITS
    assert report(out)["rerun"] is None


@pytest.mark.parametrize(
    ("edits", "options", "message"),
    [
        (EDITS, ["--line", "99"], "--line 99: there is no such line; there are: 1-LAST"),
        ('[lines.7]\ntext = "Oi."', ["--line", "2"], "there is no line 7; there are: 1-LAST"),
        ('[lines.7]\ntext = "Oi."', ["--force", "--from", "en"], "there is no line 7; there are: 1-LAST"),
        ("[lines.2\n", ["--line", "2"], "is not TOML"),
        ("[lines.2]\ntext = ' '", ["--line", "2"], "lines.2.text: the text is empty"),
        ("[lines.2]\nvoice = 'x'\ntext = 'Oi.'", ["--line", "2"], "lines.2.voice: there is no such key"),
        ("[lines.two]\ntext = 'Oi.'", ["--line", "2"], "lines.two: is not the number of a line"),
        ("[lines.2]\n", ["--line", "2"], "lines.2.text: is missing"),
        ("[lines.2]\ntext = 5", ["--line", "2"], "lines.2.text: "),
        (EDITS, ["--line", "2", "--speakers", "2"], "setting diarize.speakers is 2 and was None"),
        (EDITS, ["--line", "2", "--to", "es"], "give one language with --to"),
        (f'[lines.2]\ntext = "{TEXT * 4}"', ["--line", "2"], "does not fit between the lines beside it"),
    ],
)
def test_what_cannot_be_asked(both: Both, tmp_path: Path, edits: str, options: list[str], message: str) -> None:
    out = tmp_path / "out"
    shutil.copytree(both.before, out)
    (out / "said.pt-BR.edits.toml").write_text(edits, encoding="utf-8")
    content = {file.name: file.read_bytes() for file in out.iterdir()}
    refused = translate(both.clip, out, both.work, *options)
    (line,) = [line for line in refused.stderr.splitlines() if line.startswith("dubwright: ")]
    message = message.replace("LAST", str(report(both.before)["lines"][-1]["id"]))
    assert refused.returncode == 2 and message in line and "Traceback" not in refused.stderr
    assert {file.name: file.read_bytes() for file in out.iterdir()} == content


def test_a_line_needs_a_finished_dub(both: Both, tmp_path: Path) -> None:
    refused = translate(both.clip, tmp_path / "out", both.work, "--line", "1")
    assert refused.returncode == 2 and "holds no finished dub of this video in pt-BR" in refused.stderr
    elsewhere = translate(both.clip, both.before, tmp_path / "work", "--line", "1")
    assert elsewhere.returncode == 2 and "give the right one with --work" in elsewhere.stderr


def test_groups_of_pictures_are_short_begin_at_cuts_and_are_never_one_frame() -> None:
    times_ms = np.arange(131) * 40.0
    groups = picture_groups(times_ms, [0, 30])
    assert [first for first, _ in groups][:2] == [0, 30] and groups[-1][1] == 130
    assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(groups))
    assert all(2 <= last - first + 1 <= 51 for first, last in groups)
    assert picture_groups(np.array([0.0, 5000.0, 10_000.0]), []) == [(0, 2)]
