"""Where the lips must be in every frame, from the phones of the spoken dub and the speaker's own way with them.

Blending after Cohen & Massaro (1993), windows after JALI (Edwards et al. 2016), then the contacts that must
be seen.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from language_packs import Pack
from stages.artifacts import (
    FaceTrack,
    Media,
    PersonalVisemes,
    Record,
    SpeakerFaces,
    Speech,
    Trajectory,
    Transcript,
    Turn,
    Viseme,
)
from stages.progress import Progress
from stages.visemes.contacts import ContactRules, enforce
from stages.visemes.gestures import gestures_of
from stages.visemes.intensity import levels_db, with_intensity
from stages.visemes.personal import personal, with_habits
from stages.visemes.trajectory import Timing, blend

VERSION = 4
PERSONAL_VERSION = 1


class VisemesConfig(Record):
    """Settings of the stage."""

    onset_ms: float = Field(default=120.0, gt=0)
    """How long before a sound its mouth shape begins to form."""
    decay_ms: float = Field(default=120.0, gt=0)
    """How long after a sound its mouth shape is still felt."""
    protrusion_ms: float = Field(default=150.0, gt=0)
    """The same for moving the lips forward, in both directions."""
    hold_share: float = Field(default=0.75, gt=0, le=1)
    """Share of a phone for which its shape is held."""
    rounding_share: float = Field(default=0.6, ge=0)
    """Share of the consonants before a rounded sound through which it is anticipated."""
    reference_phone_ms: float = Field(default=80.0, gt=0)
    """Phones shorter than this shrink the windows in proportion."""
    window_floor_ms: float = Field(default=50.0, gt=0)
    """The windows never shrink below this."""
    closure_ms: float = Field(default=60.0, gt=0)
    """Shortest closure of p b m."""
    closure_frames: int = Field(default=2, ge=1)
    """Fewest closed frames where the frame rate has them."""
    labiodental_aperture: float = Field(default=0.06, ge=0, le=1)
    """Widest opening while the lower lip is at the teeth."""
    opening_ms: float = Field(default=65.0, gt=0)
    """Shortest time from a contact to an open vowel, and back."""

    @property
    def timing(self) -> Timing:
        """The windows of a gesture."""
        return Timing(
            onset_ms=self.onset_ms,
            decay_ms=self.decay_ms,
            protrusion_ms=self.protrusion_ms,
            hold_share=self.hold_share,
            rounding_share=self.rounding_share,
            reference_phone_ms=self.reference_phone_ms,
            floor_ms=self.window_floor_ms,
        )

    @property
    def rules(self) -> ContactRules:
        """How contacts are made."""
        return ContactRules(
            closure_ms=self.closure_ms,
            closure_frames=self.closure_frames,
            labiodental_aperture=self.labiodental_aperture,
            hold_share=self.hold_share,
            opening_ms=self.opening_ms,
        )


def personal_visemes(
    media: Media,
    track: FaceTrack,
    faces: SpeakerFaces,
    transcript: Transcript,
    pack: Pack | None,
    config: VisemesConfig,
    out: Path,
    progress: Progress,
) -> PersonalVisemes:
    """Learn from the source how each speaker's visemes differ from its pack's, where it has one. Writes no file."""
    return personal(media, track, faces, transcript, pack, config.timing)


def articulate(
    speech: Speech,
    media: Media,
    habits: PersonalVisemes,
    pack: Pack,
    config: VisemesConfig,
    out: Path,
    progress: Progress,
) -> Trajectory:
    """Write the trajectory of every speaker's mouth at the clip's own frame times; ``pack``: what they speak."""
    times_ms = np.load(media.file(media.frame_times))
    own = {each.speaker: each for each in habits.speakers}
    speakers = tuple(dict.fromkeys(line.speaker for line in speech.lines))
    arrays: dict[str, np.ndarray] = {}
    visemes: list[Viseme] = []
    for done, speaker in enumerate(speakers, start=1):
        lines = [line for line in speech.lines if line.speaker == speaker]
        gestures = with_habits(gestures_of(lines, pack.overrides), own.get(speaker))
        gestures = with_intensity(gestures, levels_db(gestures, lines, speech))
        values, speaking = blend(gestures, times_ms, config.timing)
        arrays[speaker] = enforce(values, gestures, times_ms, config.rules).astype(np.float32)
        arrays[f"{speaker}.speaking"] = speaking
        visemes += [
            Viseme(
                line_id=gesture.line_id,
                ipa=gesture.ipa,
                viseme=gesture.articulation.viseme,
                start_ms=round(gesture.start_ms),
                end_ms=round(gesture.end_ms),
                contact=gesture.articulation.contact,
            )
            for gesture in gestures
        ]
        progress(done / len(speakers))
    left = (line for line in speech.lines if not line.is_dubbed)
    trajectory = Trajectory(
        speakers=speakers,
        visemes=tuple(sorted(visemes, key=lambda v: (v.start_ms, v.line_id))),
        left=tuple(Turn(speaker=line.speaker, start_ms=line.start_ms, end_ms=line.end_ms) for line in left),
    )
    np.savez(out / trajectory.arrays, **arrays)  # type: ignore[arg-type]
    return trajectory
