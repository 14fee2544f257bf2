"""What is seen: faces, the mouth's trajectory and the picture that shows it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from stages.artifacts.base import Artifact, Record
from stages.artifacts.heard import Turn


class Face(Record):
    """One tracked face: an identity kept across frames."""

    id: int
    first_frame: int
    last_frame: int


class FaceTrack(Artifact):
    """All faces of the picture, frame by frame. One track serves every target language."""

    faces: tuple[Face, ...]
    shots: tuple[tuple[int, int], ...]
    """First and last frame (inclusive) of every shot."""
    arrays: str = "track.npz"
    """Per face id ``n``: ``frames_n`` int32 (k,), ``landmarks_n`` float32 (k, 478, 3) in px of the shown picture (z in
    the same scale), ``pose_n`` float32 (k, 3) yaw, pitch, roll in degrees, ``blendshapes_n`` float32 (k, 52),
    ``likeness_n`` float32 (k,) how like its usual self the lower face looks (low where something hides it)."""
    mouths: str = "seen_mouths.npz"
    """What lies beside it in ``seen_mouths_n.bgr``: see :class:`stages.lipsync.crops.MouthWriter`."""


class FaceTurn(Record):
    """A turn whose speaker's face is seen, or the reason why none was chosen."""

    speaker: str
    start_ms: int
    end_ms: int
    face: int | None
    margin: float
    """How much better this face's mouth follows the speech than the next best one (correlation difference)."""
    reason: str = ""


class SpeakerFaces(Artifact):
    """Which face speaks in which turn."""

    turns: tuple[FaceTurn, ...]


class VisemeHabit(Record):
    """How one speaker's viseme differs from the pack's."""

    viseme: str
    """Its label; ``vowel`` and ``consonant`` stand for all that are not named."""
    phones: int
    """How many were heard and seen."""
    offsets: dict[str, float]
    """By parameter, what is to be added to the pack's target."""


class SpeakerHabits(Record):
    """One speaker's own visemes."""

    speaker: str
    visemes: tuple[VisemeHabit, ...]
    reason: str = ""
    """Why there are none."""


class PersonalVisemes(Artifact):
    """What the source's own speech tells about each speaker's visemes."""

    speakers: tuple[SpeakerHabits, ...]


class Viseme(Record):
    """One phone as the mouth makes it, with the kind of contact it must show."""

    line_id: int
    ipa: str
    viseme: str
    start_ms: int
    end_ms: int
    contact: str = ""
    """``"closure"`` (p b m), ``"labiodental"`` (f v), or empty."""


class Trajectory(Artifact):
    """Where the lips must be in every frame of the clip, per speaker."""

    speakers: tuple[str, ...]
    visemes: tuple[Viseme, ...]
    arrays: str = "trajectory.npz"
    """Per speaker name: float32 (frames, 9), columns as :data:`language_packs.PARAMETERS`, 0-1; and
    ``<speaker>.speaking`` bool (frames,): false where the mouth rests."""
    left: tuple[Turn, ...] = ()
    """Lines that are left in the original voice: their speaker's mouth is left as well."""


class LineClosures(Record):
    """How many closing phones of a line were rendered on a visible face, and how many had to be."""

    line_id: int
    expected: int
    reached: int


class Unsynced(Record):
    """Frames (inclusive) in which a speaking mouth was left as it was, and why."""

    first_frame: int
    last_frame: int
    reason: str


class Redrawn(Record):
    """What making some lines anew cost, in frames."""

    changed_frames: int
    """In which something else is shown than before."""
    drawn_frames: int
    """Drawn and encoded: whole groups of pictures. The packets of all others are those of the picture before."""
    decoded_frames: int
    """Decoded from the source to draw them."""


class PicturePlan(Artifact):
    """What every frame of a long picture must show, decided for the whole clip before any part of it is drawn."""

    crf: int | None
    """x264's rate factor; None where no mouth is moved."""
    parts: tuple[tuple[int, int], ...]
    """First and last frame (inclusive) of every part: successive groups of pictures; empty where no mouth is moved."""
    visemes: dict[int, tuple[Viseme, ...]]
    """By face id, those that must show a contact."""
    unsynced: tuple[Unsynced, ...] = ()
    arrays: str = "plans.npz"
    """See :mod:`stages.lipsync.planned`."""


class PicturePart(Artifact):
    """A part of a long picture, drawn and encoded apart from all others."""

    first_frame: int
    last_frame: int
    """Inclusive."""
    changed_frames: int
    """In which the dub's mouth is shown."""
    video: str = "part.mp4"
    """As :class:`Picture`'s, these frames alone."""
    gaps: str = "gaps.npz"
    """Per face id ``n``: ``gap_iod_n`` float64 (k,), the inner gap that was read in each of its rows within the part;
    NaN or infinite where none was."""


@dataclass(frozen=True)
class PictureParts:
    """All parts of a picture, in any order."""

    parts: tuple[PicturePart, ...]

    @property
    def digest(self) -> str:
        """SHA-256 that stands for all of them, whatever their order."""
        ordered = sorted(self.parts, key=lambda part: part.first_frame)
        return hashlib.sha256("".join(part.digest for part in ordered).encode()).hexdigest()


class Picture(Artifact):
    """The re-rendered picture, or the statement that nothing in it was changed."""

    video: str | None = "picture.mp4"
    """H.264 with the source's frame times; None where no frame was changed and the source's stream is copied."""
    crf: int | None = None
    """x264's rate factor; None where there is no video."""
    changed_frames: int
    """In which the dub's mouth is shown."""
    closures: tuple[LineClosures, ...] = ()
    unsynced: tuple[Unsynced, ...] = ()
    mouths: str = "mouths.npz"
    """Where there is a video: what was chosen for every frame (:mod:`stages.lipsync.kept`), with the mouths themselves
    beside it as ``mouths_<face>.bgr``, so that a line can be made anew."""
    redrawn: Redrawn | None = None
    """None where the whole picture was made."""
