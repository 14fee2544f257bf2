"""Prints the project's figures: speed, lips, memory, hearing, translation. ``make bench``; ``make bench ONLY=speed``.

Each figure is measured on the machine it runs on; a clip that is not there is left out and said so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
from looping import looped
from scaling import scaled
from translating import translation

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data" / "samples" / "statement-en.mp4"
CLIPS = ROOT.parent / "shared" / "clips"
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Measured:
    """One run of the command."""

    seconds: float
    peak_bytes: int
    report: dict


def dub(video: Path, out: Path, work: Path, *options: str, to: str = "pt-BR") -> Measured:
    """Dub into one language in a process of its own and measure it."""
    command = [sys.executable, "-m", "flows.cli", "translate", str(video), "--to", to, "--from", "en"]
    command += ["--out", str(out), "--work", str(work), "--force", *options]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        sys.exit(f"{video.name} failed:\n{errors}")
    report = json.loads((out / f"{video.stem}.{to}.report.json").read_text())
    return Measured(time.perf_counter() - started, usage.ru_maxrss * 1024, report)


def speed(scratch: Path) -> None:
    """Seconds per stage and for the whole job, from warm weights and a cold store; then again from the store."""
    for video in present(SAMPLE, CLIPS / "talker-b.mp4"):
        whole_job(video, scratch, limit=8)
    for video in present(CLIPS / "talker-b.mp4"):
        whole_job(looped(video, scratch / "talker-b-60s.mp4", 60), scratch, limit=3)


def whole_job(video: Path, scratch: Path, limit: float) -> None:
    """Print one job's figures."""
    work = scratch / f"work-{video.stem}"
    first = dub(video, scratch / video.stem, work)
    again = dub(video, scratch / video.stem, work)
    length_s = first.report["source"]["duration_ms"] / 1000
    print(f"\n{video.name}: {length_s:.1f} s")
    for stage in first.report["stages"]:
        print(f"  {stage['name']:<11} {stage['seconds']:7.1f} s")
    print(f"  whole job   {first.seconds:7.1f} s = {first.seconds / length_s:.2f} x its length (goal <= {limit})")
    print(f"  again       {again.seconds:7.1f} s (goal < 10)")
    print(f"  peak memory {first.peak_bytes / MEGABYTE:7.0f} MB (goal <= 2560)")
    totals = first.report["totals"]
    print(
        f"  CER of back-transcription {totals['cer']:.3f} (goal <= .12), voice similarity {totals['voice_similarity']}"
    )
    print(f"  closures {totals['closures_reached']} of {totals['closures_expected']}")
    print(f"  starts within 80 ms: {totals['starts_within_80_ms']:.2f}")
    print(f"  loudness {totals['integrated_lufs']} LUFS, source {first.report['source']['integrated_lufs']} LUFS")


def lips(scratch: Path) -> None:
    """Frames per second of moving the lips, from a cold store, and of a second language; at two sizes."""
    for video in present(CLIPS / "talker-b.mp4"):
        for width_px, height_px in ((1280, 720), (640, 360)):
            short = scaled(video, scratch / f"talker-b-{height_px}-short.mp4", width_px, height_px)
            clip = looped(short, scratch / f"talker-b-{height_px}.mp4", 24)
            first, second = (
                dub(clip, scratch / clip.stem, scratch / f"work-{clip.stem}", to=tag) for tag in ("pt-BR", "es")
            )
            with av.open(str(clip)) as opened:
                frames = opened.streams.video[0].frames
            print(f"\n{clip.name}: {width_px}x{height_px}, {frames} frames, {os.cpu_count()} cores, "
                  f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
            seconds = {stage["name"]: stage["seconds"] for stage in first.report["stages"]}
            track_s, drawn_s = seconds["track"], seconds["faces"] + seconds["personal"] + seconds["lipsync"]
            print(f"  track                     {frames / track_s:6.1f} frames/s ({track_s:.1f} s)")
            print(f"  faces, personal, lipsync  {frames / drawn_s:6.1f} frames/s ({drawn_s:.1f} s)")
            print(f"  all of them, cold store   {frames / (track_s + drawn_s):6.1f} frames/s (goal >= 25)")
            again = {stage["name"]: stage for stage in second.report["stages"]}
            kept = "from the store" if again["track"]["from_store"] else "MADE AGAIN"
            print(f"  a second language, es     {frames / again['lipsync']['seconds']:6.1f} frames/s (track {kept})")
            print(f"  peak memory of the job    {first.peak_bytes / MEGABYTE:6.0f} MB")
        print("\nWav2Lip beside it: left out, it is not installed")


def memory(scratch: Path) -> None:
    """Peak memory of 1 and of 10 minutes of the same clip."""
    for video in present(CLIPS / "talker-b.mp4"):
        peaks = []
        for minutes in (1, 10):
            long = looped(video, scratch / f"talker-b-{minutes}min.mp4", minutes * 60)
            measured = dub(long, scratch / long.stem, scratch / f"work-{long.stem}")
            peaks.append(measured.peak_bytes)
            length_s = measured.report["source"]["duration_ms"] / 1000
            print(f"\n{long.name}: peak {measured.peak_bytes / MEGABYTE:.0f} MB (goal <= 2560), "
                  f"{measured.seconds:.0f} s = {measured.seconds / length_s:.2f} x its length")  # fmt: skip
        print(f"10 minutes over 1 minute: {peaks[1] / peaks[0]:.3f} (goal <= 1.15)")


def hearing(scratch: Path) -> None:
    """Word error rate on ten sentences of A Tale of Two Cities."""
    import jiwer

    from stages import models
    from stages.inspect import normalised
    from stages.sound import SPEECH_RATE_HZ, read, resample
    from stages.transcribe.faster_whisper_engine import WhisperEngine

    for sound in present(CLIPS / "speech-en-long.wav"):
        samples, rate = read(sound)
        mono = samples if samples.ndim == 1 else samples.mean(axis=1)
        engine = WhisperEngine(models.path("whisper-base"))
        heard = engine.recognise(resample(mono, rate, SPEECH_RATE_HZ), "en", "transcribe")
        truth = (ROOT / "bench" / "tale-of-two-cities.txt").read_text()
        print(f"\nspeech-en-long.wav: WER {jiwer.wer(normalised(truth), normalised(heard)):.3f} (goal <= .05)")


def present(*files: Path) -> list[Path]:
    """Return the files that are here, and say which are not."""
    for file in files:
        if not file.is_file():
            print(f"\n{file.name}: not on this machine, left out")
    return [file for file in files if file.is_file()]


SECTIONS: dict[str, Callable[[Path], None]] = {
    "speed": speed,
    "lips": lips,
    "hearing": hearing,
    "memory": memory,
    "translation": translation,
}


def main() -> None:
    """Print the chosen sections."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], default=list(SECTIONS))
    with tempfile.TemporaryDirectory(prefix="dubwright-bench-") as scratch:
        for name in parser.parse_args().sections:
            SECTIONS[name](Path(scratch))


if __name__ == "__main__":
    main()
