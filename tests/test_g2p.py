import threading
import unicodedata

import pytest

from language_packs import G2P, g2p


def test_portuguese_with_stress_and_punctuation() -> None:
    ipa = g2p.phonemize("Hoje, após dois anos... boa noite!", G2P(code="pt-br"))
    assert ipa.startswith("ˈoʒy, apˈɔ")
    assert "... b" in ipa
    assert ipa.endswith("!")


def test_a_nasal_vowel_is_written_one_way_and_c_cedilla_stays() -> None:
    ipa = g2p.phonemize("negociações também", G2P(code="pt-br"))
    assert "o\u0303" in ipa
    assert "\u00f5" not in ipa
    assert g2p.segments("ç") == [unicodedata.normalize("NFC", "ç")] == ["\u00e7"]


@pytest.mark.parametrize(
    ("text", "inside"),
    [("It is 3.5 kilometres.", "pɔɪnt"), ("Dr. Smith left.", "dˈɑːktɚ sm"), ("in D.C. for my week", "dˌiːsˈiː f")],
)
def test_stops_inside_numbers_titles_and_initialisms_are_no_pauses(text: str, inside: str) -> None:
    assert inside in g2p.phonemize(text, G2P(code="en-us"))


def test_no_language_flags() -> None:
    assert "(" not in g2p.phonemize("le weekend à New York", G2P(code="fr-fr"))


@pytest.mark.parametrize("text", ["", "   ", "...", "—"])
def test_text_without_words(text: str) -> None:
    assert g2p.phonemize(text, G2P(code="pt-br")) == text.strip()
    assert g2p.segments(g2p.phonemize(text, G2P(code="pt-br"))) == []


def test_an_unknown_voice_is_an_error() -> None:
    with pytest.raises(ValueError, match="no voice 'xx'"):
        g2p.phonemize("a", G2P(code="xx"))


def test_segments() -> None:
    assert g2p.segments("tˈeɪŋtʲ͡ɕ, kʰɔ̃ː ˌʊʷ") == ["t", "e", "ɪ", "ŋ", "tʲ͡ɕ", "kʰ", "ɔ̃ː", "ʊʷ"]
    ipa = g2p.phonemize("Os Estados Unidos, além de tudo: São Paulo!", G2P(code="pt-br"))
    assert "".join(piece.text for piece in g2p.pieces(ipa)) == ipa


def test_threads_get_their_own_voice() -> None:
    texts = {"en-us": "the weather", "es": "el tiempo", "pt-br": "o tempo"}
    alone = {voice: g2p.phonemize(text, G2P(code=voice)) for voice, text in texts.items()}
    found: list[bool] = []

    def read(voice: str) -> None:
        for _ in range(30):
            found.append(g2p.phonemize(texts[voice], G2P(code=voice)) == alone[voice])

    threads = [threading.Thread(target=read, args=(voice,)) for voice in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 90


def test_a_modifier_before_its_phone_belongs_to_it():
    assert g2p.segments("ⁿda ᵐbo taʰk") == ["ⁿd", "a", "ᵐb", "o", "t", "aʰ", "k"]
