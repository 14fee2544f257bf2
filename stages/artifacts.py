"""The data that flows between stages: frozen, typed, and nothing but metadata and relative paths.

Arrays, sound and pictures live in files beside the artifact's manifest; an artifact names them by a path relative
to its folder, which the store binds when it hands the artifact out (:meth:`Artifact.at`, :meth:`Artifact.file`).
All times are integer milliseconds on the clip's own clock unless a name says otherwise.
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, PrivateAttr


class Record(BaseModel):
    """A frozen, strict record."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Artifact(Record):
    """What a stage returns. Paths in it are relative to the folder it was written to."""

    _folder: Path | None = PrivateAttr(default=None)
    _files_digest: str = PrivateAttr(default="")

    def at(self, folder: Path, files_digest: str = "") -> Self:
        """Return this artifact bound to ``folder``; ``files_digest`` stands for the content of its files."""
        bound = self.model_copy()
        bound._folder = folder
        bound._files_digest = files_digest
        return bound

    def file(self, relative: str) -> Path:
        """Return the absolute path of one of this artifact's files."""
        if self._folder is None:
            raise RuntimeError(f"{type(self).__name__} is not bound to a folder")
        return self._folder / relative

    @property
    def digest(self) -> str:
        """SHA-256 over the metadata and the files: what a later stage's key depends on."""
        return hashlib.sha256((self.model_dump_json() + self._files_digest).encode()).hexdigest()


class SourceVideo(Record):
    """The user's file, or the clip made of it: read, never written. Its identity is its content, not its name."""

    path: Path
    sha256: str
    sound: SourceVideo | None = None
    """A file whose sound takes the place of its own."""
    made_of: str | None = None
    """Name of the user's file where this is :attr:`Clip.video`."""
    speaks_in_picture: bool = False
    is_still: bool = False
    """See :class:`Media`."""

    @property
    def digest(self) -> str:
        """The content's SHA-256, with that of the sound that was given to it."""
        return self.sha256 if self.sound is None else f"{self.sha256}+{self.sound.sha256}"

    @property
    def file_name(self) -> str:
        """The name that the user knows it by."""
        return self.made_of or self.path.name


class Clip(Artifact):
    """A picture and a sound made one clip (:func:`stages.still.compose`)."""

    video: str
    """File of this artifact."""
    sha256: str
    is_still: bool
    """Made of one picture."""

    def source(self, of: SourceVideo) -> SourceVideo:
        """Return this clip as the source that the later stages read; ``of`` is the user's file."""
        return SourceVideo(
            path=self.file(self.video),
            sha256=self.sha256,
            made_of=of.path.name,
            speaks_in_picture=True,
            is_still=self.is_still,
        )


class PictureStream(Record):
    """The video stream that is dubbed. Width and height are as shown, after rotation."""

    index: int
    width_px: int
    height_px: int
    rotation_deg: int
    """Clockwise turn that the metadata asks a player to apply: 0, 90, 180 or 270."""
    fps: Fraction
    """Average frame rate; the real times are in ``Media.frame_times``."""
    is_variable_rate: bool
    frames: int
    end_ms: int
    """When the last frame stops being shown."""
    codec: str


class SoundStream(Record):
    """One audio stream of the source."""

    index: int
    codec: str
    rate_hz: int
    channels: int
    language: str | None
    is_default: bool


class Media(Artifact):
    """What :func:`stages.media.ingest` found, with the chosen sound decoded once."""

    file_name: str
    speaks_in_picture: bool = False
    """The user put this sound and this picture together: who is in it says it, even where no mouth moves."""
    is_still: bool = False
    """Made of one picture: all motion in it is ours."""
    duration_ms: int
    """Length of the mix (the dubbed track is exactly as long); the picture's is ``picture.end_ms``."""
    picture: PictureStream
    sounds: tuple[SoundStream, ...]
    sound_index: int
    """Stream index of the track that is dubbed."""
    mix: str = "mix.wav"
    """48 kHz stereo 16-bit, starting at time zero of the clip, as long as the source's sound track."""
    frame_times: str = "frame_times.npy"
    """float64 (frames,): presentation time of every frame in ms from time zero of the clip."""
    integrated_lufs: float | None
    """EBU R128 loudness of the mix; None when it is digital silence."""


class Separation(Artifact):
    """Speech and everything else; ``voice + background`` is the mix, sample by sample."""

    voice: str = "voice.wav"
    """48 kHz mono 16-bit."""
    voice_16k: str = "voice_16k.wav"
    """16 kHz mono 16-bit: what the recognisers hear."""
    background: str = "background.wav"
    """48 kHz stereo 16-bit."""


class Turn(Record):
    """One speaker's stretch of speech."""

    speaker: str
    start_ms: int
    end_ms: int


class Diarization(Artifact):
    """Who spoke when. Speakers are named ``S1``, ``S2`` ... in order of first appearance."""

    turns: tuple[Turn, ...]
    speakers: tuple[str, ...]
    embeddings: str = "embeddings.npz"
    """One float32 (256,) unit vector per speaker name."""


class Word(Record):
    """One recognised word with its times."""

    text: str
    start_ms: int
    end_ms: int
    probability: float


class Line(Record):
    """A sentence (or part of one) by one speaker: the unit that is translated, spoken and reported."""

    id: int
    speaker: str
    start_ms: int
    end_ms: int
    text: str
    words: tuple[Word, ...]


class Unprocessed(Record):
    """A stretch that was left as it is, and why."""

    start_ms: int
    end_ms: int
    reason: str


class Transcript(Artifact):
    """What was said, in the source language. Line ids count from 1."""

    language: str
    """BCP-47 tag of the source language."""
    language_probability: float
    """1.0 when the user named the language."""
    lines: tuple[Line, ...]
    unprocessed: tuple[Unprocessed, ...]


class ScriptLine(Record):
    """One line to be spoken in the target language, in the slot of its source line."""

    id: int
    speaker: str
    start_ms: int
    end_ms: int
    source_text: str
    text: str
    flags: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    """Shorter ways of saying the same, longest first."""
    full_text: str | None = None
    """The whole translation, where ``text`` is an alternative that was chosen because it fits; else None."""


class Script(Artifact):
    """The translation of a transcript."""

    source: str
    target: str
    route: tuple[str, ...]
    """Engines in the order they were applied, e.g. ``("bergamot en>pt-BR", "apertium pt>es")``."""
    lines: tuple[ScriptLine, ...]


class ReadLine(Record):
    """How a line is read: its phones and how long the synthesiser takes for it unhurried."""

    id: int
    ipa: str
    """espeak-ng IPA with stress marks and punctuation."""
    duration_ms: int
    """Length at speed 1, leading and trailing silence included."""
    lead_ms: int
    """Silence before the first phone at speed 1."""
    tail_ms: int
    """Silence after the last phone at speed 1."""


class Reading(Artifact):
    """Every line of a script as phones, with measured durations."""

    engine: str
    lines: tuple[ReadLine, ...]


class PlannedLine(Record):
    """Where a line is spoken, and how fast."""

    id: int
    start_ms: int
    """When its first phone sounds."""
    end_ms: int
    """When its last phone has ended."""
    rate: float
    """Speed relative to the synthesiser's unhurried reading; above 1 is faster."""
    flags: tuple[str, ...] = ()


class Plan(Artifact):
    """The timing of a dub."""

    lines: tuple[PlannedLine, ...]


class VoiceSettings(Record):
    """How one speaker is voiced for the whole video."""

    speaker: str
    voice: str
    warp: float
    """Vocal-tract length factor applied to the spectral envelope's frequency axis; 1 leaves it alone."""
    f0_mean_log_hz: float
    """Mean of ln F0 of the speaker's own voiced frames."""
    f0_std_log: float
    similarity_unmatched: float
    """Cosine of the speaker embeddings: synthesiser's own voice against the speaker."""
    similarity_matched: float
    """The same after matching."""


class Cast(Artifact):
    """A voice for every speaker."""

    voices: tuple[VoiceSettings, ...]
    spectra: str = "spectra.npz"
    """Per speaker name: float64 (bins,) long-term log-spectrum correction of the matched voice, in nepers."""


class Phone(Record):
    """A phone (IPA, length and nasalisation marks attached) and when it sounds, on the clip's clock."""

    ipa: str
    start_ms: int
    end_ms: int


class SpokenLine(Record):
    """One synthesised line, placed in time."""

    id: int
    speaker: str
    sound: str
    """Mono 16-bit WAV at ``Speech.rate_hz``; its first sample is at ``sound_start_ms``."""
    sound_start_ms: int
    start_ms: int
    """Onset of the first phone."""
    end_ms: int
    """End of the last phone."""
    rate: float
    phones: tuple[Phone, ...]
    similarity: float
    """Cosine of this line's speaker embedding with its speaker's."""
    flags: tuple[str, ...] = ()


class Speech(Artifact):
    """The spoken dub, line by line."""

    language: str
    engine: str
    rate_hz: int
    lines: tuple[SpokenLine, ...]


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


class MixLevels(Record):
    """Every gain of a mix, in dB, so that a part of it can be made anew as loud as the rest."""

    speakers_db: dict[str, float]
    speech_db: float
    trim_db: float
    limit_dbfs: float | None
    """Ceiling of the limiter; None where none was needed."""
    turn_down_db: float


class Mixdown(Artifact):
    """The dubbed sound."""

    sound: str = "dub.wav"
    """48 kHz stereo 16-bit, as long as the clip."""
    integrated_lufs: float | None
    true_peak_dbtp: float
    levels: MixLevels


class LineCheck(Record):
    """What a second listening found in one line."""

    id: int
    heard: str
    cer: float


class Inspection(Artifact):
    """The dub transcribed back."""

    lines: tuple[LineCheck, ...]
    cer: float
    """Over all lines: edits over characters."""
