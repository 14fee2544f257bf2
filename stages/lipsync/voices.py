"""What one face is heard to say in the dub: its speakers' lines in their places, silence elsewhere."""

from __future__ import annotations

import numpy as np

from stages import sound
from stages.artifacts import Media, SpeakerFaces, Speech, Trajectory
from stages.lipsync.plan import face_per_frame

_SAMPLES_PER_MS = sound.SPEECH_RATE_HZ // 1000


def voice_of_face(face: int, faces: SpeakerFaces, trajectory: Trajectory, speech: Speech, media: Media) -> np.ndarray:
    """Return float32 (samples,) at 16 kHz, as long as the picture: all lines in which this face is shown.

    A line goes on where the picture cuts to somebody else, so that no word is cut off for the network that hears it.
    """
    times_ms = np.load(media.file(media.frame_times))
    voice = np.zeros(round(media.picture.end_ms * _SAMPLES_PER_MS), dtype=np.float32)
    with np.load(trajectory.file(trajectory.arrays)) as arrays:
        owners = {
            speaker: face_per_frame(faces, speaker, arrays[f"{speaker}.speaking"], times_ms)
            for speaker in trajectory.speakers
        }
    for line in speech.lines:
        is_in_line = (times_ms >= line.start_ms) & (times_ms < line.end_ms)
        is_in_line[np.argmin(np.abs(times_ms - (line.start_ms + line.end_ms) / 2))] = True  # shorter than a frame
        if line.speaker in owners and (owners[line.speaker][is_in_line] == face).any():
            samples, rate_hz = sound.read(speech.file(line.sound))
            spoken = sound.resample(samples, rate_hz, sound.SPEECH_RATE_HZ)
            start = line.sound_start_ms * _SAMPLES_PER_MS
            first, last = max(0, start), min(len(voice), start + len(spoken))
            if first < last:
                voice[first:last] += spoken[first - start : last - start]
    return voice
