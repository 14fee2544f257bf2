"""The data that flows between stages: frozen, typed, and nothing but metadata and relative paths.

Arrays, sound and pictures live in files beside the artifact's manifest; an artifact names them by a path relative
to its folder, which the store binds when it hands the artifact out (:meth:`Artifact.at`, :meth:`Artifact.file`).
All times are integer milliseconds on the clip's own clock unless a name says otherwise.
"""

from stages.artifacts.base import Artifact, Record
from stages.artifacts.checked import Inspection, LineCheck, Mixdown, MixLevels, Place, Room, Unchecked
from stages.artifacts.clip import Clip, Media, PictureStream, Separation, SoundStream, SourceVideo
from stages.artifacts.heard import Diarization, Line, Transcript, Turn, Unprocessed, Word
from stages.artifacts.said import (
    AddedPause,
    Cast,
    Phone,
    PhraseEnd,
    Plan,
    PlannedLine,
    Prosody,
    Reading,
    ReadLine,
    Script,
    ScriptLine,
    Speech,
    SpokenLine,
    VoiceSettings,
)
from stages.artifacts.seen import (
    Face,
    FaceTrack,
    FaceTurn,
    LineClosures,
    PersonalVisemes,
    Picture,
    Redrawn,
    SpeakerFaces,
    SpeakerHabits,
    Trajectory,
    Unsynced,
    Viseme,
    VisemeHabit,
)

__all__ = [
    "AddedPause",
    "Artifact",
    "Cast",
    "Clip",
    "Diarization",
    "Face",
    "FaceTrack",
    "FaceTurn",
    "Inspection",
    "Line",
    "LineCheck",
    "LineClosures",
    "Media",
    "MixLevels",
    "Mixdown",
    "PersonalVisemes",
    "Phone",
    "PhraseEnd",
    "Picture",
    "PictureStream",
    "Place",
    "Plan",
    "PlannedLine",
    "Prosody",
    "ReadLine",
    "Reading",
    "Record",
    "Redrawn",
    "Room",
    "Script",
    "ScriptLine",
    "Separation",
    "SoundStream",
    "SourceVideo",
    "SpeakerFaces",
    "SpeakerHabits",
    "Speech",
    "SpokenLine",
    "Trajectory",
    "Transcript",
    "Turn",
    "Unchecked",
    "Unprocessed",
    "Unsynced",
    "Viseme",
    "VisemeHabit",
    "VoiceSettings",
    "Word",
]
