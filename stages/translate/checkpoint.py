"""Translation models of Hugging Face's ``transformers``: M2M100, NLLB-200, MADLAD-400 and Opus-MT, from local files.

Nothing is downloaded here, no code of a model's folder is run, and pickled weights are read weights-only. Beam search
without sampling: the same lines give the same translations.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from stages import models
from stages.devices import device, in_batches, is_out_of_memory
from stages.errors import InputError, MissingEngineError
from stages.languages import closest
from stages.progress import Progress
from stages.translate import codes
from stages.translate.config import TranslateConfig
from stages.translate.engine import Document, Opened, named
from stages.translate.lines import Chain
from stages.translate.routes import Hop, Route
from stages.translate.text import Translated

_READ = (".json", ".model", ".spm", ".txt", ".safetensors", ".bin")
"""Ends of the names of the files that are loaded."""
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_MOST_WORSE = 0.5
"""How much less likely a token, in nats, another translation may be than the best one."""


@dataclass(frozen=True)
class Direction:
    """How a model is told what to translate into what."""

    source: str = ""
    """Code of the source language, where the tokenizer wants it."""
    prefix: str = ""
    """What is put before every text."""
    first_token: int | None = None
    """Token that a translation begins with."""
    name: str = ""


@dataclass(frozen=True)
class Family:
    """Models that are told languages in one way."""

    engine: str
    """Name in the settings."""
    model_type: str
    """As ``config.json`` says it."""
    codes: Callable[[str], tuple[str, ...]]
    """BCP-47 tag -> codes that the model may know the language by, best first."""
    token: str
    """How its vocabulary writes a code."""
    direct: Callable[[Family, Any, str | None, str], Direction | str]
    """The tokenizer and the tags -> the direction, or the tag that the model lacks."""
    vocabulary: tuple[tuple[str, ...], ...]
    """Files of the tokenizer, one of these sets: without, the library makes an empty one and says nothing."""

    def code(self, tokenizer: Any, tag: str) -> str | None:
        """Return the code that the model knows a language by, or None."""
        known = (code for code in self.codes(tag) if self.token_id(tokenizer, code) is not None)
        return next(known, None)

    def token_id(self, tokenizer: Any, code: str) -> int | None:
        """Return the token of a language, or None."""
        found = tokenizer.convert_tokens_to_ids(self.token.format(code))
        return None if found is None or found == tokenizer.unk_token_id else found


def _by_first_token(family: Family, tokenizer: Any, source: str | None, target: str) -> Direction | str:
    """M2M100 and NLLB: a token for the source before the text, one for the target before the translation."""
    there = family.code(tokenizer, target)
    here = "" if source is None else family.code(tokenizer, source)
    if there is None or here is None:
        return target if there is None or source is None else source
    return Direction(here, "", family.token_id(tokenizer, there), f"{here}>{there}")


def _by_prefix(family: Family, tokenizer: Any, source: str | None, target: str) -> Direction | str:
    """MADLAD-400: the target before the text; the source is found out."""
    there = family.code(tokenizer, target)
    return target if there is None else Direction("", family.token.format(there) + " ", None, there)


def _by_model(family: Family, tokenizer: Any, source: str | None, target: str) -> Direction | str:
    """Opus-MT: a model a pair, or one into several languages with the target before the text."""
    here = _single_language(tokenizer.source_lang)
    if source is not None and here is not None and closest(source, (here,)) is None:
        return source
    name = f"{tokenizer.source_lang or '?'}>{tokenizer.target_lang or '?'}"
    if tokenizer.supported_language_codes:
        found = _by_prefix(family, tokenizer, source, target)
        return found if isinstance(found, str) else Direction(prefix=found.prefix, name=name)
    there = _single_language(tokenizer.target_lang)
    return target if there is None or closest(target, (there,)) is None else Direction(name=name)


def _single_language(code: str | None) -> str | None:
    """Return the code as a BCP-47 tag; None for that of a group of languages (``"itc"``, ``"ROMANCE"``) or none.

    Only two-letter codes, and three-letter ones that stand for them, are sure to name one language.
    """
    import langcodes

    if not code:
        return None
    try:
        tag = langcodes.standardize_tag(code)
    except langcodes.LanguageTagError:
        return None
    return tag if len(tag.split("-")[0]) == 2 else None


def m2m100(config: TranslateConfig) -> CheckpointEngine:
    """Return M2M100 (Fan et al. 2021)."""
    files = (("vocab.json", "sentencepiece.bpe.model"),)
    return CheckpointEngine(config, Family("m2m100", "m2m_100", codes.m2m100, "__{}__", _by_first_token, files))


def nllb(config: TranslateConfig) -> CheckpointEngine:
    """Return NLLB-200 (NLLB Team 2022)."""
    files = (("tokenizer.json",), ("sentencepiece.bpe.model",))
    return CheckpointEngine(config, Family("nllb", "m2m_100", codes.nllb, "{}", _by_first_token, files))


def madlad(config: TranslateConfig) -> CheckpointEngine:
    """Return MADLAD-400 (Kudugunta et al. 2023)."""
    files = (("tokenizer.json",), ("spiece.model",))
    return CheckpointEngine(config, Family("madlad", "t5", codes.madlad, "<2{}>", _by_prefix, files))


def opus_mt(config: TranslateConfig) -> CheckpointEngine:
    """Return Opus-MT (Tiedemann and Thottingal 2020)."""
    files = (("vocab.json", "source.spm", "target.spm"),)
    return CheckpointEngine(config, Family("opus-mt", "marian", codes.opus, ">>{}<<", _by_model, files))


class CheckpointEngine:
    """A model in a folder (:class:`stages.translate.engine.TranslationEngine`)."""

    def __init__(self, config: TranslateConfig, family: Family) -> None:
        self._config, self._family = config, family

    def check(self, source: str | None, target: str) -> None:
        """Check the folder and that its vocabulary has the languages; the weights are not loaded."""
        self._direction(source, target)

    def _direction(self, source: str | None, target: str) -> Direction:
        found = self._family.direct(self._family, _tokenizer(self._folder()), source, target)
        if isinstance(found, str):
            raise InputError(
                f"translate.engine {self._family.engine}: the model {self._config.model} does not know {named(found)}; "
                "choose another model with translate.model, or another engine."
            )
        return found

    def _folder(self) -> Path:
        """Return the model's folder, checked as far as that goes without loading it."""
        engine, name = self._family.engine, self._config.model
        what = "a folder with config.json, the tokenizer's files and the weights"
        if not name:
            raise MissingEngineError(
                f"translate.engine {engine} needs a model: {what}, or a name of dubwright models list. Set it: "
                "export DUBWRIGHT_TRANSLATE__MODEL=FOLDER"
            )
        folder = Path(name)
        if not folder.is_dir():
            if name not in models.catalogue():
                raise MissingEngineError(
                    f"translate.model {name}: there is no such folder, and no model of that name (dubwright models "
                    "list). Set it: export DUBWRIGHT_TRANSLATE__MODEL=FOLDER"
                )
            folder = models.path(name)
        try:
            kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
        except (OSError, ValueError, AttributeError):
            raise MissingEngineError(f"translate.model {name} has no readable config.json; give {what}.") from None
        if kind != self._family.model_type:
            raise InputError(
                f"translate.model {name} is a model of type {kind!r}, and {engine} is of type "
                f"{self._family.model_type!r}; choose another translate.model or translate.engine."
            )
        wanted = {"weights": tuple((weights,) for weights in _WEIGHTS), "tokenizer": self._family.vocabulary}
        for part, choices in wanted.items():
            if not any(all((folder / file).is_file() for file in files) for files in choices):
                one_of = " or ".join(" and ".join(files) for files in choices)
                raise MissingEngineError(f"translate.model {name} has no {part} ({one_of}); give {what}.")
        return folder

    def route(self, source: str, target: str) -> Route:
        """Return the one hop, with the digest of the model's files."""
        listed = models.catalogue().get(self._config.model or "")
        hop = Hop(
            engine=self._family.engine,
            source=source,
            target=target,
            licence=listed.licence if listed is not None else "",
            mode=self._direction(source, target).name,
            sha256=_digest(self._folder()),
        )
        return Route(hops=(hop,))

    def targets(self, source: str, known: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Return the languages with a pack that the model's vocabulary has."""
        tokenizer, family = _tokenizer(self._folder()), self._family
        return {
            tag: (family.engine,)
            for tag in sorted(known)
            if isinstance(family.direct(family, tokenizer, source, tag), Direction) and closest(source, (tag,)) is None
        }

    def open(self, document: Document, progress: Progress) -> Opened:
        """Load the model."""
        direction = self._direction(document.route.source, document.route.target)
        return Opened(Chain([Checkpoint(self._folder(), direction, self._family.engine, self._config, progress)]))


class Checkpoint:
    """A loaded model for one direction (:class:`stages.translate.text.TextEngine`)."""

    def __init__(
        self, folder: Path, direction: Direction, engine: str, config: TranslateConfig, progress: Progress
    ) -> None:
        self._device = device(config.device, "translate.device")
        self._tokenizer, self._direction = _tokenizer(folder), direction
        self._what, self._progress = f"translate.engine {engine}", progress
        self._batch, self._beams, self._longest = config.batch, config.beams, config.longest_tokens
        self._model = _loaded(lambda: self._read(folder), folder, self._what)
        self._most_tokens = getattr(self._model.config, "max_position_embeddings", None)

    def _read(self, folder: Path) -> Any:
        from transformers import AutoModelForSeq2SeqLM

        model = AutoModelForSeq2SeqLM.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, weights_only=True, dtype=self._device.dtype
        )
        return model.to(self._device.kind).eval()

    def translate(self, texts: Sequence[str]) -> list[Translated]:
        """Translate texts, in batches of like length; the rest of the beam are the other translations.

        Raises:
            MissingEngineError: the memory does not suffice for one text.
        """
        if self._direction.source:
            self._tokenizer.src_lang = self._direction.source
        plain = [" ".join(text.split()) for text in texts]
        lengths = [len(self._tokenizer(self._direction.prefix + text).input_ids) for text in plain]
        made = {
            number: Translated(text="", note="" if not text else f"its {length} tokens are too many for the model")
            for number, (text, length) in enumerate(zip(plain, lengths, strict=True))
            if not text or (self._most_tokens is not None and length > self._most_tokens)
        }
        order = sorted((number for number in range(len(plain)) if number not in made), key=lambda at: (lengths[at], at))
        done = 0

        def work(batch: Sequence[int]) -> list[Translated]:
            nonlocal done
            found = self._generated([plain[number] for number in batch])
            done += len(batch)
            self._progress(done / len(order))
            return found

        made |= dict(zip(order, in_batches(order, self._batch, work, self._what), strict=True))
        return [made[number] for number in range(len(plain))]

    def _generated(self, texts: Sequence[str]) -> list[Translated]:
        import torch

        inputs = self._tokenizer(
            [self._direction.prefix + text for text in texts], return_tensors="pt", padding=True
        ).to(self._device.kind)
        first = self._direction.first_token
        forced = {} if first is None else {"forced_bos_token_id": first}
        with torch.inference_mode():
            found = self._model.generate(
                input_ids=inputs.input_ids,
                attention_mask=inputs.attention_mask,
                do_sample=False,
                num_beams=self._beams,
                num_return_sequences=self._beams,
                max_new_tokens=self._longest,
                return_dict_in_generate=True,
                output_scores=self._beams > 1,  # of which there are none without a beam
                **forced,
            )
        said = found.sequences[:, 1 if first is None else 2 :]  # after the start and the language
        scores = found.sequences_scores.tolist() if self._beams > 1 else [0.0] * len(said)
        ended = (said == self._tokenizer.eos_token_id).any(dim=1).tolist()
        written = [" ".join(text.split()) for text in self._tokenizer.batch_decode(said, skip_special_tokens=True)]
        beams = range(0, len(written), self._beams)
        return [
            _best(list(zip(written, scores, strict=True))[at : at + self._beams], ended[at], self._longest)
            for at in beams
        ]


def _best(beam: Sequence[tuple[str, float]], has_ended: bool, longest: int) -> Translated:
    """Return the best text of a beam; ``beam`` holds texts and their mean log-probabilities a token."""
    best, score = beam[0]
    if not best:
        return Translated(text="", note="the model wrote nothing")
    likely = (text for text, less in beam[1:] if less >= score - _MOST_WORSE)
    others = tuple(dict.fromkeys(text for text in likely if text and text != best))
    note = "" if has_ended else f"the translation may be cut off or repeat itself: it did not end in {longest} tokens"
    return Translated(text=best, others=others, note=note)


@lru_cache(maxsize=4)
def _tokenizer(folder: Path) -> Any:
    def read() -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)

    return _loaded(read, folder, "translate.model")


def _loaded(read: Callable[[], Any], folder: Path, what: str) -> Any:
    """Return what is read from a folder; whatever is wrong with the files is one line.

    Raises:
        MissingEngineError: a file is damaged, of another model or not there, or the memory does not suffice.
    """
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        return read()
    except Exception as error:  # a wrong file fails in as many ways as there are readers
        if is_out_of_memory(error):
            raise MissingEngineError(
                f"{what}: the memory does not suffice for {folder}; choose a smaller one."
            ) from None
        said = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise MissingEngineError(
            f"{what}: {folder} cannot be loaded ({type(error).__name__}: {said}). Fetch or copy the model again."
        ) from error


def _digest(folder: Path) -> str:
    """Return the SHA-256 over the names and digests of the files that are loaded."""
    found = hashlib.sha256()
    for file in sorted(file for file in folder.iterdir() if file.suffix in _READ and file.is_file()):
        status = file.stat()
        found.update(f"{file.name}\0{_file_digest(file, status.st_size, status.st_mtime_ns)}\n".encode())
    return found.hexdigest()


@lru_cache(maxsize=256)
def _file_digest(file: Path, _size: int, _mtime_ns: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
