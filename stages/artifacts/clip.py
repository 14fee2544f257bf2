"""The clip: the user's file, what is in it, and its voice apart from the rest."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from stages.artifacts.base import Artifact, Record


class SourceVideo(Record):
    """The user's file, or the clip made of it: read, never written. Its identity is its content, not its name."""

    path: Path
    sha256: str
    url: str | None = None
    """Where it was fetched from."""
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
