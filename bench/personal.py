"""Do personal visemes foretell a speaker's lips better than the pack? ``python -m bench.personal CLIP --from en``.

Each half of a clip is learnt from and the other half foretold; printed are correlation and root mean square error of
the measured parameters, with the pack's own targets and with what was learnt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from flows.job import Job, Runner
from language_packs import PARAMETERS, load_pack
from stages import pipeline
from stages.artifacts import SpeakerHabits
from stages.media import open_source
from stages.settings import load
from stages.transcribe.vocabulary import Vocabulary
from stages.visemes.personal import LEARNT, Mouths, Sight, learn, source_gestures, with_habits
from stages.visemes.trajectory import Timing, blend


def main() -> None:
    """Print a line per half, parameter and kind of targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--from", dest="language", default="en")
    given = parser.parse_args()
    video, settings = open_source(given.clip), load("embedded", {"transcribe": {"language": given.language}})
    run = Runner(Job(video, (), settings, Path()), lambda stage, language: lambda share_done: None)
    media = run(pipeline.INGEST, video)
    separation = run(pipeline.SEPARATE, media)
    diarization = run(pipeline.DIARIZE, separation)
    transcript = run(pipeline.TRANSCRIBE, separation, diarization, Vocabulary())
    track = run(pipeline.TRACK, video, media)
    faces = run(pipeline.FACES, track, media, diarization, separation)
    mouths = Mouths(track, faces, np.load(media.file(media.frame_times)))
    for speaker in dict.fromkeys(line.speaker for line in transcript.lines):
        sight = mouths.of(speaker)
        lines = [line for line in transcript.lines if line.speaker == speaker]
        if sight is not None:
            judge(speaker, source_gestures(lines, load_pack(transcript.language)), sight)


def judge(speaker: str, gestures: list, sight: Sight) -> None:
    """Print how well each half of what a speaker says is foretold from the other."""
    middle = float(np.median(sight.times_ms))
    halves = (
        ([each for each in gestures if each.end_ms < middle], part(sight, sight.times_ms < middle)),
        ([each for each in gestures if each.start_ms > middle], part(sight, sight.times_ms >= middle)),
    )
    for number, ((heard, seen), (tested, truth)) in enumerate((halves, halves[::-1]), start=1):
        learnt = SpeakerHabits(speaker=speaker, visemes=learn(heard, seen, Timing()))
        for name, targets in (("pack", tested), ("own", with_habits(tested, learnt))):
            foretold, speaking = blend(targets, truth.times_ms, Timing())
            for parameter in LEARNT:
                asked = foretold[speaking, PARAMETERS.index(parameter)]
                off = asked - truth.parameters[parameter][speaking]
                alike = np.corrcoef(asked, truth.parameters[parameter][speaking])[0, 1]
                error = float(np.sqrt((off**2).mean()))
                print(f"{speaker} half {number} {parameter:<9} {name:<5} r {alike:5.2f}  RMSE {error:.3f}")


def part(sight: Sight, rows: np.ndarray) -> Sight:
    """Return some frames of a sight."""
    return Sight(sight.times_ms[rows], {name: values[rows] for name, values in sight.parameters.items()})


if __name__ == "__main__":
    main()
