"""pyannote.audio 4 (Bredin 2023, Interspeech), its community-1 pipeline: who speaks when, overlaps included.

From a local folder only, with weights only: the library's own loader runs whatever a pickled checkpoint says.
"""

from __future__ import annotations

import importlib
import os
import pickle
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile
import torch

from stages import models
from stages.artifacts import Turn
from stages.devices import device, fitting, is_out_of_memory
from stages.errors import InputError, MissingEngineError
from stages.progress import Progress
from stages.sound import SPEECH_RATE_HZ

os.environ["PYANNOTE_METRICS_ENABLED"] = "false"  # read when it is imported: it reports its use otherwise
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that it cannot decode files: it is given samples
    from pyannote.audio import Model
    from pyannote.audio.core.plda import PLDA
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.pipelines import SpeakerDiarization

if TYPE_CHECKING:
    from pyannote.core import Annotation

    from stages.diarize import DiarizeConfig

_MODEL = "pyannote/speaker-diarization-community-1"
_SETTING = "diarize.pyannote"
_CONFIG = "config.yaml"
_WEIGHTS = "pytorch_model.bin"
_PIPELINES = (
    "pyannote.audio.pipelines.SpeakerDiarization",
    "pyannote.audio.pipelines.speaker_diarization.SpeakerDiarization",
)
_ARCHITECTURES = "pyannote.audio.models."
_AGAIN = "run: dubwright models fetch pyannote-community-1"
_PARTS = {"segmentation": (0.0, 0.3), "embeddings": (0.3, 0.7)}
"""Of the whole work: where a step begins, and its share."""
_PLAIN = [Problem, Resolution, Specifications, torch.torch_version.TorchVersion]
"""What its checkpoints hold beside tensors and plain values: enumerations, a record, and a text."""


class PyannoteDiarizer:
    """The whole pipeline: segmentation, speaker embeddings, clustering by VBx."""

    def __init__(self, config: DiarizeConfig) -> None:
        """Load the pipeline from the folder that the settings name.

        Raises:
            InputError: there is no such folder.
            MissingEngineError: the folder does not hold the pipeline, or it cannot be read safely.
        """
        self._config = config
        self._pipeline = load(models.find(config.pyannote.model))
        with fitting(_SETTING):
            self._pipeline.to(torch.device(device(config.pyannote.device, f"{_SETTING}.device").kind))

    def turns(self, voice: Path, progress: Progress) -> tuple[Turn, ...]:
        """Return who speaks when (:class:`stages.diarize.Diarizer`)."""
        samples, rate_hz = soundfile.read(voice, dtype="float32")
        assert rate_hz == SPEECH_RATE_HZ
        if len(samples) == 0:
            return ()
        found = self._found(
            {"waveform": torch.from_numpy(samples)[None], "sample_rate": rate_hz, "uri": "voice"}, progress
        )
        tracks = [
            (round(segment.start * 1000), round(segment.end * 1000), str(label))
            for segment, _track, label in found.itertracks(yield_label=True)
        ]
        length_ms = len(samples) * 1000 // rate_hz
        return named(tracks, length_ms, self._config.min_pause_ms, self._config.min_speech_ms)

    def _found(self, sound: dict[str, Any], progress: Progress) -> Annotation:
        """Return the annotation of a sound, on half as large batches where the memory does not suffice."""
        size = self._config.pyannote.batch_size
        while True:
            self._pipeline.segmentation_batch_size = self._pipeline.embedding_batch_size = size
            try:
                return self._pipeline(
                    sound,
                    num_speakers=self._config.speakers,
                    min_speakers=self._config.pyannote.min_speakers,
                    max_speakers=self._config.pyannote.max_speakers,
                    hook=_Told(progress),
                ).speaker_diarization
            except ValueError as error:  # of KMeans, which makes as many clusters as are asked for
                if self._config.speakers is None and self._config.pyannote.min_speakers is None:
                    raise
                raise InputError(
                    f"diarize.speakers: there is too little speech by one alone to tell so many people apart "
                    f"({_line(error)}); ask for fewer."
                ) from error
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            if size == 1:
                raise MissingEngineError(
                    f"{_SETTING}: the memory does not suffice even for one window at a time; choose another device, or "
                    "diarize.engine embedded."
                )
            size //= 2


class _Told:
    """Tells the share of the work that is done from the pipeline's steps; the embeddings take most of the time."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(
        self, step: str, _artifact: object, file: object = None, total: int | None = None, completed: int | None = None
    ) -> None:
        if step in _PARTS and total and completed is not None:
            start, share = _PARTS[step]
            self._progress(start + share * min(completed / total, 1.0))


def named(tracks: Sequence[tuple[int, int, str]], length_ms: int, pause_ms: int, least_ms: int) -> tuple[Turn, ...]:
    """Return turns of ``S1``, ``S2`` ... in order of first appearance.

    Args:
        tracks: start and end in ms, and a label, in any order.
        length_ms: of the sound; nothing ends later.
        pause_ms: turns of one speaker with a shorter pause between them are one.
        least_ms: what is shorter is no speech.
    """
    joined: list[tuple[int, int, str]] = []
    last: dict[str, int] = {}
    for start_ms, end_ms, label in sorted(tracks):
        end_ms = min(end_ms, length_ms)
        if label in last and start_ms - joined[last[label]][1] < pause_ms:
            before = joined[last[label]]
            joined[last[label]] = (before[0], max(before[1], end_ms), label)
        elif start_ms < end_ms:
            last[label] = len(joined)
            joined.append((max(0, start_ms), end_ms, label))
    kept = [each for each in joined if each[1] - each[0] >= least_ms]
    names = {label: f"S{number}" for number, label in enumerate(dict.fromkeys(label for _, _, label in kept), 1)}
    return tuple(Turn(speaker=names[label], start_ms=start_ms, end_ms=end_ms) for start_ms, end_ms, label in kept)


def load(folder: Path) -> SpeakerDiarization:
    """Return the pipeline in a folder of community-1's form.

    Raises:
        MissingEngineError: it is another pipeline, a file is absent or damaged, or holds more than weights.
    """
    import yaml

    try:
        told = yaml.safe_load((folder / _CONFIG).read_text(encoding="utf-8"))
        name, asked = told["pipeline"]["name"], told["pipeline"]["params"]
        places = {part: folder / _inside(asked[part]) for part in ("segmentation", "embedding", "plda")}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise MissingEngineError(
            f"{_SETTING}.model: {folder / _CONFIG} cannot be read, or is not {_MODEL}'s ({_line(error)}): {_AGAIN}"
        ) from error
    if name not in _PIPELINES:
        raise MissingEngineError(f"{_SETTING}.model: {folder} holds {name}, not {_MODEL}: {_AGAIN}")
    segmentation, embedding = (network(places[part] / _WEIGHTS) for part in ("segmentation", "embedding"))
    try:
        pipeline = SpeakerDiarization(
            segmentation=segmentation,
            embedding=embedding,
            plda=PLDA(places["plda"] / "xvec_transform.npz", places["plda"] / "plda.npz"),
            clustering=asked["clustering"],
            embedding_exclude_overlap=bool(asked.get("embedding_exclude_overlap", False)),
        )
        pipeline.instantiate(told["params"])
    except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise MissingEngineError(f"{_SETTING}.model: {folder} cannot be used ({_line(error)}): {_AGAIN}") from error
    return pipeline


def network(checkpoint: Path) -> Model:
    """Return the network in a checkpoint of pyannote.audio's: tensors and plain values are read, nothing in it is run.

    Raises:
        MissingEngineError: it is absent, damaged, or holds more than weights.
    """
    try:
        with torch.serialization.safe_globals(_PLAIN):
            stored = torch.load(checkpoint, map_location="cpu", weights_only=True)
            architecture = stored["pyannote.audio"]["architecture"]
            kind = _architecture(architecture["module"], architecture["class"])
            found = kind.load_from_checkpoint(checkpoint, map_location="cpu", strict=False, weights_only=True)
        if absent := found.state_dict().keys() - stored["state_dict"].keys():
            raise ValueError(f"{len(absent)} of its weights are not there")
    except pickle.UnpicklingError as error:
        raise MissingEngineError(
            f"{_SETTING}.model: {checkpoint} holds more than weights, or is no checkpoint, and is not read: {_AGAIN}"
        ) from error
    except (OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, ImportError) as error:
        raise MissingEngineError(f"{_SETTING}.model: {checkpoint} cannot be read ({_line(error)}): {_AGAIN}") from error
    return found.eval()


def _architecture(module: str, name: str) -> type[Model]:
    if not module.startswith(_ARCHITECTURES):
        raise ValueError(f"{module} is no architecture of pyannote.audio")
    kind = getattr(importlib.import_module(module), name)
    if not (isinstance(kind, type) and issubclass(kind, Model)):
        raise ValueError(f"{module}.{name} is no network")
    return kind


def _inside(reference: str) -> str:
    """Return the folder that ``$model/NAME`` names."""
    head, _, name = reference.partition("/")
    if head != "$model" or not name or ".." in name or "@" in name:
        raise ValueError(f"{reference} is not in the folder")
    return name


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
