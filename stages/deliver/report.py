"""``report.json`` and ``visemes.json``: one record a line and one total, for programs and for people (schema 1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from language_packs import PARAMETERS
from stages.artifacts import FaceTurn, Media, SourceVideo, SpokenLine, Unprocessed, Unsynced
from stages.pipeline import Dub, Shared
from stages.settings import Settings
from stages.store import StageRun

SCHEMA = 1
_LATE_MS = 80
_ON_SCREEN_SHARE = 0.5


def report(
    video: SourceVideo, shared: Shared, dub: Dub, runs: Sequence[StageRun], settings: Settings
) -> dict[str, Any]:
    """Return the report of one dub as plain data (see ``docs/report.md``)."""
    lines = _lines(shared, dub, settings.inspect.max_cer)
    left = _left(shared, dub)
    spoken = [line for line in lines if line["spoken_start_ms"] is not None]
    unsynced = [
        {"start_ms": start_ms, "end_ms": end_ms, "reason": f"lips not moved: {reason}"}
        for start_ms, end_ms, reason in unsynced_times(dub.picture.unsynced, shared.media)
    ]
    return {
        "schema": SCHEMA,
        "source": {
            "file": shared.media.file_name,
            "path": video.url or str(video.path.absolute()),
            "sha256": video.sha256,
            "sound": None
            if video.sound is None
            else {"path": str(video.sound.path.absolute()), "sha256": video.sound.sha256},
            "language": shared.transcript.language,
            "language_probability": shared.transcript.language_probability,
            "duration_ms": shared.media.duration_ms,
            "picture": shared.media.picture.model_dump(mode="json"),
            "integrated_lufs": shared.media.integrated_lufs,
        },
        "target": dub.script.target,
        "route": list(dub.script.route),
        "settings": settings.model_dump(mode="json"),
        "stages": [run.model_dump(mode="json") for run in runs],
        "speakers": _speakers(shared),
        "voices": [voice.model_dump(mode="json") for voice in dub.cast.voices],
        "lines": lines,
        "totals": {
            "lines": len(lines),
            "lines_spoken": len(spoken),
            "lines_flagged": sum(bool(line["flags"]) for line in lines),
            "cer": dub.inspection.cer,
            "voice_similarity": _mean([line["voice_similarity"] for line in spoken]),
            "starts_within_80_ms": _mean(
                [abs(line["spoken_start_ms"] - line["start_ms"]) <= _LATE_MS for line in spoken]
            ),
            "closures_expected": sum(line["closures_expected"] for line in lines),
            "closures_reached": sum(line["closures_reached"] for line in lines),
            "speech_unprocessed_ms": sum(item.end_ms - item.start_ms for item in left),
            "frames_changed": dub.picture.changed_frames,
            "integrated_lufs": dub.mixdown.integrated_lufs,
            "true_peak_dbtp": dub.mixdown.true_peak_dbtp,
            "sound": [each.content() for each in dub.sound.total],
        },
        "rerun": _rerun(dub),
        "unprocessed": [item.model_dump() for item in left] + unsynced,
    }


def _speakers(shared: Shared) -> list[dict[str, Any]]:
    """Return who speaks: the number, the name, when first and how long, and who was joined to the speaker."""
    merged = shared.speakers.merged()
    rows = []
    for speaker in shared.diarization.speakers:
        own = [turn for turn in shared.diarization.turns if turn.speaker == speaker]
        rows.append(
            {
                "id": speaker,
                "name": shared.speakers.name(speaker),
                "first_ms": own[0].start_ms,
                "speech_ms": sum(turn.end_ms - turn.start_ms for turn in own),
                "merged": [number for number, root in merged.items() if root == speaker],
            }
        )
    return rows


def _left(shared: Shared, dub: Dub) -> list[Unprocessed]:
    """Return the speech that is heard in the original voice: without words, or its line could not be dubbed."""
    lines = [
        Unprocessed(
            start_ms=line.start_ms,
            end_ms=line.end_ms,
            reason=f"line {line.id} left in the original voice: {line.failure}",
        )
        for line in dub.speech.lines
        if not line.is_dubbed
    ]
    return sorted([*shared.transcript.unprocessed, *lines], key=lambda item: item.start_ms)


def _rerun(dub: Dub) -> dict[str, Any] | None:
    if not dub.made_anew:
        return None
    redrawn = dub.picture.redrawn
    return {"lines": list(dub.made_anew), "picture": redrawn.model_dump(mode="json") if redrawn else None}


def needs_person(content: dict[str, Any]) -> bool:
    """Return whether a report holds anything that a person should look at."""
    return any(line["flags"] for line in content["lines"]) or content["totals"]["speech_unprocessed_ms"] > 0


def visemes(shared: Shared, dub: Dub) -> dict[str, Any]:
    """Return every spoken phone with its viseme, and every line's trajectory frame by frame."""
    times_ms = np.load(shared.media.file(shared.media.frame_times))
    arrays = np.load(dub.trajectory.file(dub.trajectory.arrays))
    lines = []
    for line in dub.speech.lines:
        shown = np.flatnonzero((times_ms >= line.start_ms) & (times_ms <= line.end_ms))
        first, last = (int(shown[0]), int(shown[-1])) if len(shown) else (0, -1)
        values = arrays[line.speaker][first : last + 1]
        lines.append(
            {
                "id": line.id,
                "speaker": line.speaker,
                "face": _face(line, shared.faces.turns),
                "phones": [
                    {
                        "ipa": viseme.ipa,
                        "viseme": viseme.viseme,
                        "start_ms": viseme.start_ms,
                        "end_ms": viseme.end_ms,
                    }
                    for viseme in dub.trajectory.visemes
                    if viseme.line_id == line.id
                ],
                "trajectory": {
                    "first_frame": first,
                    "parameters": {
                        name: [round(float(value), 4) for value in values[:, column]]
                        for column, name in enumerate(PARAMETERS)
                    },
                },
            }
        )
    return {"schema": SCHEMA, "fps": _fraction(shared), "lines": lines}


def _lines(shared: Shared, dub: Dub, max_cer: float) -> list[dict[str, Any]]:
    spoken = {line.id: line for line in dub.speech.lines}
    checks = {check.id: check for check in dub.inspection.lines}
    unchecked = {each.id: each.reason for each in dub.inspection.unchecked}
    planned = {line.id: line for line in dub.plan.lines}
    closures = {item.line_id: item for item in dub.picture.closures}
    sounds = {line.id: line.model_dump(exclude={"id"}) for line in dub.sound.lines}
    rows = []
    for line in dub.script.lines:
        voice, check, mouth = spoken.get(line.id), checks.get(line.id), closures.get(line.id)
        flags = [*line.flags, *(planned[line.id].flags if line.id in planned else ())]
        flags += [flag for flag in (voice.flags if voice else ()) if flag not in flags]
        if voice is not None and not voice.is_dubbed:
            flags.append(f"left in the original voice: {voice.failure}")
            voice = None
        if line.id in unchecked:
            flags.append(f"not listened to: {unchecked[line.id]}")
        if check is not None and check.cer > max_cer:
            flags.append("hard to understand")
        rows.append(
            {
                "id": line.id,
                "speaker": line.speaker,
                "speaker_name": shared.speakers.name(line.speaker),
                "source_text": line.source_text,
                "text": line.text,
                "full_text": line.full_text,
                "origin": line.origin,
                "start_ms": line.start_ms,
                "end_ms": line.end_ms,
                "spoken_start_ms": voice.start_ms if voice else None,
                "spoken_end_ms": voice.end_ms if voice else None,
                "rate": round(voice.rate, 4) if voice else None,
                "cer": check.cer if check else None,
                "heard": check.heard if check else None,
                "voice_similarity": round(voice.similarity, 4) if voice else None,
                "closures_expected": mouth.expected if mouth else 0,
                "closures_reached": mouth.reached if mouth else 0,
                "on_screen": voice is not None and _face(voice, shared.faces.turns) is not None,
                "sound": sounds.get(line.id),
                "flags": flags,
            }
        )
    return rows


def _face(line: SpokenLine, turns: tuple[FaceTurn, ...]) -> int | None:
    """Return the face seen for most of the line, if it is seen for at least half of it."""
    seen: Counter[int] = Counter()
    for turn in turns:
        overlap_ms = min(turn.end_ms, line.end_ms) - max(turn.start_ms, line.start_ms)
        if turn.face is not None and turn.speaker == line.speaker and overlap_ms > 0:
            seen[turn.face] += overlap_ms
    if not seen:
        return None
    face, shown_ms = seen.most_common(1)[0]
    return face if shown_ms >= _ON_SCREEN_SHARE * (line.end_ms - line.start_ms) else None


def unsynced_times(unsynced: Sequence[Unsynced], media: Media) -> list[tuple[int, int, str]]:
    """Return (start, end, reason) of stretches of frames, in ms."""
    times_ms = np.load(media.file(media.frame_times))
    ends_ms = [*times_ms[1:], media.picture.end_ms]
    return [
        (round(float(times_ms[item.first_frame])), round(float(ends_ms[item.last_frame])), item.reason)
        for item in unsynced
    ]


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


def _fraction(shared: Shared) -> str:
    fps = shared.media.picture.fps
    return f"{fps.numerator}/{fps.denominator}"
