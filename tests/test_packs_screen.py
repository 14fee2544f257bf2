"""A pack reaches the screen: one text read and spoken by two packs gives two mouths, asked for and seen.

The packs share the articulation of the IPA, so what tells two languages apart is first which sounds a text has in them,
and then how each makes its sounds. The line is one that both readings share word by word: *public, plus, bus, sud,
culture, justice* have the close rounded /y/ in French and an unrounded vowel where the English pack is forced on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from language_packs import PARAMETERS, Pack, load_pack
from language_packs.derive import articulations
from language_packs.g2p import phonemize, segments
from stages import media as video_files
from stages.artifacts import (
    FaceTrack,
    FaceTurn,
    Media,
    Phone,
    SourceVideo,
    SpeakerFaces,
    SpokenLine,
    Trajectory,
)
from stages.evaluate.asked import DRIVEN
from stages.evaluate.picture import rendered_frames
from stages.evaluate.retrack import Seen
from stages.lipsync import LipsyncConfig, TrackConfig, sync, track
from stages.lipsync.detector import FaceReader
from stages.lipsync.measured import straight_face
from stages.lipsync.render import plan_faces
from stages.lipsync.track_file import FaceStates
from stages.progress import silent
from stages.visemes import VisemesConfig
from stages.visemes.contacts import enforce
from stages.visemes.gestures import gestures_of
from stages.visemes.trajectory import blend

SAMPLE = Path(__file__).parents[1] / "data" / "samples" / "statement-en.mp4"
LINE = "Le public du Sud a plus de culture, plus de bus et plus de justice"
STARTS_MS, PHONE_MS = 700, 150
LEAST_NARROWER_IOD = 0.01
"""By how much the mouth must be narrower in the French /y/: 1 % of the distance of the outer eye corners."""
PROTRUSION, WIDTH = PARAMETERS.index("protrusion"), PARAMETERS.index("width")


def word_times(text: str) -> list[tuple[str, float, float]]:
    """Give every word the time that its French phones take."""
    words, now = [], float(STARTS_MS)
    for word in text.split():
        ends = now + PHONE_MS * len(segments(phonemize(word, load_pack("fr").g2p)))
        words.append((word, now, ends))
        now = ends
    return words


def spoken(text: str, pack: Pack) -> SpokenLine:
    """Say a text as a pack reads it; every reading has the same word times, and phones share their word equally."""
    phones = []
    for word, start, end in word_times(text):
        read = segments(phonemize(word, pack.g2p))
        edges = np.linspace(start, end, len(read) + 1).round().astype(int).tolist()
        phones += [Phone(ipa=ipa, start_ms=a, end_ms=b) for ipa, a, b in zip(read, edges, edges[1:], strict=False)]
    return SpokenLine(
        id=1, speaker="S1", sound="1.wav", sound_start_ms=STARTS_MS, start_ms=STARTS_MS, end_ms=phones[-1].end_ms,
        rate=1.0, similarity=1.0, phones=tuple(phones),
    )  # fmt: skip


def trajectory(line: SpokenLine, pack: Pack, times_ms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return parameters (frames, 9) and speaking (frames,) of a line as a pack articulates it."""
    gestures, config = gestures_of([line], pack.overrides), VisemesConfig()
    values, speaking = blend(gestures, times_ms, config.timing)
    return enforce(values, gestures, times_ms, config.rules), speaking


def during(line: SpokenLine, sounds: tuple[str, ...], times_ms: np.ndarray) -> np.ndarray:
    """Return bool (frames,): the middle of one of these sounds, past the way to it."""
    inside = np.zeros(len(times_ms), dtype=bool)
    for phone in line.phones:
        if phone.ipa in sounds:
            quarter = (phone.end_ms - phone.start_ms) / 4
            inside |= (times_ms >= phone.start_ms + quarter) & (times_ms <= phone.end_ms)
    return inside


class TestTrajectories:
    times_ms = np.arange(0, 12_000, 10.0)

    def test_the_same_text_is_rounded_in_french_and_not_in_english(self):
        french, english = load_pack("fr"), load_pack("en")
        line = spoken(LINE, french)
        ours, _ = trajectory(line, french, self.times_ms)
        theirs, _ = trajectory(spoken(LINE, english), english, self.times_ms)
        here = during(line, ("y",), self.times_ms)
        assert here.sum() > 50
        assert ours[here, PROTRUSION].mean() > 0.5
        assert ours[here, PROTRUSION].mean() - theirs[here, PROTRUSION].mean() > 0.3

    def test_the_same_phones_are_made_otherwise_where_the_packs_say_so(self):
        french, english = load_pack("fr"), load_pack("en")
        line = spoken("chaque dimanche Jean cherche un chat", french)
        ours, _ = trajectory(line, french, self.times_ms)
        theirs, _ = trajectory(line, english, self.times_ms)
        here = during(line, ("ʃ", "ʒ"), self.times_ms)
        assert ours[here, PROTRUSION].mean() - theirs[here, PROTRUSION].mean() > 0.1
        assert ours[here, WIDTH].mean() < theirs[here, WIDTH].mean() - 0.03

    def test_a_line_whose_vowels_both_languages_round_differs_in_other_ways(self):
        """*tu, vu, rue, une, lune*: English reads /u/ for the French /y/; both protrude."""
        french, english = load_pack("fr"), load_pack("en")
        line = spoken("tu as vu la rue, une lune", french)
        ours, _ = trajectory(line, french, self.times_ms)
        theirs, _ = trajectory(spoken("tu as vu la rue, une lune", english), english, self.times_ms)
        here = during(line, ("y",), self.times_ms)
        assert ours[here, PROTRUSION].mean() > 0.5 and theirs[here, PROTRUSION].mean() > 0.4
        assert np.abs(ours - theirs)[here].max() > 0.1

    def test_french_front_rounded_vowels_are_what_english_has_not(self):
        english = segments(phonemize("the moon and the jury use music", load_pack("en").g2p))
        assert "y" not in english
        (french,) = articulations("y", load_pack("fr").overrides)
        (spread,) = articulations("i", load_pack("fr").overrides)
        assert french.targets["protrusion"] - spread.targets["protrusion"] > 0.5


@dataclass(frozen=True)
class Tracked:
    video: SourceVideo
    media: Media
    track: FaceTrack
    face: int
    times_ms: np.ndarray


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    folder = tmp_path_factory.mktemp("tracked")
    video = video_files.open_source(SAMPLE)
    media = video_files.ingest(video, video_files.MediaConfig(), folder, silent).at(folder)
    found = track(video, media, TrackConfig(), folder, silent).at(folder)
    # The man on the right speaks.
    face = max((each.id for each in found.faces), key=lambda each: FaceStates(found, each).landmarks()[..., 0].mean())
    return Tracked(video, media, found, face, np.load(media.file(media.frame_times)))


def width_on_screen(tracked: Tracked, pack: Pack, folder: Path) -> np.ndarray:
    """Dub the line as a pack reads and moves it; return the mouth's width tracked again, (frames,) IOD."""
    folder.mkdir()
    values, speaking = trajectory(spoken(LINE, pack), pack, tracked.times_ms)
    np.savez(folder / "trajectory.npz", **{"S1": values.astype(np.float32), "S1.speaking": speaking})
    asked = Trajectory(speakers=("S1",), visemes=()).at(folder)
    faces = SpeakerFaces(turns=(FaceTurn(speaker="S1", start_ms=300, end_ms=8300, face=tracked.face, margin=1.0),))
    config = LipsyncConfig()
    picture = sync(tracked.video, tracked.media, tracked.track, faces, asked, config, folder, silent).at(folder)
    assert picture.video is not None
    _, plans = plan_faces(tracked.media, tracked.track, faces, asked, config)
    plan = plans[tracked.face]
    rendered = video_files.open_source(picture.file(picture.video))
    with FaceReader(with_blendshapes=False) as reader:
        seen = Seen(plan.states, straight_face(plan.states), len(tracked.times_ms), reader)
        for index, bgr in enumerate(rendered_frames(rendered, tracked.media)):
            seen.look(index, bgr)
    driven = np.zeros(len(tracked.times_ms), dtype=bool)
    driven[plan.states.frames] = plan.strength >= DRIVEN
    return np.where(driven, seen.width_iod, np.nan)


@pytest.mark.slow
def test_french_rounding_is_seen_in_the_picture(tracked: Tracked, tmp_path: Path) -> None:
    french, english = load_pack("fr"), load_pack("en")
    line = spoken(LINE, french)
    assert line.end_ms < 8300
    ours = width_on_screen(tracked, french, tmp_path / "fr")
    theirs = width_on_screen(tracked, english, tmp_path / "en")
    rounded = during(line, ("y",), tracked.times_ms)
    narrower = (theirs - ours)[rounded & np.isfinite(ours) & np.isfinite(theirs)]
    assert len(narrower) >= 12
    assert narrower.mean() > LEAST_NARROWER_IOD
    assert (narrower > 0).mean() >= 0.8
    elsewhere = np.nanmean((theirs - ours)[~rounded])
    assert narrower.mean() - elsewhere > LEAST_NARROWER_IOD / 2, "it is the rounded vowels that are narrower"
