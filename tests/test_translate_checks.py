"""Numbers and names that a translation may lose."""

from __future__ import annotations

import pytest

from language_packs import Wordings
from stages.artifacts import Line
from stages.translate import References
from stages.translate.checks import first_with_number, is_name_kept, names, numbers_differ
from stages.translate.lines import Chain, Sentence, translated_lines
from stages.translate.text import Translated


class TestNumbers:
    @pytest.mark.parametrize(
        ("source", "text"),
        [
            ("In 1998 there were 1,500 people.", "Em 1998 havia 1.500 pessoas."),
            ("It is 3.5 million.", "São 3,5 milhões."),
            ("We have 2 cats.", "Temos dois gatos."),
            ("We have 23 cats and 23 dogs.", "Temos vinte e três gatos e 23 cães."),
            ("Twenty-three cats.", "23 gatos."),
            ("Two hundred and five.", "205."),
            ("10 of 10.", "10 de dez."),
            ("I have one house and a dog.", "Tenho uma casa e um cão."),
            ("At 3:45 on July 04.", "Às 3h45 de 4 de julho."),
            ("١٢ books", "12 livros"),
        ],
    )
    def test_that_are_the_same(self, source, text):
        assert numbers_differ(source, "en", text, "pt-BR") == ((), ())

    @pytest.mark.parametrize(
        ("source", "text", "lost", "new"),
        [
            ("In 1998 we met.", "Em 1989 nos conhecemos.", ("1998",), ("1989",)),
            ("Fifteen men.", "50 homens.", (), ("50",)),
            ("We have 12 cats.", "Temos gatos.", ("12",), ()),
            ("1,500 people.", "15.000 pessoas.", ("1500",), ("15000",)),
            ("Nobody came.", "Vieram 3.", (), ("3",)),
        ],
    )
    def test_that_differ(self, source, text, lost, new):
        assert numbers_differ(source, "en", text, "pt-BR") == (lost, new)

    def test_words_of_a_language_that_cannot_be_read_are_left_alone(self):
        assert numbers_differ("2 cats", "en", "dos gats", "ca") == (("2",), ())
        assert numbers_differ("two cats", "en", "dos gats", "ca") == ((), ())

    def test_the_line_that_says_it(self):
        assert first_with_number("1500", ["in", "1,500 men"]) == 1
        assert first_with_number("7", ["in", "out"]) == 0


class TestNames:
    def test_are_capitalised_inside_a_sentence(self):
        text = "Yesterday I'm told Maria Silva met Peter's aunt in D.C. Then NASA called. However, O.K."
        assert names(text) == ("Maria Silva", "Peter", "NASA")

    def test_as_it_is_or_as_it_is_translated(self):
        assert is_name_kept("Maria Silva", "", "Encontrei Maria Silva.")
        assert is_name_kept("Germany", "A Alemanha", "na Alemanha")
        assert is_name_kept("Americans", "Os americanos", "duzentos americanos")

    def test_lost(self):
        assert not is_name_kept("Maria", "Maria", "Encontrei-a ontem.")
        assert not is_name_kept("Germany", "A Alemanha", "na França")
        assert not is_name_kept("Maria Silva", "Maria Silva", "Encontrei-a.")


class TestFlags:
    """On the lines of a sentence that says them, as an engine that loses them makes it."""

    @staticmethod
    def flags(text: str, *lines: str, **alone: str) -> list[tuple[str, ...]]:
        class Engine:
            def translate(self, texts):
                return [Translated(text=alone.get(said, text)) for said in texts]

        cut = tuple(
            Line(id=n, speaker="S1", start_ms=n * 1000, end_ms=n * 1000 + 900, text=said, words=())
            for n, said in enumerate(lines, start=1)
        )
        sentence = Sentence(cut, " ".join(lines), is_heard=False)
        (made,) = translated_lines([sentence], Chain([Engine()]), Wordings(), References(), ("en", "pt-BR"))
        return [line.flags for line in made or ()]

    def test_stand_on_the_line_that_says_it(self):
        assert self.flags(
            "Encontramo-nos em 1989, na França", "We met in 1998", "in Germany", Germany="A Alemanha"
        ) == [
            ("number: 1998 is not in the translation", "number: 1989 is not in the source"),
            ("name: 'Germany' is not in the translation",),
        ]

    def test_are_not_there_where_all_is_right(self):
        said = self.flags("Encontramo-nos em 1998, na Alemanha", "We met in 1998", "in Germany", Germany="A Alemanha")
        assert said == [(), ()]

    def test_where_nothing_came_out(self):
        assert self.flags("", "We met in 1998") == [("not translated: nothing was heard in the line",)]
