"""Readers, numbers, scripts and punctuation, in words of the languages themselves."""

from __future__ import annotations

import re
import time
import unicodedata

import pytest

from language_packs import G2P, g2p, load_pack
from language_packs.g2p import engines, numbers, punctuation, readers, scripts
from stages.artifacts import ScriptLine
from stages.errors import InputError, MissingEngineError
from stages.reading import check_lines, read_line

CHINESE = G2P(code="cmn-latn-pinyin", segmenter="chinese", numbers="zh")
JAPANESE = G2P(code="ja", segmenter="japanese", numbers="ja")
THAI = G2P(engine="g2p2", code="th", segmenter="thai", numbers="th")
LAO = G2P(engine="g2p2", code="lo", segmenter="lao", numbers="lo")
KHMER = G2P(engine="g2p2", code="km", segmenter="khmer", numbers="km")
BURMESE = G2P(engine="g2p2", code="my", segmenter="burmese", numbers="my")
YORUBA = G2P(engine="epitran", code="yor-Latn")
RUSSIAN = G2P(code="ru")


def phones(text: str, how: G2P) -> str:
    return "".join(g2p.segments(g2p.phonemize(text, how)))


# --- readers ---


@pytest.mark.parametrize(
    ("text", "ipa"),
    [("银行", "jinχɑŋ"), ("行走", "ɕiŋtsou"), ("音乐", "jinjyɛ"), ("快乐", "kʰuailə"), ("熊", "ɕoŋ"), ("吕", "ly")],
)
def test_chinese_characters_are_read_in_their_words(text: str, ipa: str) -> None:
    assert phones(text, CHINESE) == ipa


def test_chinese_retroflexes_are_not_palatals() -> None:
    assert phones("是", CHINESE) == "ʂɨ"
    assert phones("西", CHINESE) == "ɕi"
    assert phones("中国", CHINESE).startswith("tʂoŋ")
    assert phones("和", CHINESE) == "χɤ"


@pytest.mark.parametrize(
    ("text", "kana"),
    [("私は学校へ行きます", "ワタシワ ガッコーエ イキマス"), ("東京", "トーキョー"), ("今日", "キョー")],
)
def test_japanese_is_read_as_it_is_said(text: str, kana: str) -> None:
    assert readers.reader("japanese")(text) == kana


def test_japanese_fu_is_bilabial() -> None:
    assert phones("富士山", JAPANESE).startswith("ɸ")


@pytest.mark.parametrize(
    ("text", "how", "ipa"),
    [
        ("ในปี", THAI, "najpiː"),
        ("มนุษย์ทุกคน", THAI, "manut̚tʰuk̚kʰon"),
        ("ມະນຸດ", LAO, "maʔnut̚"),
        ("កើតមកមាន", KHMER, "kaətmɔɔkmiən"),
        ("လွတ်လပ်", BURMESE, "lʊʔlaʔ"),
        ("Gbogbo ènìyàn", YORUBA, "ɡ͡boɡ͡boenijan"),
        ("שלום", G2P(engine="g2p2", code="he"), "ʃalom"),
        ("bantu", G2P(engine="epitran", code="zul-Latn"), "ɓantu"),
    ],
)
def test_languages_that_espeak_has_not_or_reads_badly(text: str, how: G2P, ipa: str) -> None:
    assert phones(text, how) == ipa


ARABIC = G2P(code="ar", segmenter="arabic")


def test_arabic_has_the_vowels_that_are_not_written() -> None:
    assert phones("ولد جميع الناس", ARABIC) == "walidadʒamiːʕuʔannnaːs"
    assert phones("كَتَبَ", ARABIC) == "katab"  # vowelled already; no ending before a pause
    assert phones("1250", ARABIC) == phones("1250", G2P(code="ar"))


def test_a_sign_of_repetition_says_the_word_twice() -> None:
    assert readers.reader("thai")("เด็กๆ").split() == ["เด็ก", "เด็ก"]


def test_epitran_has_no_stress() -> None:
    assert not set(g2p.phonemize("Gbogbo ènìyàn ni a bí", YORUBA)) & set(g2p.STRESS_MARKS)


def test_an_unknown_reader_and_code_are_errors() -> None:
    with pytest.raises(g2p.UnreadableError, match="no 'thia'; there are: arabic, burmese"):
        g2p.phonemize("ก", THAI.model_copy(update={"segmenter": "thia"}))
    with pytest.raises(g2p.UnreadableError, match="Epitran has no language 'xxx-Latn'"):
        g2p.phonemize("a", G2P(engine="epitran", code="xxx-Latn"))


def test_a_missing_package_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str) -> object:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr("language_packs.g2p.errors.import_module", absent)
    readers._load.cache_clear()
    try:
        with pytest.raises(
            MissingEngineError, match=r'^line 3: .*pypinyin.*pip install "dubwright\[readers\]"$'
        ) as error:
            read_line("你好", CHINESE, "zh", "line 3")
    finally:
        readers._load.cache_clear()
    assert error.value.exit_code == 3


def test_a_model_that_is_not_installed_is_not_downloaded() -> None:
    with pytest.raises(g2p.MissingReaderError, match="French"):
        engines.ENGINES["g2p2"].read(["bonjour"], "fr")


# --- tones, lengths, notation ---


@pytest.mark.parametrize(
    ("voice", "text"),
    [
        ("vi", "Tất cả mọi người sinh ra đều được tự do và bình đẳng"),
        ("vi-vn-x-south", "nhân phẩm và quyền lợi"),
        ("yue", "人人生而自由，春節"),
        ("ko", "모든 인간은 태어날 때부터 자유로우며"),
        ("ky", "бардык адамдар тең"),
        ("am", "ጥቁር"),
        ("da", "mennesker er født frie"),
        ("is", "hver maður er borinn frjáls"),
        ("tn", "Batho botlhe ba tsetswe"),
    ],
)
def test_phones_are_letters_of_the_ipa(voice: str, text: str) -> None:
    for phone in g2p.segments(g2p.phonemize(text, G2P(code=voice))):
        assert not re.search(r"[\dA-Zε?.`^\"#+\[\]˥˦˧˨˩-]", phone), phone
        assert unicodedata.category(phone[0]).startswith("L"), phone


def test_the_third_tone_is_not_a_vowel() -> None:
    assert phones("神", CHINESE) == "ʂən"
    assert "ɜ" not in phones("mã sẽ ngã", G2P(code="vi"))


def test_cantonese_front_rounded_vowels() -> None:
    assert phones("月", G2P(code="yue")).startswith("jy")
    assert "œ" in phones("上", G2P(code="yue"))


def test_a_burmese_word_too_long_for_espeak_does_not_end_the_process() -> None:
    assert g2p.phonemize("လူတိုင်းသည်တူညီ" * 30, G2P(code="my"))


def test_a_voice_without_dictionary_is_an_error_and_no_silence() -> None:
    with pytest.raises(g2p.UnreadableError, match="can be read as fo by espeak"):
        g2p.phonemize("Øll menniskju", G2P(code="fo"))


# --- numbers ---


def test_digits_do_not_end_the_process() -> None:
    with pytest.raises(g2p.UnreadableError, match="reads no digits"):
        g2p.phonemize("20", G2P(code="kl"))
    assert phones("20", G2P(code="kl", numbers="kl")) == phones("marlunnik qulillit", G2P(code="kl"))


@pytest.mark.parametrize(
    ("text", "how", "read"),
    [
        ("1,250 people paid 20 €", G2P(code="en-us"), "one thousand two hundred fifty people paid twenty euros"),
        ("20 €", RUSSIAN, "двадцать евро"),
        ("20 €", G2P(code="sw"), "ishirini yuro"),
        ("2024年", CHINESE, "二零二四年"),
        ("3.5%", CHINESE, "百分之三点五"),
        ("1,250人", JAPANESE, "千二百五十人"),
        ("3.5%", JAPANESE, "三点五パーセント"),
        ("២០២៤", KHMER, "ពីរពាន់ម្ភៃបួន"),
        ("๒๐", THAI, "ยี่สิบ"),
        ("20", G2P(engine="g2p2", code="tl", numbers="fil"), "dalawang pu"),
        ("2024", G2P(engine="g2p2", code="tg", numbers="tg"), "ду ҳазору бисту чор"),
    ],
)
def test_numbers_are_read(text: str, how: G2P, read: str) -> None:
    assert phones(text, how) == phones(read, how)


def test_digits_without_number_words_are_read_in_english() -> None:
    assert phones("ọdún 2024", YORUBA) == phones("ọdún", YORUBA) + phones("2024", G2P(code="en-us"))
    assert phones("3.5 %", YORUBA) == phones("3.5 percent", G2P(code="en-us"))


def test_decimals_that_the_rules_lack_follow_a_pause() -> None:
    assert numbers.in_words("3.5", "zu") == " kuthathu, kuhlanu "
    assert "," in g2p.phonemize("3.5", G2P(engine="epitran", code="zul-Latn", numbers="zu"))


def test_thousands_and_decimals() -> None:
    assert [numbers.plain(text) for text in ("1,250", "1.250,5", "3,5", "3.5", "1.250.000")] == [
        "1250", "1250.5", "3.5", "3.5", "1250000"
    ]  # fmt: skip


def test_rules_that_do_not_exist_are_an_error() -> None:
    with pytest.raises(g2p.UnreadableError, match="no rules for number words in 'xx'"):
        numbers.in_words("20", "xx")


# --- other scripts inside a text ---


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("Я купил iPhone", RUSSIAN),
        ("اشتريت iPhone", G2P(code="ar", segmenter="arabic")),
        ("ฉันซื้อ iPhone", THAI),
        ("新しいiPhoneを買った", JAPANESE),
        ("我买了iPhone", CHINESE),
        ("나는 iPhone을 샀다", G2P(code="ko")),
    ],
)
def test_latin_words_are_read_by_the_english_voice(text: str, how: G2P) -> None:
    assert phones("iPhone", G2P(code="en-us")) in phones(text, how)


def test_words_of_other_scripts_are_read_by_their_voices() -> None:
    english = G2P(code="en-us")
    assert phones("Москва", RUSSIAN) in phones("the word Москва", english)
    assert phones("北京", CHINESE) in phones("the city 北京", english)
    assert phones("日本の", JAPANESE) in phones("the word 日本の", english)


def test_letters_that_nobody_reads_are_an_error() -> None:
    with pytest.raises(g2p.UnreadableError, match="no voice reads"):
        g2p.phonemize("a text in ꓡꓲꓢꓴ", G2P(code="en-us"))


def test_a_look_alike_letter_stays_in_its_word() -> None:
    assert [found[0] for found in scripts.foreign_parts(frozenset({"Cyrl"})).finditer("ирĕклĕ и iPhone SE, X")] == [
        "iPhone SE", "X"
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["le weekend à New York", "Он сказал weekend"])
def test_no_flags_of_language(text: str) -> None:
    ipa = g2p.phonemize(text, G2P(code="fr-fr") if text.startswith("le") else RUSSIAN)
    assert not re.search(r"[()]|\ben\b", ipa)


# --- the wrong script ---


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("Hello", "en"),
        ("Привет, iPhone", "ru"),
        ("こんにちは", "ja"),
        ("漢字", "ja"),
        ("你好", "zh-Hant"),
        ("한국어", "ko"),
        ("Здраво", "sr"),
        ("Zdravo", "sr"),
        ("سلام", "fa"),
        ("Բարեւ", "hyw"),
        ("3,5 %", "ru"),
        ("", "th"),
    ],
)
def test_the_right_script_passes(text: str, tag: str) -> None:
    g2p.check_script(text, tag)


def test_the_wrong_script_is_an_error_with_the_line() -> None:
    with pytest.raises(
        InputError, match=r"^line 7: English is not written in Cyrillic letters: 'Привет, мир'\. "
    ) as error:
        read_line("Привет, мир", G2P(code="en-us"), "en", "line 7")
    assert error.value.exit_code == 2
    with pytest.raises(g2p.UnreadableError, match="Russian is not written in Latin"):
        g2p.check_script("Hello, мир", "ru")


def test_a_line_of_names_passes_and_a_script_of_them_does_not() -> None:
    name = ScriptLine.model_construct(id=4, text="iPhone")
    check_lines([name, ScriptLine.model_construct(id=5, text="Я купил его")], "ru")
    assert read_line("iPhone", RUSSIAN, "ru", "line 4") == g2p.phonemize("iPhone", G2P(code="en-us"))
    with pytest.raises(InputError, match=r"^line 4: Russian is not written in Latin letters"):
        check_lines([name], "ru")


# --- punctuation ---


@pytest.mark.parametrize("mark", ["。", "．", "۔", "।", "॥", "။", "។", "៕", "።", "༎", "։"])
def test_full_stops_of_all_scripts(mark: str) -> None:
    assert punctuation.latin_punctuation(f"A{mark}B") == "A. B"


@pytest.mark.parametrize(
    ("text", "latin"),
    [
        ("A、B，C،D၊E፣F", "A, B, C, D, E, F"),
        ("A！B？C؟D；E؛F", "A! B? C? D; E; F"),
        ("「A」（B）", "“A”(B)"),
        ("1，250", "1,250"),
    ],
)
def test_punctuation_of_other_scripts(text: str, latin: str) -> None:
    assert punctuation.latin_punctuation(text) == latin


@pytest.mark.parametrize(
    ("text", "how", "marks"),
    [
        ("你好，世界。好吗？", CHINESE, ",.?"),
        ("はい、そうです。", JAPANESE, ",."),
        ("نعم، لا؛ أين؟", G2P(code="ar"), ",;?"),
        ("ठीक है। हाँ॥", G2P(code="hi"), ".."),
        ("ሰላም፣ ዓለም።", G2P(code="am"), ",."),
        ("មនុស្ស។ មក៕", KHMER, ".."),
    ],
)
def test_punctuation_becomes_the_pauses_that_synthesis_knows(text: str, how: G2P, marks: str) -> None:
    ipa = g2p.phonemize(text, how)
    assert "".join(sign for sign in ipa if sign in ".,;?!") == marks


def test_text_is_read_faster_than_it_is_needed() -> None:
    text = "The quick brown fox jumps over the lazy dog, again and again. " * 840
    start = time.perf_counter()
    g2p.phonemize(text, G2P(code="en-us"))
    assert time.perf_counter() - start < 3


def test_letters_that_the_engine_does_not_know_are_respelt() -> None:
    tajik = load_pack("tg").g2p
    assert g2p.phonemize("Ягона дунё", tajik) == g2p.phonemize("йагона дунйо", tajik)
    assert "я" in g2p.phonemize("яхин", tajik.model_copy(update={"respell": ()}))
