"""Tiny checkpoints of the same architectures as the real ones, made here, that know three sentences by heart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from transformers import (
    M2M100Config,
    M2M100ForConditionalGeneration,
    M2M100Tokenizer,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
    NllbTokenizer,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

TEXT = (
    "Good morning, my friend.", "The house is in the city.", "We live in a big house.", "Where is the city?",
    "Bom dia, meu amigo.", "A casa fica na cidade.", "Moramos em uma casa grande.", "Onde fica a cidade?",
    "Guten Morgen, mein Freund.", "Das Haus ist in der Stadt.", "Wir wohnen in einem großen Haus.",
)  # fmt: skip
_SIZES = {"dropout_rate": 0.0, "num_heads": 2, "d_kv": 8, "d_model": 32, "d_ff": 32, "num_layers": 2}


PAIRS = {
    "pt": {
        "Good morning, my friend.": "Bom dia, meu amigo.",
        "The house is in the city.": "A casa fica na cidade.",
        "Where is the city?": "Onde fica a cidade?",
    },
    "de": {
        "Good morning, my friend.": "Guten Morgen, mein Freund.",
        "The house is in the city.": "Das Haus ist in der Stadt.",
        "Where is the city?": "Wo ist die Stadt?",
    },
}
"""What the checkpoints learn by heart, by language, from English."""
_STEPS = 150


def taught(model: Any, tokenizer: Any, directions: dict[str, tuple[str, str]]) -> None:
    """Teach a model :data:`PAIRS`, a few seconds long.

    Args:
        model: with random weights.
        tokenizer: its own.
        directions: by language, what is put before the source text, and the tokenizer's code of the target.
    """
    sources, labels = [], []
    for language, (prefix, code) in directions.items():
        tokenizer.tgt_lang = code
        for source, target in PAIRS[language].items():
            sources.append(prefix + source)
            labels.append(torch.tensor(tokenizer(text_target=target).input_ids))
    inputs = tokenizer(sources, return_tensors="pt", padding=True)
    wanted = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100)
    model.train()
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(_STEPS):
        optimiser.zero_grad()
        model(input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, labels=wanted).loss.backward()
        optimiser.step()
    model.eval()


def trained(folder: Path, kind: str, symbols: Sequence[str] = (), size: int = 120, **ids: int) -> Path:
    """Train a sentencepiece model on :data:`TEXT`."""
    folder.mkdir(parents=True, exist_ok=True)
    prefix = folder / f"spm-{kind}"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT * 4),
        model_prefix=str(prefix),
        model_type=kind,
        vocab_size=size,
        user_defined_symbols=list(symbols),
        hard_vocab_limit=False,
        minloglevel=2,
        **ids,
    )
    return prefix.with_suffix(".model")


def pieces(model: Path) -> list[str]:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    return [processor.id_to_piece(number) for number in range(processor.get_piece_size())]


def _bart_like(vocabulary: int, special: dict[str, int]) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32, "dropout": 0.0, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
        "max_position_embeddings": 128, **special,
    }  # fmt: skip


def m2m100(folder: Path) -> Path:
    spm = trained(folder / "training", "bpe")
    words = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        *(piece for piece in pieces(spm) if piece not in ("<s>", "</s>", "<unk>")),
    ]
    (folder / "training" / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    tokenizer = M2M100Tokenizer(str(folder / "training" / "vocab.json"), str(spm), src_lang="en")
    special = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
    torch.manual_seed(7)
    model = M2M100ForConditionalGeneration(M2M100Config(**_bart_like(len(words) + 108, special)))
    return _saved(model, tokenizer, folder, {"pt": ("", "pt"), "de": ("", "de")})


def nllb(folder: Path) -> Path:
    from tokenizers.implementations import SentencePieceBPETokenizer

    trainer = SentencePieceBPETokenizer()
    trainer.train_from_iterator(
        TEXT, vocab_size=160, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], show_progress=False
    )
    (folder / "training").mkdir(parents=True)
    trainer.save_model(str(folder / "training"))
    vocabulary = json.loads((folder / "training" / "vocab.json").read_text())
    merges = [
        tuple(line.split(" "))
        for line in (folder / "training" / "merges.txt").read_text().splitlines()
        if not line.startswith("#")
    ]
    tokenizer = NllbTokenizer(vocab=vocabulary, merges=merges, src_lang="eng_Latn", tgt_lang="por_Latn")
    special = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
    torch.manual_seed(7)
    model = M2M100ForConditionalGeneration(M2M100Config(**_bart_like(len(tokenizer), special)))
    return _saved(model, tokenizer, folder, {"pt": ("", "por_Latn"), "de": ("", "deu_Latn")})


def madlad(folder: Path) -> Path:
    symbols = ["<2pt>", "<2de>", "<2zh_Hant>"]
    spm = trained(folder / "training", "unigram", symbols, unk_id=0, bos_id=-1, eos_id=2, pad_id=1)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(spm))
    vocabulary = [(piece, processor.get_score(number)) for number, piece in enumerate(pieces(spm))]
    tokenizer = T5Tokenizer(vocab=vocabulary, extra_ids=0, additional_special_tokens=symbols)
    sizes = {"num_decoder_layers": 2, "decoder_start_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    config = T5Config(vocab_size=len(tokenizer), feed_forward_proj="gated-gelu", **_SIZES, **sizes)
    torch.manual_seed(7)
    model = T5ForConditionalGeneration(config)
    return _saved(model, tokenizer, folder, {"pt": ("<2pt> ", ""), "de": ("<2de> ", "")})


def marian(folder: Path, symbols: Sequence[str] = (), source: str = "en", target: str = "pt") -> Path:
    spm = trained(folder / "training", "unigram")
    words = ["</s>", "<unk>", *(p for p in pieces(spm) if p not in ("<s>", "</s>", "<unk>")), *symbols, "<pad>"]
    (folder / "training" / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    tokenizer = MarianTokenizer(
        str(spm), str(spm), str(folder / "training" / "vocab.json"), source_lang=source, target_lang=target
    )
    pad = len(words) - 1
    special = {"pad_token_id": pad, "eos_token_id": 0, "decoder_start_token_id": pad, "bos_token_id": None}
    torch.manual_seed(7)
    model = MarianMTModel(MarianConfig(**_bart_like(len(words), special)))
    prefixes = {"pt": ">>por<< ", "de": ">>deu<< "} if symbols else {target: ""}
    return _saved(model, tokenizer, folder, {each: (prefix, "") for each, prefix in prefixes.items()})


def _saved(model: Any, tokenizer: Any, folder: Path, directions: dict[str, tuple[str, str]]) -> Path:
    taught(model, tokenizer, directions)
    place = folder / "model"
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place
