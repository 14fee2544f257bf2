"""Pocket TTS (Kyutai 2026): a small language model of continuous audio latents that clones a voice on two CPU cores.

The speaker's seconds are its prompt: the state after it is kept, and every line goes on from there. It has no speed of
its own, so the tempo of the sound is changed.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages import models
from stages.errors import MissingEngineError
from stages.synthesize.cloning import CloningEngine, Conditioning, Take, at_24k
from stages.synthesize.config import SynthesizeConfig, needed
from stages.synthesize.neural import device_of, file_of, seeded
from stages.synthesize.stretching import at_tempo

if TYPE_CHECKING:
    from language_packs.schema import G2P
    from stages.artifacts import Cast

SPEEDS = (0.85, 1.3)
_TITLE = "Pocket TTS"
_NETWORKS = {
    "en": "english", "fr": "french", "de": "german", "pt": "portuguese", "it": "italian", "es": "spanish",
    "nl": "dutch",
}  # fmt: skip
"""Primary language subtag -> the package's own settings of its network."""


def load(config: SynthesizeConfig, language: str, how: G2P | None, cast: Cast | None) -> CloningEngine:
    """Return the engine (:class:`stages.synthesize.registry.EngineSpec`).

    Raises:
        InputError: there is no such model.
        MissingEngineError: no model is named for the language.
    """
    subtag = language.split("-")[0].lower()
    setting = f"synthesize.pocket.models.{subtag}"
    folder = models.find(needed(config.pocket.models.get(subtag), setting, "the language's model"))
    return CloningEngine("pocket", lambda: PocketSampler(folder, config, subtag), SPEEDS, language, how, cast)


class PocketSampler:
    """The model in memory (:class:`stages.synthesize.cloning.Sampler`)."""

    def __init__(self, folder: Path, config: SynthesizeConfig, language: str) -> None:
        """Load the model.

        Raises:
            MissingEngineError: a file is absent or damaged.
        """
        self._where = device_of(config)
        self._model = read_model(folder, language, config.pocket.temperature).to(self._where)
        if not self._listens():
            raise MissingEngineError(
                f"{folder} holds weights without voice cloning: every speaker would sound the same. Fetch those "
                "with it (docs/engines-synthesize.md)."
            )

    def _listens(self) -> bool:
        """Return whether a sound leaves another state than silence does: Kyutai also publishes weights that do not."""
        silence = np.zeros(CloningEngine.rate_hz, np.float32)
        noise = np.random.default_rng(0).normal(0, 0.1, len(silence)).astype(np.float32)
        heard, unheard = (self.condition(each) for each in (noise, silence))
        return any(not np.array_equal(heard[name], unheard[name], equal_nan=True) for name in heard)

    def condition(self, reference: np.ndarray) -> dict[str, np.ndarray]:
        """Return the model's state after the reference, as ``<module>/<name>``."""
        import torch

        at_own_rate = _resampled(reference, self._model.sample_rate)
        state = self._model.get_state_for_audio_prompt(torch.from_numpy(at_own_rate)[None])
        return {
            f"{module}/{name}": value.cpu().numpy()
            for module, values in state.items()
            for name, value in values.items()
        }

    def fits(self, text: str) -> bool:
        """Return True: the package cuts long texts itself, after sentences, and begins each piece as conditioned."""
        return True

    def take(self, text: str, conditioning: Conditioning, seed: int) -> Take:
        """Return a text, spoken."""
        import torch

        state: dict[str, dict[str, torch.Tensor]] = {}
        for key, value in conditioning.items():
            module, _, name = key.rpartition("/")
            state.setdefault(module, {})[name] = torch.from_numpy(np.array(value)).to(self._where)
        with seeded(seed, self._where):
            wave = self._model.generate_audio(state, text)
        return _Take(at_24k(wave.cpu().numpy(), self._model.sample_rate))


@dataclass(frozen=True, eq=False)
class _Take:
    samples: np.ndarray

    def at(self, speed: float) -> np.ndarray:
        return self.samples if speed == 1.0 else at_tempo(self.samples, speed, CloningEngine.rate_hz)


def read_model(folder: Path, language: str, temperature: float | None) -> Any:
    """Return the model in a folder with ``model.safetensors`` and ``tokenizer.json`` (or ``tokenizer.model``).

    Its network is as ``config.yaml`` says, or, without one, as the package's own settings of the language do; where
    these files lie is the folder, whatever they say: nothing is fetched.

    Raises:
        MissingEngineError: a file is absent or damaged, or does not fit.
    """
    import yaml
    from pocket_tts import TTSModel
    from pocket_tts.utils.config import CONFIGS_DIR, load_config
    from safetensors import SafetensorError

    weights = file_of(folder, "model.safetensors", _TITLE)
    spelling = folder / "tokenizer.model"
    tokenizer = spelling if spelling.is_file() else file_of(folder, "tokenizer.json", _TITLE)
    own = folder / "config.yaml"
    try:
        config = load_config(own if own.is_file() else CONFIGS_DIR / f"{_NETWORKS[language]}.yaml")
        table = config.flow_lm.lookup_table.model_copy(
            update={"tokenizer_path": str(tokenizer.resolve()), "tokenizer": _kind(tokenizer)}
        )
        flow = config.flow_lm.model_copy(update={"weights_path": None, "lookup_table": table})
        codec = config.mimi.model_copy(update={"weights_path": None})
        local = config.model_copy(
            update={
                "weights_path": str(weights.resolve()),
                "weights_path_without_voice_cloning": None,
                "flow_lm": flow,
                "mimi": codec,
            }
        )
        with tempfile.TemporaryDirectory() as scratch:
            written = Path(scratch) / "config.yaml"
            written.write_text(yaml.safe_dump(local.model_dump(mode="json")), encoding="utf-8")
            model = TTSModel.load_model(config=written, temp=temperature)
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError, AssertionError, yaml.YAMLError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise MissingEngineError(f"{folder} cannot be read ({line}): fetch the model again.") from error
    # As many frames as happen to wait are decoded together, which changes the last bits of the sound: one by one.
    model.max_decoder_frames_per_call = 1
    return model.eval()


def _kind(tokenizer: Path) -> str:
    return "sentencepiece" if tokenizer.suffix == ".model" else "tokenizers"


def _resampled(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    from stages import sound

    return samples if rate_hz == CloningEngine.rate_hz else sound.resample(samples, CloningEngine.rate_hz, rate_hz)
