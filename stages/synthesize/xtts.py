"""XTTS-v2 (Casanova et al. 2024, "XTTS: a Massively Multilingual Zero-Shot Text-to-Speech Model") by coqui-tts.

A GPT writes audio tokens after the text and after latents of the speaker; a HiFi-GAN speaks their hidden states. The
speed is changed between the two, as the package itself does it: the hidden states are interpolated in time.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages import models
from stages.errors import MissingEngineError
from stages.synthesize import matching
from stages.synthesize.cloning import CloningEngine, Conditioning, Take, at_24k
from stages.synthesize.config import SynthesizeConfig, needed
from stages.synthesize.neural import device_of, file_of, seeded

if TYPE_CHECKING:
    import torch

    from language_packs.schema import G2P
    from stages.artifacts import Cast

SPEEDS = (0.8, 1.3)
_TITLE = "XTTS-v2"
_SIGNS = 250
"""Limit of a language that the package has none for, as it does."""
_LATENTS, _SPEAKER = "gpt_cond_latents", "speaker_embedding"
_FINETUNING = ("torch_mel_spectrogram_style_encoder", "torch_mel_spectrogram_dvae", "dvae")
"""Parts of a fine-tuned checkpoint that only training needs."""


def load(config: SynthesizeConfig, language: str, how: G2P | None, cast: Cast | None) -> CloningEngine:
    """Return the engine (:class:`stages.synthesize.registry.EngineSpec`).

    Raises:
        InputError: there is no such model.
        MissingEngineError: there is no such device, or no model is named.
    """
    folder = models.find(needed(config.xtts.model, "synthesize.xtts.model", "an XTTS-v2 model"))
    return CloningEngine("xtts", lambda: XttsSampler(folder, config, language), SPEEDS, language, how, cast)


class XttsSampler:
    """The model in memory (:class:`stages.synthesize.cloning.Sampler`)."""

    def __init__(self, folder: Path, config: SynthesizeConfig, language: str) -> None:
        """Load the model.

        Raises:
            MissingEngineError: a file is absent or damaged, or the model does not speak the language.
        """
        self._where = device_of(config)
        self._temperature = config.xtts.temperature
        self._language = language.split("-")[0].lower()
        self._model = read_model(folder).to(self._where)
        spoken = {each.split("-")[0] for each in self._model.config.languages}
        if self._language not in spoken:
            raise MissingEngineError(
                f"{folder} does not speak {self._language}; it speaks: {' '.join(sorted(spoken))}."
            )

    def condition(self, reference: np.ndarray) -> dict[str, np.ndarray]:
        """Return the latents for the GPT, float32 (1, frames, width), and the speaker embedding, (1, width, 1)."""
        import torch

        config = self._model.config
        audio = torch.from_numpy(reference)[None]
        latents = self._model.get_gpt_cond_latents(
            audio, matching.RATE_HZ, length=config.gpt_cond_len, chunk_length=config.gpt_cond_chunk_len
        )
        embedding = self._model.get_speaker_embedding(audio, matching.RATE_HZ)
        return {_LATENTS: latents.cpu().numpy(), _SPEAKER: embedding.cpu().numpy()}

    def fits(self, text: str) -> bool:
        """Return whether a text has no more signs than the package's limit for the language, and tokens than the GPT's.

        What is longer is cut off or spoken less and less surely; the package itself only warns of it.
        """
        tokenizer = self._model.tokenizer
        if len(text) > tokenizer.char_limits.get(self._language, _SIGNS):
            return False
        return len(tokenizer.encode(text.lower(), self._language)) < self._model.args.gpt_max_text_tokens

    def take(self, text: str, conditioning: Conditioning, seed: int) -> Take:
        """Return a text, spoken."""
        import torch

        config = self._model.config
        with seeded(seed, self._where), torch.inference_mode():
            spoken = self._model.inference(
                text,
                self._language,
                torch.from_numpy(conditioning[_LATENTS]),
                torch.from_numpy(conditioning[_SPEAKER]),
                temperature=self._temperature,
                length_penalty=config.length_penalty,
                repetition_penalty=config.repetition_penalty,
                top_k=config.top_k,
                top_p=config.top_p,
            )
        return _Take(self._model, spoken["gpt_latents"], conditioning[_SPEAKER], self._where)


class _Take:
    def __init__(self, model: Any, latents: np.ndarray, speaker: np.ndarray, where: str) -> None:
        self._model, self._latents, self._speaker, self._where = model, latents, speaker, where

    def at(self, speed: float) -> np.ndarray:
        import torch

        latents = torch.from_numpy(self._latents).to(self._where)
        if speed != 1.0:
            latents = torch.nn.functional.interpolate(
                latents.transpose(1, 2), scale_factor=1 / speed, mode="linear"
            ).transpose(1, 2)
        with torch.inference_mode():
            wave = self._model.hifigan_decoder(latents, g=torch.from_numpy(self._speaker).to(self._where))
        return at_24k(wave.cpu().numpy(), self._model.config.audio.output_sample_rate)


def read_model(folder: Path) -> Any:
    """Return the model in a folder with ``config.json``, ``model.pth`` and ``vocab.json``, for inference.

    Its own loader writes the checkpoint anew where that holds an old form of settings; this one leaves files alone.

    Raises:
        MissingEngineError: a file is absent, damaged, or would run code.
    """
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
    from TTS.tts.models.xtts import Xtts

    settings, weights, vocabulary = (
        file_of(folder, name, _TITLE) for name in ("config.json", "model.pth", "vocab.json")
    )
    try:
        config = XttsConfig()
        config.load_json(str(settings))
        model = Xtts(config)
        model.tokenizer = VoiceBpeTokenizer(vocab_file=str(vocabulary))
    except Exception as error:  # coqpit and tokenizers raise whatever their parsers do
        raise MissingEngineError(f"{folder} cannot be read ({_line(error)}): fetch the model again.") from error
    model.init_models()
    state = _weights(weights)
    # Version 1 was saved with its generator set up, later ones were not.
    is_set_up = any(name.startswith("gpt.gpt_inference.") for name in state)
    if is_set_up:
        model.gpt.init_gpt_for_inference(kv_cache=model.args.kv_cache)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise MissingEngineError(
            f"{weights} does not fit {settings} ({_line(error)}): fetch the model again."
        ) from error
    model.hifigan_decoder.eval()
    if not is_set_up:
        model.gpt.init_gpt_for_inference(kv_cache=model.args.kv_cache)
    model.gpt.eval()
    return model


def _weights(file: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint, read weights-only: of classes, only the settings' own are let through."""
    import torch
    from TTS.config.shared_configs import BaseDatasetConfig
    from TTS.tts.configs.xtts_config import XttsArgs, XttsAudioConfig, XttsConfig

    old = "TTS.tts.models.xtts"
    allowed: list[Any] = [BaseDatasetConfig, XttsConfig, XttsArgs, XttsAudioConfig]
    allowed += [(XttsArgs, f"{old}.XttsArgs"), (XttsAudioConfig, f"{old}.XttsAudioConfig")]
    try:
        with torch.serialization.safe_globals(allowed):
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
        state = checkpoint["model"]
    except pickle.UnpicklingError as error:
        raise MissingEngineError(
            f"{file} is not read: it holds more than weights and could run code ({_line(error)})."
        ) from error
    except (OSError, EOFError, RuntimeError, KeyError, TypeError, IndexError, ValueError) as error:
        raise MissingEngineError(f"{file} cannot be read ({_line(error)}): fetch the model again.") from error
    bare = {name.removeprefix("xtts."): value for name, value in state.items()}
    return {name: value for name, value in bare.items() if name.split(".")[0] not in _FINETUNING}


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
