"""How fast Wav2Lip is, alone and with everything around it: ``python -m bench.generated DIR --work WORK``.

DIR holds a finished dub, WORK what it was made from. Without ``--model`` the weights are random: as fast as the public
ones, and nothing to look at.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from flows.finished import read_finished
from stages import lipsync
from stages.artifacts import Picture
from stages.devices import DeviceConfig
from stages.lipsync import LipsyncConfig, Wav2LipConfig
from stages.lipsync.wav2lip.engine import Wav2LipEngine
from stages.lipsync.wav2lip.network import Wav2Lip
from stages.media import open_source
from stages.progress import silent

_FRAMES = 64


def main() -> None:
    """Print frames a second and the share of contacts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda"))
    given = parser.parse_args()
    (report,) = given.folder.glob("*.report.json")
    content = json.loads(report.read_text(encoding="utf-8"))
    video = open_source(Path(content["source"]["path"]))
    finished = read_finished(content, video, given.work)
    assert finished is not None, "the work folder does not hold this dub"
    with tempfile.TemporaryDirectory() as scratch:
        model = given.model or random_model(Path(scratch))
        for precision in ("float32", "bfloat16"):
            for batch in (1, 4, 8, 16):
                where = DeviceConfig(kind=given.device, precision=precision)
                alone(Wav2LipConfig(model=str(model), device=where, batch_frames=batch))
        shared, dub = finished.shared, finished.dub
        inputs = (shared.video, shared.media, shared.track, shared.faces, dub.trajectory)
        whole(Path(scratch) / "mesh", lipsync.sync, inputs, LipsyncConfig())
        config = LipsyncConfig(
            engine="wav2lip", wav2lip=Wav2LipConfig(model=str(model), device=DeviceConfig(kind=given.device))
        )
        whole(Path(scratch) / "wav2lip", lipsync.sync_to_voices, (*inputs, dub.speech), config)


def random_model(folder: Path) -> Path:
    """Return a folder with random weights."""
    torch.manual_seed(0)
    torch.save({"state_dict": Wav2Lip().state_dict()}, folder / "wav2lip.pth")
    return folder


def alone(config: Wav2LipConfig) -> None:
    """Print how fast the network itself is."""
    engine = Wav2LipEngine(config)
    random = np.random.default_rng(0)
    mel = random.uniform(-4, 4, (config.batch_frames, 80, 16)).astype(np.float32)
    crops = random.integers(0, 256, (config.batch_frames, 96, 96, 3), dtype=np.uint8)
    engine.made(mel, crops)
    begun = time.perf_counter()
    for _ in range(_FRAMES // config.batch_frames):
        engine.made(mel, crops)
    speed = _FRAMES / (time.perf_counter() - begun)
    print(
        f"network alone, {config.device.precision}, {config.batch_frames:2d} at a time: {speed:.1f} frames/s",
        flush=True,
    )


def whole(out: Path, function: Callable[..., Picture], inputs: tuple, config: LipsyncConfig) -> None:
    """Print how fast the stage is, over the frames in which a mouth is moved, and how many contacts were reached."""
    out.mkdir()
    begun = time.perf_counter()
    picture = function(*inputs, config, out, silent)
    seconds = time.perf_counter() - begun
    reached, expected = (sum(getattr(line, name) for line in picture.closures) for name in ("reached", "expected"))
    speed = picture.changed_frames / seconds
    print(f"whole stage, {config.engine}: {speed:.1f} frames/s ({picture.changed_frames} frames, {seconds:.1f} s)")
    print(f"  closures {reached} of {expected}")


if __name__ == "__main__":
    main()
