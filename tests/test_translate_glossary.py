"""Glossaries: what a file may say, what is refused, and that the engines keep to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from language_packs import Wordings, g2p, load_pack
from stages import sound
from stages.artifacts import Line, ScriptLine, Separation, Transcript
from stages.errors import InputError
from stages.progress import silent
from stages.synthesize.kokoro import RATE_HZ, KokoroEngine
from stages.translate import References, TranslateConfig, apertium, chosen_route, translate
from stages.translate.glossary import Glossary, Term, read_glossary
from stages.translate.kept_terms import asked, translated
from stages.translate.text import Translated


def glossary(**terms: str) -> Glossary:
    made = (Term(term=term.replace("_", " "), translation=said) for term, said in terms.items())
    return Glossary(terms=tuple(sorted(made, key=lambda term: (-len(term.term), term.term))))


def dubbed(target: str, terms: Glossary, *texts: str) -> tuple[ScriptLine, ...]:
    lines = tuple(
        Line(id=n, speaker="S1", start_ms=n * 5000, end_ms=n * 5000 + 2500, text=text, words=())
        for n, text in enumerate(texts, start=1)
    )
    transcript = Transcript(language="en", language_probability=1.0, lines=lines, unprocessed=())
    config = TranslateConfig()
    route = chosen_route("en", target, config)
    references = References(glossary=terms)
    return translate(transcript, Separation().at(Path()), route, Wordings(), references, config, Path(), silent).lines


class TestFile:
    @pytest.fixture
    def written(self, tmp_path: Path):
        def write(content: str | bytes, targets: tuple[str, ...] = ("pt-BR",)) -> dict[str, dict[str, str]]:
            file = tmp_path / "terms.csv"
            file.write_bytes(content.encode() if isinstance(content, str) else content)
            read = read_glossary(file, targets)
            return {tag: {term.term: term.translation for term in found.terms} for tag, found in read.items()}

        return write

    def test_translations_and_terms_that_are_kept(self, written):
        said = written("term,translation,do-not-translate\nboard,conselho,\nDubwright,,yes\nCharter,,\n")
        assert said == {"pt-BR": {"board": "conselho", "Dubwright": "Dubwright", "Charter": "Charter"}}

    def test_longest_first_and_the_same_whatever_the_order_of_rows(self, tmp_path):
        rows = ["new york,Nova Iorque", "york,Iorque", "home,lar"]
        digests = set()
        for order in (rows, rows[::-1]):
            (tmp_path / "terms.csv").write_text("\n".join(["term,translation", *order]))
            found = read_glossary(tmp_path / "terms.csv", ("pt-BR",))["pt-BR"]
            digests.add(found.digest)
        assert len(digests) == 1 and found.terms[0].term == "new york"

    def test_a_column_for_a_language_counts_before_the_general_one(self, written):
        said = written("term,translation,pt-BR,es\nboard,,conselho,junta\n", ("pt-BR", "es"))
        assert said == {"pt-BR": {"board": "conselho"}, "es": {"board": "junta"}}

    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_as_spreadsheets_write_it(self, written, delimiter):
        rows = "\r\n".join(["Term,Translation", "board,conselho", "", '"a b",c', ""]).replace(",", delimiter)
        assert written(b"\xef\xbb\xbf" + rows.encode()) == {"pt-BR": {"board": "conselho", "a b": "c"}}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "is empty"),
            ("board,conselho\n", "no column named term"),
            ("term\nboard\n", "neither a column named translation nor"),
            ("term,term,translation\na,b,c\n", "names a column twice"),
            ("term,translation,colour\na,b,c\n", "has a column 'colour'"),
            ("term,translation\nboard,conselho\nBoard,junta\n", "line 3: 'Board' is there already, in line 2"),
            ("term,translation\n,conselho\n", "line 2 has no term"),
            ("term,translation\nboard,conselho,e,mais\n", "line 2 has 4 columns"),
            ("term,translation,do-not-translate\nboard,conselho,yes\n", "leave one of them"),
            ("term,translation,do-not-translate\nboard,,maybe\n", "write yes or leave it empty"),
            ('term,translation\n"board,conselho\n', "is no CSV file"),
            (b"term,translation\nboard,dire\xe7\xe3o\n", "is not UTF-8"),
            ("term,translation\nboard,conselho\n".encode("utf-16"), "is not UTF-8"),
            (b"term,translation\n\0\0\0", "is no text file"),
        ],
    )
    def test_what_is_no_glossary_is_refused_in_one_line(self, written, content, message):
        with pytest.raises(InputError) as refusal:
            written(content)
        assert message in str(refusal.value) and "\n" not in str(refusal.value)
        assert str(refusal.value).startswith("--glossary ")

    def test_one_translation_for_two_languages_is_refused(self, written):
        with pytest.raises(InputError, match="one translation cannot serve pt-BR, es"):
            written("term,translation\nboard,conselho\n", ("pt-BR", "es"))
        assert written("term,translation\nDubwright,\n", ("pt-BR", "es"))["es"] == {"Dubwright": "Dubwright"}

    def test_no_such_file_a_folder_and_a_huge_file(self, tmp_path):
        with pytest.raises(InputError, match="there is no such file"):
            read_glossary(tmp_path / "nothing.csv", ("es",))
        with pytest.raises(InputError, match="is a folder"):
            read_glossary(tmp_path, ("es",))
        with (tmp_path / "huge.csv").open("wb") as huge:
            huge.truncate(100 << 20)
        with pytest.raises(InputError, match="has 100 MB; at most 4 MB"):
            read_glossary(tmp_path / "huge.csv", ("es",))


class TestTerms:
    def test_are_whole_words_in_any_case(self):
        terms = glossary(board="conselho")
        assert [term.term for term in terms.said_in("The Board met.")] == ["board"]
        assert terms.said_in("The boardroom, the dashboard.") == ()

    def test_a_term_inside_a_longer_one_is_not_counted(self):
        terms = glossary(york="Iorque", new_york="Nova Iorque")
        assert [term.term for term in terms.said_in("In New  York now.")] == ["new york"]
        assert terms.missed("In New York now.", "Em Nova Iorque agora.") == ()

    def test_every_time_it_is_said_counts(self):
        terms = glossary(board="conselho")
        assert terms.missed("Board after board.", "Conselho após conselho.") == ()
        assert terms.missed("Board after board.", "Conselho após junta.") == terms.terms

    def test_a_kept_term_is_kept_letter_for_letter(self):
        terms = glossary(iPhone="iPhone")
        assert terms.missed("My iphone.", "Meu iPhone.") == ()
        assert terms.missed("My iPhone.", "Meu IPHONE.") == terms.terms

    def test_signs_of_regular_expressions_are_only_signs(self):
        terms = glossary(**{"C++ (old)": r"C\1+"})
        said = terms.replaced("I like C++ (old) more.", lambda term: term.translation)
        assert said == r"I like C\1+ more."

    def test_a_letter_whose_small_form_is_another_is_found(self):
        assert glossary(istanbul="Istambul").replaced("İstanbul", lambda term: term.translation) == "Istambul"


class Parrot:
    """Says everything as it is, but what it is told to say otherwise."""

    def __init__(self, **otherwise: str) -> None:
        self.otherwise, self.asked = otherwise, []

    def __call__(self, texts):
        self.asked += texts
        answers = []
        for text in texts:
            for word, said in self.otherwise.items():
                text = text.replace(word, said)
            answers.append(Translated(text=text))
        return answers


class TestMeans:
    def test_what_is_said_right_is_asked_once(self):
        parrot = Parrot(board="conselho")
        (answer,) = translated(["the board"], glossary(board="conselho"), parrot)
        assert (answer.text, parrot.asked) == ("the conselho", ["the board"])

    def test_the_translation_is_written_into_the_source(self):
        parrot = Parrot(board="junta")
        (answer,) = translated(["The board"], glossary(board="conselho"), parrot)
        assert (answer.text, parrot.asked) == ("The conselho", ["The board", "The conselho"])

    def test_a_made_up_word_is_put_right(self):
        parrot = Parrot(board="junta", conselho="aconselhamento")
        (answer,) = translated(["The board"], glossary(board="conselho"), parrot)
        assert (answer.text, parrot.asked[-1]) == ("The conselho", "The XQA")

    def test_only_the_terms_that_are_missed_are_made_up(self):
        parrot = Parrot(board="junta", conselho="aconselhamento", house="morada")
        (answer,) = translated(["The board house"], glossary(board="conselho", house="casa"), parrot)
        assert (answer.text, parrot.asked[1:]) == ("The conselho casa", ["The conselho casa", "The XQA casa"])

    def test_all_terms_are_made_up_where_the_others_do_not_stand_beside_it(self):
        parrot = Parrot(board="junta", conselho="aconselhamento", house="morada", XQA_casa="?")
        parrot.otherwise["XQA casa"] = parrot.otherwise.pop("XQA_casa")
        (answer,) = translated(["The board house"], glossary(board="conselho", house="casa"), parrot)
        assert (answer.text, parrot.asked[-1]) == ("The conselho casa", "The XQA XQB")

    def test_nothing_of_a_made_up_word_is_left(self):
        parrot = Parrot(board="junta", conselho="aconselhamento", XQA="Xqatodels")
        (answer,) = translated(["The board"], glossary(board="conselho"), parrot)
        assert answer.text == "The junta"

    def test_a_made_up_word_is_not_one_of_the_text(self):
        terms = glossary(board="conselho")
        assert asked("The xqa board", terms, terms.terms)[0] == "The xqa QXA"

    def test_thirty_terms_get_thirty_words(self):
        terms = glossary(**{f"t{number}": "x" for number in range(30)})
        text, back = asked(" ".join(f"t{number}" for number in range(30)), terms, terms.terms)
        assert len(set(text.split())) == len(back) == 30

    def test_other_texts_are_not_asked_again(self):
        parrot = Parrot(board="junta")
        translated(["The board", "A house"], glossary(board="conselho"), parrot)
        assert parrot.asked == ["The board", "A house", "The conselho"]


class TestEngines:
    def test_bergamot_keeps_to_it(self):
        terms = glossary(board="colegiado", Dubwright="Dubwright", United_Nations="United Nations")
        lines = dubbed(
            "pt-BR", terms, "The board was approved by the United Nations.", "We use Dubwright every day.",
            "Did you see the board?", "The house is in the city.",
        )  # fmt: skip
        assert [line.flags for line in lines] == [(), (), (), ()]
        assert "colegiado" in lines[0].text and "United Nations" in lines[0].text
        assert "Dubwright" in lines[1].text and "colegiado" in lines[2].text
        assert lines[3].text == "A casa é na cidade."

    @pytest.mark.skipif("pt-es" not in apertium.modes(), reason="apertium has no pt-es on this machine")
    def test_a_route_of_two_engines_keeps_to_it(self):
        (line,) = dubbed("es", glossary(board="cónclave", Dubwright="Dubwright"), "The board uses Dubwright.")
        assert "cónclave" in line.text and "Dubwright" in line.text
        assert line.flags == () and "xq" not in line.text.lower()

    def test_shorter_versions_keep_to_it_too(self):
        from language_packs import load_shortening
        from stages.translate.lines import Chain, Sentence, translated_lines

        class Same:
            def translate(self, texts):
                return [Translated(text=text) for text in texts]

        line = Line(id=1, speaker="S1", start_ms=0, end_ms=900, text="Eu estou a minha", words=())
        sentence = Sentence((line,), "Eu estou muito feliz com a minha casa.", is_heard=False)
        wordings = Wordings(target=load_shortening("pt-BR"))
        (free,), (bound,) = (
            translated_lines([sentence], Chain([Same()]), wordings, References(glossary=terms), ("pt", "pt-BR"))[0]
            or []
            for terms in (Glossary(), glossary(Eu="Eu"))
        )
        assert any(not text.startswith("Eu ") for text in free.alternatives)
        assert all(text.startswith("Eu ") for text in bound.alternatives)

    def test_what_is_not_honoured_is_flagged_on_its_line(self):
        from stages.translate.lines import Chain, Sentence, translated_lines

        class Deaf:
            def translate(self, texts):
                return [Translated(text="uma coisa e outra coisa") for _ in texts]

        lines = tuple(
            Line(id=n, speaker="S1", start_ms=n * 1000, end_ms=n * 1000 + 900, text=text, words=())
            for n, text in enumerate(("I saw", "the board"), start=1)
        )
        sentence = Sentence(lines, "I saw the board", is_heard=False)
        references = References(glossary=glossary(board="conselho"))
        (first, second) = (
            translated_lines([sentence], Chain([Deaf()]), Wordings(), references, ("en", "pt-BR"))[0] or []
        )
        assert first.flags == ()
        assert second.flags == ("glossary: 'board' is not 'conselho' in the translation",)


class TestHearing:
    def test_whisper_hears_a_line_again_for_a_name_that_is_kept(self, tmp_path: Path):
        ipa = g2p.phonemize("Nós usamos o Dubwright todos os dias.", load_pack("pt-BR").g2p)
        spoken = sound.resample(KokoroEngine().speak(ipa, "jm_kumo").samples, RATE_HZ, sound.SPEECH_RATE_HZ)
        sound.write(tmp_path / "voice_16k.wav", spoken, sound.SPEECH_RATE_HZ)
        end_ms = 1000 * len(spoken) // sound.SPEECH_RATE_HZ
        text = "Nós usamos o Dubwright todos os dias."
        lines = (Line(id=1, speaker="S1", start_ms=0, end_ms=end_ms, text=text, words=()),)
        transcript = Transcript(language="pt-BR", language_probability=1.0, lines=lines, unprocessed=())
        config = TranslateConfig(engines=("whisper",))
        route, voice = chosen_route("pt-BR", "en", config), Separation().at(tmp_path)
        flag = "glossary: 'Dubwright' is not 'Dubwright' in the translation"
        references = References(glossary=glossary(usamos="employ", Dubwright="Dubwright"))
        (line,) = translate(transcript, voice, route, Wordings(), references, config, tmp_path, silent).lines
        assert "Dubwright" in line.text and flag not in line.flags
        assert line.flags == ("glossary: 'usamos' is not 'employ' in the translation",)
