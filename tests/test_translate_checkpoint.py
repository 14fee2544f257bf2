"""M2M100, NLLB, MADLAD and Opus-MT: tiny checkpoints that the tests teach, through the real loading code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("sentencepiece")

import tiny_translators as tiny  # noqa: E402

from language_packs import Packs, Wordings  # noqa: E402
from stages import pipeline  # noqa: E402
from stages.artifacts import Line, Script, Separation, SourceVideo, Transcript  # noqa: E402
from stages.devices import DeviceConfig, device, in_batches  # noqa: E402
from stages.errors import InputError, MissingEngineError  # noqa: E402
from stages.progress import silent  # noqa: E402
from stages.store import Store  # noqa: E402
from stages.translate import (  # noqa: E402
    References,
    TranslateConfig,
    check_pair,
    chosen_route,
    codes,
    engine_for,
    possible_pairs,
    possible_targets,
    translate,
)
from stages.translate.checkpoint import Checkpoint  # noqa: E402
from stages.translate.glossary import Glossary, Term  # noqa: E402

ENGLISH = list(tiny.PAIRS["pt"])
PORTUGUESE, GERMAN = list(tiny.PAIRS["pt"].values()), list(tiny.PAIRS["de"].values())
ENGINES = ("m2m100", "nllb", "madlad", "opus-mt")
Models = dict[str, Path]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """One checkpoint an engine; each knows English into Portuguese and German."""
    root = tmp_path_factory.mktemp("checkpoints")
    return {
        "m2m100": tiny.m2m100(root / "m2m100"),
        "nllb": tiny.nllb(root / "nllb"),
        "madlad": tiny.madlad(root / "madlad"),
        "opus-mt": tiny.marian(root / "several", (">>por<<", ">>deu<<"), "en", "mul"),
        "pair": tiny.marian(root / "pair"),
    }


def settings(models: Models, engine: str, model: str | None = None, **more: Any) -> TranslateConfig:
    return TranslateConfig(engine=engine, model=str(models[model or engine]), **{"longest_tokens": 40, **more})


def opened(config: TranslateConfig, target: str = "pt-BR", source: str = "en") -> Checkpoint:
    engine: Any = engine_for(config)
    return Checkpoint(Path(config.model or ""), engine._direction(source, target), config.engine, config, silent)


def dub(
    config: TranslateConfig, texts: Sequence[str], target: str = "pt-BR", glossary: Glossary | None = None
) -> Script:
    lines = tuple(
        Line(id=n, speaker="S1", start_ms=n * 3000, end_ms=n * 3000 + 2000, text=text, words=())
        for n, text in enumerate(texts, start=1)
    )
    transcript = Transcript(language="en", language_probability=1.0, lines=lines, unprocessed=())
    references = References(glossary=glossary or Glossary())
    route = chosen_route("en", target, config)
    return translate(transcript, Separation(), route, Wordings(), references, config, Path(), silent)


class TestTranslating:
    @pytest.mark.parametrize("engine", ENGINES)
    def test_the_language_that_is_asked_for_comes_out(self, models: Models, engine: str) -> None:
        for target, expected in (("pt-BR", PORTUGUESE), ("de", GERMAN)):
            script = dub(settings(models, engine), ENGLISH, target)
            assert [line.text for line in script.lines] == expected
            assert script.route == (f"{engine} en>{target}",)
            assert all(line.flags == () for line in script.lines)

    def test_a_model_of_one_pair(self, models: Models) -> None:
        script = dub(settings(models, "opus-mt", "pair"), ENGLISH)
        assert [line.text for line in script.lines] == PORTUGUESE

    @pytest.mark.parametrize("engine", ENGINES)
    def test_batches_are_like_one_by_one_and_twice_is_the_same(self, models: Models, engine: str) -> None:
        texts = [*ENGLISH, "", "The city is big.", ENGLISH[0], "Where is my friend in the big city, and the house?"]
        together = opened(settings(models, engine, batch=4)).translate(texts)
        alone = opened(settings(models, engine, batch=1)).translate(texts)
        again = opened(settings(models, engine, batch=4)).translate(texts)
        assert [each.text for each in together] == [each.text for each in alone]
        assert together == again
        assert together[3].text == "" and together[0] == together[5]

    @pytest.mark.parametrize(("engine", "code"), [("m2m100", "__de__"), ("nllb", "deu_Latn")])
    def test_the_first_token_is_the_language(
        self, models: Models, engine: str, code: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        checkpoint = opened(settings(models, engine), "de")
        seen = []
        generate = checkpoint._model.generate

        def watched(**asked: Any) -> Any:
            found = generate(**asked)
            seen.append((asked["input_ids"], found.sequences))
            return found

        monkeypatch.setattr(checkpoint._model, "generate", watched)
        checkpoint.translate(ENGLISH)
        ((asked, sequences),) = seen
        tokenizer = checkpoint._tokenizer
        assert set(sequences[:, 1].tolist()) == {tokenizer.convert_tokens_to_ids(code)}
        here = {"m2m100": "__en__", "nllb": "eng_Latn"}[engine]
        assert set(asked[:, 0].tolist()) == {tokenizer.convert_tokens_to_ids(here)}

    @pytest.mark.parametrize("engine", ENGINES)
    def test_the_rest_of_the_beam_are_other_translations(self, models: Models, engine: str) -> None:
        (said,) = opened(settings(models, engine)).translate(["The big house of my friend is where?"])
        assert said.text not in said.others and len(set(said.others)) == len(said.others) <= 4
        (narrow,) = opened(settings(models, engine, beams=1)).translate([ENGLISH[0]])
        assert (narrow.text, narrow.others) == (PORTUGUESE[0], ())

    def test_a_translation_that_does_not_end_is_flagged(self, models: Models) -> None:
        script = dub(settings(models, "nllb", longest_tokens=8), [ENGLISH[1]])
        assert "did not end in 8 tokens" in script.lines[0].flags[0]

    def test_a_text_that_is_longer_than_the_model_takes_does_not_end_the_run(self, models: Models) -> None:
        script = dub(settings(models, "opus-mt"), [ENGLISH[0], "The house is in the city " * 100 + "."])
        assert script.lines[0].text == PORTUGUESE[0]
        assert script.lines[1].text == "" and "too many for the model" in script.lines[1].flags[0]

    def test_the_glossary_is_tried_and_checked(self, models: Models) -> None:
        glossary = Glossary(terms=(Term(term="house", translation="mansarda"),))
        script = dub(settings(models, "nllb"), [ENGLISH[1]], glossary=glossary)
        assert "glossary: 'house' is not 'mansarda' in the translation" in script.lines[0].flags

    def test_half_precision(self, models: Models) -> None:
        config = settings(models, "madlad", device=DeviceConfig(kind="cpu", precision="bfloat16"))
        checkpoint = opened(config)
        assert checkpoint._model.dtype == torch.bfloat16
        assert checkpoint.translate(ENGLISH)[0].text == PORTUGUESE[0]

    def test_the_store_redoes_it_for_another_model_under_the_same_name(self, models: Models, tmp_path: Path) -> None:
        place = tmp_path / "model"
        place.symlink_to(models["pair"])
        config = TranslateConfig(engine="opus-mt", model=str(place))
        first = chosen_route("en", "pt-BR", config)
        store = Store(tmp_path / "work", SourceVideo(path=tmp_path / "x.mp4", sha256="0" * 64))
        transcript = Transcript(language="en", language_probability=1.0, lines=(), unprocessed=())
        inputs = (transcript, Separation(), first, Wordings(), References())
        _, run = store.run(pipeline.TRANSLATE, inputs, config, "pt-BR", silent)
        _, again = store.run(pipeline.TRANSLATE, inputs, config, "pt-BR", silent)
        assert not run.from_store and again.from_store and run.engine == "opus-mt"
        place.unlink()
        place.symlink_to(models["opus-mt"])
        assert chosen_route("en", "pt-BR", config).digest != first.digest


class TestLanguages:
    @pytest.mark.parametrize(
        ("tag", "m2m", "flores", "bcp", "tatoeba"),
        [
            ("pt-BR", "pt", "por_Latn", "pt", "por"),
            ("nb", "no", "nob_Latn", "no", "nob"),
            ("ar", "ar", "arb_Arab", "ar", "ara"),
            ("zh", "zh", "zho_Hans", "zh", "cmn"),
            ("ko", "ko", "kor_Hang", "ko", "kor"),
            ("fa", "fa", "pes_Arab", "fa", "pes"),
            ("fil", "tl", "tgl_Latn", "fil", "fil"),
            ("sr", "sr", "srp_Cyrl", "sr", "srp"),
        ],
    )
    def test_codes(self, tag: str, m2m: str, flores: str, bcp: str, tatoeba: str) -> None:
        assert m2m in codes.m2m100(tag) and flores in codes.nllb(tag)
        assert bcp in codes.madlad(tag) and tatoeba in codes.opus(tag)

    @pytest.mark.parametrize(("tag", "code"), [("zh-TW", "zho_Hant"), ("sr-Latn", "srp_Latn")])
    def test_another_script_is_not_the_languages_usual_code(self, tag: str, code: str) -> None:
        assert codes.m2m100(tag) == () and codes.nllb(tag) == (code,)
        assert tag.split("-")[0] not in codes.madlad(tag)

    def test_the_packs_languages_are_known_where_the_models_have_them(self) -> None:
        from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES as M2M
        from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES as FLORES

        tags = Packs(()).tags
        assert sum(bool(set(codes.m2m100(tag)) & set(M2M["m2m100"])) for tag in tags) >= 100
        lacking = {tag for tag in tags if not set(codes.nllb(tag)) & set(FLORES)}
        # Neither is in FLORES-200; every language of it that has a pack is found.
        assert lacking == {
            "aa", "an", "av", "bpy", "br", "csb", "cv", "fy", "grc", "haw", "hyw", "ia", "io", "jam", "kl", "kok",
            "la", "lez", "lfn", "mto", "nci", "nog", "quc", "smj", "za",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("engine", "model", "pair", "lacking"),
        [
            ("madlad", "madlad", ("en", "ja"), r"Japanese \(ja\)"),
            ("nllb", "nllb", ("en", "br"), r"Breton \(br\)"),
            ("nllb", "nllb", ("br", "en"), r"Breton \(br\)"),
            ("m2m100", "m2m100", (None, "mt"), r"Maltese \(mt\)"),
            ("opus-mt", "opus-mt", ("en", "fr"), r"French \(fr\)"),
            ("opus-mt", "pair", ("en", "de"), r"German \(de\)"),
            ("opus-mt", "pair", ("fr", "pt"), r"French \(fr\)"),
        ],
    )
    def test_a_language_that_the_model_lacks_is_named(
        self, models: Models, engine: str, model: str, pair: tuple[str | None, str], lacking: str
    ) -> None:
        with pytest.raises(InputError, match=rf"does not know {lacking}"):
            check_pair(*pair, settings(models, engine, model))

    def test_what_can_be_done_agrees_with_what_is_refused(self, models: Models) -> None:
        config = settings(models, "madlad")
        known = ("de", "en", "fr", "pt-BR", "zh-TW")
        assert possible_targets("en", config, known) == ("de", "pt-BR", "zh-TW")
        assert ("en", "de") in possible_pairs(config, known) and ("en", "fr") not in possible_pairs(config, known)
        check_pair("en", "zh-TW", config)
        assert possible_targets("en", settings(models, "opus-mt", "pair"), known) == ("pt-BR",)


class TestWhatIsMissing:
    def test_no_model_is_set(self) -> None:
        with pytest.raises(MissingEngineError, match="export DUBWRIGHT_TRANSLATE__MODEL=FOLDER") as refusal:
            check_pair("en", "de", TranslateConfig(engine="nllb"))
        assert refusal.value.exit_code == 3

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(MissingEngineError, match="no such folder, and no model of that name"):
            check_pair("en", "de", TranslateConfig(engine="nllb", model=str(tmp_path / "none")))

    def test_a_model_of_another_kind(self, models: Models) -> None:
        with pytest.raises(InputError, match=r"is a model of type 't5', and nllb is of type 'm2m_100'"):
            check_pair("en", "de", TranslateConfig(engine="nllb", model=str(models["madlad"])))

    @pytest.mark.parametrize(
        ("engine", "lacking"),
        [
            ("madlad", "config.json"), ("madlad", "model.safetensors"), ("madlad", "tokenizer.json"),
            ("nllb", "tokenizer.json"), ("m2m100", "vocab.json"), ("m2m100", "sentencepiece.bpe.model"),
            ("opus-mt", "target.spm"),
        ],
    )  # fmt: skip
    def test_a_file_that_is_not_there(self, models: Models, tmp_path: Path, engine: str, lacking: str) -> None:
        for file in models[engine].iterdir():
            if file.name != lacking:
                (tmp_path / file.name).symlink_to(file)
        with pytest.raises(MissingEngineError) as refusal:
            check_pair("en", "de", TranslateConfig(engine=engine, model=str(tmp_path)))
        said = str(refusal.value)
        assert "\n" not in said and str(tmp_path) in said and lacking in said

    def test_damaged_weights_are_one_line(self, models: Models, tmp_path: Path) -> None:
        for file in models["madlad"].iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes()[: 200 if file.suffix == ".safetensors" else None])
        with pytest.raises(MissingEngineError, match="cannot be loaded") as refusal:
            dub(TranslateConfig(engine="madlad", model=str(tmp_path)), ENGLISH)
        assert "\n" not in str(refusal.value)

    def test_pickled_weights_run_no_code(self, models: Models, tmp_path: Path) -> None:
        class Evil:
            def __reduce__(self) -> Any:
                return Path.touch, (tmp_path / "ran",)

        for file in models["madlad"].iterdir():
            if file.suffix != ".safetensors":
                (tmp_path / file.name).write_bytes(file.read_bytes())
        torch.save({"shared.weight": Evil()}, tmp_path / "pytorch_model.bin")
        with pytest.raises(MissingEngineError, match="cannot be loaded"):
            dub(TranslateConfig(engine="madlad", model=str(tmp_path)), ENGLISH)
        assert not (tmp_path / "ran").exists()

    def test_no_cuda_device(self) -> None:
        if torch.cuda.is_available():
            pytest.skip("there is one")
        with pytest.raises(MissingEngineError, match=r"translate\.device\.kind is cuda, and torch .* finds no CUDA"):
            device(DeviceConfig(kind="cuda"), "translate.device")


class TestMemory:
    def test_half_as_many_at_once_until_they_fit(self) -> None:
        sizes = []

        def work(batch: Sequence[int]) -> list[int]:
            sizes.append(len(batch))
            if len(batch) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return [2 * number for number in batch]

        assert in_batches(range(10), 8, work, "x") == [2 * number for number in range(10)]
        assert sizes == [8, 4, 2, 2, 2, 2, 2]

    def test_what_does_not_fit_at_all_is_one_line(self) -> None:
        def work(batch: Sequence[int]) -> list[int]:
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
            )

        with pytest.raises(MissingEngineError, match="x: the memory does not suffice even for one at a time"):
            in_batches(range(4), 4, work, "x")

    def test_another_error_is_not_taken_for_it(self) -> None:
        def work(batch: Sequence[int]) -> list[int]:
            raise RuntimeError("shapes differ")

        with pytest.raises(RuntimeError, match="shapes differ"):
            in_batches(range(4), 4, work, "x")

    def test_a_model_that_runs_out_of_memory_goes_on_with_less(
        self, models: Models, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        checkpoint = opened(settings(models, "nllb", batch=3))
        generate = checkpoint._model.generate

        def small(**asked: Any) -> Any:
            if len(asked["input_ids"]) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return generate(**asked)

        monkeypatch.setattr(checkpoint._model, "generate", small)
        assert [each.text for each in checkpoint.translate(ENGLISH)] == PORTUGUESE


def test_the_command_does_not_import_torch() -> None:
    code = "import sys, flows.cli, stages.pipeline, stages.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False).returncode == 0
