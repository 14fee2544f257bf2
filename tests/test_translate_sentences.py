"""Sentences over several lines: which lines are joined, and where the translation is cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from language_packs import Wordings, load_pack, load_shortening
from stages.artifacts import Line, ScriptLine, Separation, Transcript
from stages.progress import silent
from stages.translate import References, TranslateConfig, chosen_route, translate
from stages.translate.lines import Chain, Sentence, translated_lines
from stages.translate.sentences import cut, sentences
from stages.translate.text import Translated

BOUND = load_pack("pt-BR").subtitles.no_break_after


def line(number: int, text: str, start_ms: int, end_ms: int, speaker: str = "S1") -> Line:
    return Line(id=number, speaker=speaker, start_ms=start_ms, end_ms=end_ms, text=text, words=())


def grouped(*lines: Line) -> list[list[int]]:
    return [[each.id for each in group] for group in sentences(lines, 1500, 28_000)]


def in_portuguese(*texts: str) -> tuple[ScriptLine, ...]:
    lines = tuple(line(n, text, n * 3000, n * 3000 + 2500) for n, text in enumerate(texts, start=1))
    transcript = Transcript(language="en", language_probability=1.0, lines=lines, unprocessed=())
    config = TranslateConfig()
    route = chosen_route("en", "pt-BR", config)
    wordings = Wordings(source=load_shortening("en"), target=load_shortening("pt-BR"))
    references = References(bound=BOUND)
    return translate(transcript, Separation().at(Path()), route, wordings, references, config, Path(), silent).lines


class TestJoining:
    def test_lines_without_a_full_stop_go_on(self):
        assert grouped(
            line(1, "Good morning, my name is Jordi Mas,", 0, 2000),
            line(2, "I am from Barcelona and", 3000, 5000),
            line(3, "I love the city.", 6000, 7000),
            line(4, "And you", 7200, 8000),
        ) == [[1, 2, 3], [4]]

    def test_an_abbreviation_does_not_end_a_sentence(self):
        assert grouped(line(1, "I met Dr.", 0, 900), line(2, "Smith.", 1700, 2500)) == [[1, 2]]

    @pytest.mark.parametrize("ending", [".", "?", "!", "…", '."'])
    def test_final_punctuation_ends_it(self, ending):
        assert grouped(line(1, f"It is over{ending}", 0, 900), line(2, "not yet", 1000, 2500)) == [[1], [2]]

    def test_never_across_speakers(self):
        assert grouped(line(1, "I think that", 0, 900), line(2, "You think too much.", 1000, 2500, "S2")) == [[1], [2]]

    def test_never_across_another_speakers_line(self):
        between = line(2, "Yes.", 950, 990, "S2")
        assert grouped(line(1, "I think", 0, 900), between, line(3, "so.", 1000, 2500)) == [[1], [2], [3]]

    def test_never_across_a_long_pause(self):
        assert grouped(line(1, "I think", 0, 900), line(2, "so.", 2400, 2500)) == [[1, 2]]
        assert grouped(line(1, "I think", 0, 900), line(2, "so.", 2401, 2500)) == [[1], [2]]

    def test_not_beyond_what_the_recogniser_hears_at_once(self):
        assert grouped(line(1, "I", 0, 14_000), line(2, "think", 14_000, 28_000), line(3, "so", 28_000, 28_001)) == [
            [1, 2], [3],
        ]  # fmt: skip


class TestCutting:
    def test_near_the_source_lines_share(self):
        assert cut("um dois tres quatro cinco seis", [20, 10], ()) == ["um dois tres quatro", "cinco seis"]

    def test_rather_after_a_comma(self):
        assert cut("Hoje chegou, finalmente o barco", [10, 10], ()) == ["Hoje chegou,", "finalmente o barco"]

    def test_rather_before_a_conjunction_and_never_after_it(self):
        text = "Eu sou de Barcelona e eu amo a cidade."
        assert cut(text, [23, 16], BOUND) == ["Eu sou de Barcelona", "e eu amo a cidade."]

    def test_an_article_stays_with_its_noun(self):
        parts = cut("Ele comprou ontem a casa amarela", [20, 11], BOUND)
        assert parts is not None and not any(part.endswith(" a") for part in parts)

    def test_fewer_words_than_lines_cannot_be_cut(self):
        assert cut("Sim", [3, 4], ()) is None

    @given(
        words=st.lists(st.text("abc,.", min_size=1, max_size=9), min_size=1, max_size=30),
        shares=st.lists(st.integers(1, 200), min_size=1, max_size=6),
    )
    def test_no_word_is_lost_and_no_line_left_empty(self, words, shares):
        parts = cut(" ".join(words), shares, ("a", "b"))
        if len(words) < len(shares):
            assert parts is None
        else:
            assert parts is not None and len(parts) == len(shares)
            assert all(parts) and " ".join(parts).split() == words


class TestStage:
    def test_a_sentence_over_three_lines_is_translated_once(self):
        lines = in_portuguese("Good morning, my name is Jordi Mas,", "I am from Barcelona and", "I love the city.")
        assert [each.text for each in lines] == [
            "Bom dia, meu nome é Jordi Mas,", "eu sou de Barcelona", "e eu amo a cidade.",
        ]  # fmt: skip

    def test_a_shorter_version_of_a_line_fits_between_the_others(self):
        lines = in_portuguese("I actually really wanted to tell you that", "we are very tired.")
        whole = in_portuguese("I actually really wanted to tell you that we are very tired.")[0]
        assert " ".join(each.text for each in lines) == whole.text
        assert any(each.alternatives for each in lines)
        for each in lines:
            assert all(len(text) < len(each.text) for text in each.alternatives)

    def test_lines_of_other_sentences_are_translated_as_before(self):
        together = in_portuguese("The house is in the city.", "Good morning, my friend.")
        assert [each.text for each in together] == ["A casa é na cidade.", "Bom dia, meu amigo."]

    def test_a_translation_that_cannot_be_cut_is_given_back(self):
        class OneWord:
            def translate(self, texts):
                return [Translated(text="Sim") for _ in texts]

        lines = (line(1, "Yes", 0, 900), line(2, "I do", 1000, 2000))
        sentence = Sentence(lines, "Yes I do", is_heard=False)
        assert translated_lines([sentence], Chain([OneWord()]), Wordings(), References(), ("en", "pt-BR")) == [None]

    def test_an_empty_line_stays_one(self):
        lines = in_portuguese("", "I love the city.")
        assert [each.text for each in lines] == ["", "Eu amo a cidade."]
        assert lines[0].flags == ()
