"""Shorter versions of a text: what is left out, and what never is."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from language_packs import Shortening, ShorteningRule, Wordings, available, load_shortening
from stages.artifacts import Line, ScriptLine, Separation, Transcript
from stages.progress import silent
from stages.translate import References, TranslateConfig, chosen_route, translate
from stages.translate.shorten import alternatives, is_faithful, says_the_same, versions

WORDS = [
    *("well,", "you", "know,", "actually", "really", "very", "just", "not", "never", "I", "am", "it", "is", "that"),
    *("think", "said", "in", "order", "to", "eu", "estou", "não", "nós", "temos", "para", "a", "minha", "yo", "soy"),
    *("no", "io", "so", "non", "je", "suis", "ne", "pas", "dem", "Haus", "Maria", "42", "D.C."),
]


def shortest_source(tag: str, text: str) -> str:
    return versions(text, "source", load_shortening(tag))[-1]


def shortest_target(tag: str, text: str) -> str:
    return versions(text, "target", load_shortening(tag))[-1]


def in_portuguese(*texts: str) -> tuple[ScriptLine, ...]:
    lines = tuple(
        Line(id=n, speaker="S1", start_ms=n * 3000, end_ms=n * 3000 + 2500, text=text, words=())
        for n, text in enumerate(texts, start=1)
    )
    transcript = Transcript(language="en", language_probability=1.0, lines=lines, unprocessed=())
    config = TranslateConfig()
    route = chosen_route("en", "pt-BR", config)
    wordings = Wordings(source=load_shortening("en"), target=load_shortening("pt-BR"))
    return translate(transcript, Separation().at(Path()), route, wordings, References(), config, Path(), silent).lines


class TestEnglish:
    @pytest.mark.parametrize(
        ("said", "kept"),
        [
            ("Well, you know, I just think that it's hard.", "I think that it's hard."),
            ("It was, you know, a hard year.", "It was a hard year."),
            ("It was hard, you know, but I did it.", "It was hard, but I did it."),
            ("I'm currently in D.C. for my second week.", "I'm in D.C. for my second week."),
            ("I actually really wanted to stay.", "I wanted to stay."),
            ("We came in order to help.", "We came to help."),
            ("They live in a very small house.", "They live in a small house."),
            ("He said that you would come.", "He said you would come."),
            ("Really good bread.", "Good bread."),
        ],
    )
    def test_words_without_content_are_left_out_before_translation(self, said, kept):
        assert shortest_source("en", said) == kept

    @pytest.mark.parametrize(
        "said",
        [
            "It is not just a game.",
            "I'm not really sure.",
            "It wasn't very good.",
            "Thank you very much.",
            "Take it, just in case.",
            "He had just left.",
            "We missed the very first train.",
            "I said that.",
            "He said that book was good.",
            "Okay.",
            "Really?",
            "Well done, everyone.",
        ],
    )
    def test_they_stay_where_they_mean_something(self, said):
        assert versions(said, "source", load_shortening("en")) == (said,)

    @pytest.mark.parametrize(
        ("written", "spoken"),
        [
            ("I am at home, and it is late.", "I'm at home, and it's late."),
            ("They do not know whether she is ill.", "They don't know whether she's ill."),
            ("We cannot stay; they will not wait.", "We can't stay; they won't wait."),
            ("You have never been there.", "You've never been there."),
        ],
    )
    def test_a_translation_is_contracted(self, written, spoken):
        assert shortest_target("en", written) == spoken

    @pytest.mark.parametrize(
        "written",
        [
            "That's what I am.",
            "It was colder than it is now.",
            "You know who he is and where they are.",
            "I have red shoes.",
            "If you will, I will.",
        ],
    )
    def test_nothing_is_contracted_where_the_verb_is_stressed(self, written):
        assert versions(written, "target", load_shortening("en")) == (written,)


class TestPortuguese:
    @pytest.mark.parametrize(
        ("translated", "shortest"),
        [
            ("Congresso, e eu estou atualmente em D.C. para a minha segunda semana.",
             "Congresso, e estou em D.C. para minha segunda semana."),
            ("Eu não tenho certeza.", "Não tenho certeza."),
            ("Eu falei com o meu chefe.", "Falei com meu chefe."),
            ("Nós temos que ir.", "Temos que ir."),
            ("Nós não tínhamos nada antes de nós.", "Não tínhamos nada antes de nós."),
            ("Todos nós estávamos indo para o céu.", "Todos estávamos indo para o céu."),
            ("A minha casa fica longe.", "Minha casa fica longe."),
            ("O meu trabalho começa cedo.", "Meu trabalho começa cedo."),
            ("Eu moro em uma casa.", "Moro numa casa."),
        ],
    )  # fmt: skip
    def test_reductions_that_every_speaker_makes(self, translated, shortest):
        assert shortest_target("pt-BR", translated) == shortest

    @pytest.mark.parametrize(
        "translated",
        [
            "Só eu sei o que aconteceu.",  # only I
            "Nem eu sei.",
            "Meu irmão e eu estamos felizes.",
            "Ele vai, e eu vou também.",  # who goes would be lost
            "Ela e eu fomos.",
            "Eu estava em casa.",  # estava: I or she
            "Eu disse a verdade.",  # disse: I or he
            "Eu mesmo fiz o bolo.",
            "Nós mesmos fizemos isso.",
            "Cada um de nós temos um nome.",
            "Nós íntimos e laços ótimos.",
            "Para nós, temos que pensar nisso.",
            "O meu é vermelho.",  # mine
            "Este livro é o meu.",
            "Além de aprender, ele está trabalhando.",
            "Isso está no momento certo.",
        ],
    )
    def test_what_is_stressed_or_unclear_without_its_pronoun_or_article_stays(self, translated):
        assert versions(translated, "target", load_shortening("pt-BR")) == (translated,)


class TestOtherLanguages:
    @pytest.mark.parametrize(
        ("tag", "translated", "shortest"),
        [
            ("es", "Congreso, y yo estoy actualmente en D.C.", "Congreso, y estoy en D.C."),
            ("es", "Nosotros no tenemos tiempo.", "No tenemos tiempo."),
            ("es", "Yo hablaré con ella a fin de ayudar.", "Hablaré con ella para ayudar."),
            ("it", "Io non so dove andare.", "Non so dove andare."),
            ("it", "Noi siamo attualmente a Roma.", "Siamo a Roma."),
            ("fr", "Je suis actuellement à Paris afin d'aider.", "Je suis à Paris pour aider."),
            ("de", "Ich war in dem Haus und bei dem Arzt.", "Ich war im Haus und beim Arzt."),
        ],
    )
    def test_each_has_its_own_reductions(self, tag, translated, shortest):
        assert shortest_target(tag, translated) == shortest

    @pytest.mark.parametrize(
        ("tag", "translated"),
        [
            ("es", "Él y yo vamos."), ("es", "Yo estaba allí."), ("es", "Solo yo sé la verdad."),
            ("es", "Nosotros mismos lo hicimos."), ("it", "Io sono qui."), ("it", "Anche io so."),
            ("fr", "Je ne suis pas là."), ("de", "Das Haus, in dem ich wohne."), ("de", "Ich bin in dem großen Haus."),
        ],
    )  # fmt: skip
    def test_and_keeps_what_would_be_unclear(self, tag, translated):
        assert versions(translated, "target", load_shortening(tag)) == (translated,)

    def test_a_language_without_rules_or_pack_is_left_alone(self):
        for tag in ("gl", "ja"):
            assert load_shortening(tag).rules == ()
            assert versions("Ola, meu amigo.", "target", load_shortening(tag)) == ("Ola, meu amigo.",)

    def test_a_region_adds_to_its_language(self):
        brazilian = load_shortening("pt-BR")
        assert len(brazilian.rules) > 3 and "não" in brazilian.keep[0]
        assert load_shortening("pt") == brazilian


class TestWhatIsNeverLost:
    EAGER = Shortening(keep=(r"\b(?:not|never)\b",), rules=(ShorteningRule(find=r"\w+ ", sides=("source",)),))

    @pytest.mark.parametrize(
        ("full", "shorter"),
        [
            ("I did not see it.", "I did see it."),
            ("We met in 1998 here.", "We met here."),
            ("She saw John there.", "She saw there."),
            ("Is it true?", "Is it true."),
            ("It is late.", "It is not late."),
        ],
    )
    def test_a_negation_a_number_a_name_or_the_question_mark(self, full, shorter):
        assert not says_the_same(full, shorter, self.EAGER)

    def test_a_rule_that_would_lose_one_is_not_applied(self):
        assert versions("We met John in 1998.", "source", self.EAGER) == ("We met John in 1998.",)

    def test_a_shortened_source_whose_translation_loses_much_more_is_refused(self):
        full = ("Well, I went to the old house by the sea.", "Bem, fui à velha casa perto do mar.")
        assert is_faithful(full, ("I went to the old house by the sea.", "Fui à velha casa perto do mar."), self.EAGER)
        assert not is_faithful(full, ("I went to the old house by the sea.", "Fui à casa."), self.EAGER)

    def test_a_translation_that_was_turned_round_is_refused(self):
        full = ("We came in order to help.", "Nós nos mudamos para ajudar.")
        assert is_faithful(full, ("We came to help.", "Nós mudamos para ajudar."), self.EAGER)
        assert not is_faithful(full, ("We came to help.", "Nós me mudemos para ajudar."), self.EAGER)

    @pytest.mark.parametrize("tag", available())
    @given(
        words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=14),
    )
    @settings(max_examples=60, deadline=None)
    def test_whatever_is_said_versions_get_shorter_and_keep_numbers_names_and_negations(self, tag, words):
        text = " ".join(words) + "."
        shortening = load_shortening(tag)
        for side in ("source", "target"):
            found = versions(text, side, shortening)
            assert found[0] == text
            assert all(says_the_same(text, version, shortening) for version in found)
            assert all(len(b) < len(a) for a, b in pairwise(found))
            assert all(version.count("42") == text.count("42") for version in found)


def test_alternatives_are_shorter_unlike_and_longest_first():
    assert alternatives("abcd", ["abc", "abcd", "ab", "abc", "abcde", ""]) == ("abc", "ab")


class TestTheStage:
    def test_gives_every_line_shorter_ways_of_saying_the_same(self):
        (line,) = in_portuguese("I'm currently in D.C. for my second week of new member orientation.")
        assert "atualmente" in line.text
        assert line.alternatives[-1] == "Estou em D.C. para minha segunda semana de orientação de novos membros."
        lengths = [len(text) for text in (line.text, *line.alternatives)]
        assert lengths == sorted(lengths, reverse=True)

    def test_never_offers_one_without_the_number_the_negation_or_the_name(self):
        lines = in_portuguese(
            "Well, I really don't know.", "Actually, I was born in 1998.", "You know, I live with my friend Maria."
        )
        for line, kept in zip(lines, ("ão", "1998", "Maria"), strict=True):
            assert all(kept in text for text in (line.text, *line.alternatives))
        assert lines[0].alternatives and lines[2].alternatives

    def test_does_not_lose_whose_it_is(self):
        (line,) = in_portuguese("The United States, together with our international partners, has achieved something.")
        assert line.alternatives and all("nossos parceiros" in text for text in line.alternatives)

    def test_does_not_bring_in_another_variety_of_the_language(self):
        (line,) = in_portuguese("I actually really wanted to tell you that we are going to win.")
        assert not any("vos" in text for text in line.alternatives)
