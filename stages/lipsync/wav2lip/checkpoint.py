"""Wav2Lip's checkpoints, read as weights only: no code that a file brings along is ever run."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from stages.errors import MissingEngineError
from stages.lipsync.wav2lip.network import Wav2Lip

_ENDINGS = (".pth", ".pt", ".safetensors")


def load(folder: Path) -> Wav2Lip:
    """Return the network with the weights of the one checkpoint in a folder, ready to be used.

    The public checkpoints hold them under ``state_dict``, some with ``module.`` before each name.

    Raises:
        MissingEngineError: there is none or more than one, it holds more than weights, is damaged, or is not of this
            network.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix in _ENDINGS)
    if len(files) != 1:
        raise MissingEngineError(
            f"{folder} holds {len(files)} checkpoints; one of Wav2Lip is needed (wav2lip.pth, wav2lip_gan.pth or "
            ".safetensors)."
        )
    with torch.device("meta"):
        network = Wav2Lip()
    weights = {name.removeprefix("module."): value for name, value in _read(files[0]).items()}
    _check(weights, network.state_dict(), files[0])
    network.load_state_dict(weights, assign=True)
    network.requires_grad_(False)
    return network.float().eval()


def _read(file: Path) -> dict[str, torch.Tensor]:
    if _is_program(file):
        raise MissingEngineError(
            f"{file} is a TorchScript program, not weights alone, so it is not read; give the public checkpoint with a "
            "state_dict, or that as .safetensors."
        )
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise MissingEngineError(
            f"{file} is damaged or holds more than weights, which could run code, so it is not read; give the public "
            "checkpoint, or its state_dict as .safetensors."
        ) from error
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise MissingEngineError(f"{file} cannot be read ({reason}): fetch it again.") from error
    weights = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(weights, dict):
        raise MissingEngineError(f"{file} is no checkpoint of Wav2Lip: it holds no state_dict.")
    return weights


def _is_program(file: Path) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _check(weights: Mapping[str, object], wanted: Mapping[str, torch.Tensor], file: Path) -> None:
    """Say the first thing that is wrong with weights."""
    for name in (*wanted, *weights):
        value = weights.get(name)
        if name not in wanted or not isinstance(value, torch.Tensor):
            raise MissingEngineError(
                f"{file} is no checkpoint of Wav2Lip: it {'lacks' if name in wanted else 'has another part,'} {name}."
            )
        if value.shape != wanted[name].shape:
            raise MissingEngineError(
                f"{file} is no checkpoint of Wav2Lip: {name} is {tuple(value.shape)}, not {tuple(wanted[name].shape)}."
            )
        if not torch.isfinite(value).all():
            raise MissingEngineError(f"{file} is damaged: {name} holds numbers that are not finite.")
