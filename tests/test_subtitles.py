"""Subtitles: how text is broken, how long it stays, and that files say what was meant."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from language_packs import SubtitleRules, load_pack
from language_packs.scripts import defaults
from stages.artifacts import Line, Phone, Script, ScriptLine, Speech, SpokenLine, Transcript, Word
from stages.subtitles import Cue, TimedWord, cues_for, dub_cues, source_cues, write_ass, write_srt, write_vtt

RULES = SubtitleRules(characters_per_second=15, characters_per_line=20, lines=2, min_ms=800, max_ms=6000)


def words(text: str, start_ms: int = 0, each_ms: int = 400) -> list[TimedWord]:
    return [
        TimedWord(text=word, start_ms=start_ms + n * each_ms, end_ms=start_ms + (n + 1) * each_ms)
        for n, word in enumerate(text.split())
    ]


def said(text: str) -> list[TimedWord]:
    return [TimedWord(text=text, start_ms=0, end_ms=10_000)]


class TestBreaking:
    def test_a_short_line_is_one_cue_of_one_line(self):
        (cue,) = cues_for([words("Good morning.")], RULES)
        assert cue.lines == ("Good morning.",)
        assert (cue.start_ms, cue.text) == (0, "Good morning.")

    def test_two_lines_are_of_about_equal_length(self):
        (cue,) = cues_for([words("This is a sentence of two lines")], RULES)
        assert cue.lines == ("This is a sentence", "of two lines")

    def test_a_comma_is_a_better_break_than_the_middle(self):
        (cue,) = cues_for([words("If it rains, we shall stay at home")], SubtitleRules(characters_per_line=24))
        assert cue.lines == ("If it rains,", "we shall stay at home")

    def test_a_long_line_becomes_several_cues_at_the_times_of_their_words(self):
        text = "This is the first sentence of them. And this is the second one, which is longer."
        line = words(text, 1000)
        cues = cues_for([line], RULES)
        assert len(cues) > 1
        assert " ".join(" ".join(cue.lines) for cue in cues) == text
        starts = {word.text: word.start_ms for word in line}
        assert cues[0].start_ms == 1000
        assert cues[0].lines[-1].endswith("them.")
        assert cues[1].start_ms == starts["And"]

    def test_a_word_longer_than_a_line_is_not_cut(self):
        (cue,) = cues_for([words("Donaudampfschifffahrtsgesellschaft")], RULES)
        assert cue.lines == ("Donaudampfschifffahrtsgesellschaft",)

    def test_an_article_stays_with_its_noun_and_a_particle_with_its_verb(self):
        spoken = [words("I gave the little dog")]
        plain = SubtitleRules(characters_per_line=14)
        assert cues_for(spoken, plain)[0].lines == ("I gave the", "little dog")
        for said in ({"no_break_after": ("the",)}, {"no_break_before": ("little",)}):
            assert cues_for(spoken, plain.model_copy(update=said))[0].lines == ("I gave", "the little dog")

    def test_the_full_stop_of_a_title_is_no_end_of_a_sentence(self):
        (cue,) = cues_for(
            [words("Yesterday Mr. Smith went out")],
            load_pack("en").subtitles.model_copy(update={"characters_per_line": 20}),
        )
        assert cue.lines == ("Yesterday", "Mr. Smith went out")

    def test_a_cue_does_not_end_with_an_article_either(self):
        text = "one two three four the five six seven eight"
        rules = SubtitleRules(characters_per_line=22, lines=1)
        assert [cue.text for cue in cues_for([words(text)], rules)] == [
            "one two three four the",
            "five six seven eight",
        ]
        torn = rules.model_copy(update={"no_break_after": ("the",)})
        assert not any(cue.text.endswith(" the") for cue in cues_for([words(text)], torn))

    @pytest.mark.parametrize("quoted", ["「the」", "The,", "THE"])
    def test_but_a_rule_gives_way_where_the_text_would_not_fit(self, quoted):
        rules = SubtitleRules(characters_per_line=8, no_break_after=("the",), no_break_before=("the",))
        cues = cues_for([words(f"abcdefgh {quoted} abcdefgh")], rules)
        assert " ".join(line for cue in cues for line in cue.lines) == f"abcdefgh {quoted} abcdefgh"

    def test_japanese_breaks_between_characters_but_no_line_begins_with_what_closes(self):
        rules = load_pack("ja").subtitles
        text = "人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等だ。「ちょっと待って」と言った。"
        cues = cues_for([said(text)], rules)
        lines = [line for cue in cues for line in cue.lines]
        assert "".join(lines) == text
        assert max(map(len, lines)) <= 13
        assert all(len(cue.lines) <= 2 for cue in cues)
        assert not any(line[0] in "、。」っょー" or line[-1] in "「（" for line in lines)
        assert [cue.start_ms for cue in cues] == sorted({cue.start_ms for cue in cues})

    @pytest.mark.parametrize(
        ("tag", "text", "never_first", "never_last"),
        [
            ("th", "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม", "ะาำ์ิีึืุู่้็ั", "เแโใไ"),
            ("lo", "ມະນຸດທຸກຄົນເກີດມາມີກຽດສັກສີສິດທິເສລີພາບແລະຄວາມສະເໝີພາບເທົ່າທຽມກັນ", "ະາຳິີຶືຸູ່້ົັ", "ເແໂໃໄ"),
            ("km", "មនុស្សទាំងអស់កើតមកមានសេរីភាពនិងសមភាពក្នុងផ្នែកសេចក្ដីថ្លៃថ្នូរនិងសិទ្ធិ", "ាិីុូើេៃំះ់្ៗ។", "្"),
            ("my", "လူတိုင်းသည်တူညီလွတ်လပ်သောဂုဏ်သိက္ခာဖြင့်လည်းကောင်းမွေးဖွားလာသူများဖြစ်သည်။", "ာိီုူေဲံး်္။", "္"),
        ],
    )
    def test_a_script_with_spaces_between_phrases_breaks_there_or_between_letters_with_their_marks(
        self, tag, text, never_first, never_last
    ):
        rules = SubtitleRules(**defaults(tag)["subtitles"])
        lines = [line for cue in cues_for([said(text)], rules) for line in cue.lines]
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
        assert len(lines) > 1 and max(map(len, lines)) <= 35
        assert not any(line[0] in never_first or line[-1] in never_last for line in lines)

    def test_a_space_between_thai_phrases_is_where_the_line_breaks(self):
        (cue,) = cues_for([said("ต่างมีเหตุผลและมโนธรรม และควรปฏิบัติต่อกัน")], SubtitleRules(**defaults("th")["subtitles"]))
        assert cue.lines == ("ต่างมีเหตุผลและมโนธรรม", "และควรปฏิบัติต่อกัน")

    def test_words_marked_by_zero_width_spaces_are_not_cut_and_the_marks_are_left_out(self):
        marked = [
            "มนุษย์",
            "ทั้งหลาย",
            "เกิด",
            "มา",
            "มี",
            "อิสระ",
            "และ",
            "เสมอภาค",
            "กัน",
            "ใน",
            "เกียรติ",
            "ศักดิ์",
            "และ",
            "สิทธิ",
        ]
        rules = load_pack("th").subtitles
        (cue,) = cues_for([said("\u200b".join(marked))], rules)
        assert "".join(cue.lines) == "".join(marked)
        assert max(map(len, cue.lines)) <= 35
        assert cue.lines[1] in {"".join(marked[number:]) for number in range(len(marked))}

    def test_a_single_zero_width_space_does_not_make_the_rest_one_long_word(self):
        text = "あ" * 30
        lines = [line for cue in cues_for([said(f"い\u200b{text}")], load_pack("ja").subtitles) for line in cue.lines]
        assert "".join(lines) == f"い{text}" and max(map(len, lines)) <= 13

    @given(st.text("あっ、。「」ー中a1 \u200b", min_size=1, max_size=80))
    def test_text_without_spaces_keeps_every_character_and_its_order(self, text):
        rules = load_pack("ja").subtitles
        cues = cues_for([said(text)], rules)
        assert "".join("".join(cue.lines) for cue in cues).replace(" ", "") == text.replace(" ", "").replace(
            "\u200b", ""
        )
        assert all(a.end_ms <= b.start_ms or b.start_ms == a.start_ms for a, b in pairwise(cues))

    def test_recognised_words_of_chinese_are_joined_without_spaces(self):
        spoken = [
            TimedWord(text=part, start_ms=n * 500, end_ms=n * 500 + 500)
            for n, part in enumerate(["人人", "生而", "自由。"])
        ]
        (cue,) = cues_for([spoken], load_pack("zh").subtitles)
        assert (cue.lines, cue.start_ms) == (("人人生而自由。",), 0)

    def test_lines_without_words_have_no_cue(self):
        assert cues_for([[], []], RULES) == ()

    @given(st.lists(st.text("abcdefgh.,!", min_size=1, max_size=15), min_size=1, max_size=60))
    def test_no_cue_breaks_the_rules_and_no_word_is_lost(self, texts):
        cues = cues_for([words(" ".join(texts))], RULES)
        assert [word for cue in cues for line in cue.lines for word in line.split()] == texts
        assert all(len(cue.lines) <= RULES.lines for cue in cues)
        assert all(len(line) <= RULES.characters_per_line for cue in cues for line in cue.lines)
        assert all(a.end_ms <= b.start_ms for a, b in pairwise(cues))


class TestTimes:
    def test_a_cue_stays_as_long_as_it_takes_to_read(self):
        (cue,) = cues_for([words("A sentence said very fast indeed", each_ms=50)], RULES)
        assert cue.end_ms == pytest.approx(1000 * len("A sentence saidvery fast indeed") / 15, abs=1)

    def test_but_not_into_the_next_one(self):
        first, second = cues_for([words("A sentence said very fast indeed", each_ms=50), words("Yes.", 900)], RULES)
        assert first.end_ms == second.start_ms == 900

    def test_a_short_word_stays_for_the_shortest_time_and_a_drawl_for_the_longest(self):
        (short,) = cues_for([words("No.", each_ms=100)], RULES)
        assert short.end_ms - short.start_ms == RULES.min_ms
        (long,) = cues_for([words("Nooooo.", each_ms=9000)], RULES)
        assert long.end_ms - long.start_ms == RULES.max_ms


class TestFromArtifacts:
    def test_the_source_s_follow_its_words_and_its_language_s_rules(self):
        spoken = tuple(
            Word(text=f" {w.text}", start_ms=w.start_ms, end_ms=w.end_ms, probability=1) for w in words("a b")
        )
        line = Line(id=1, speaker="S1", start_ms=0, end_ms=800, text="a b", words=spoken)
        transcript = Transcript(language="en", language_probability=1, lines=(line,), unprocessed=())
        (cue,) = source_cues(transcript, load_pack("en").subtitles)
        assert cue == Cue(start_ms=0, end_ms=833, lines=("a b",))

    def test_the_dub_s_keep_the_words_that_zero_width_spaces_mark(self):
        text = "มนุษย์\u200bทั้งหลาย\u200bเกิด\u200bมา\u200bมี\u200bอิสระ\u200bและ\u200bเสมอภาค\u200bกัน"
        slot = ScriptLine(id=1, speaker="S1", start_ms=0, end_ms=4000, source_text="x", text=text)
        line = SpokenLine(
            id=1, speaker="S1", sound="", sound_start_ms=0, start_ms=0, end_ms=4000, rate=1, phones=(), similarity=1
        )
        speech = Speech(language="th", engine="kokoro", rate_hz=24000, lines=(line,))
        (cue,) = dub_cues(Script(source="en", target="th", route=(), lines=(slot,)), speech, load_pack("th").subtitles)
        assert cue.lines == ("มนุษย์ทั้งหลายเกิดมา", "มีอิสระและเสมอภาคกัน")
        assert (cue.start_ms, cue.end_ms) == (0, 4000)

    def test_the_dub_s_follow_its_phones_not_its_slot(self):
        text = "Esta é a primeira frase do nosso texto. E esta é a segunda frase, que é bem mais longa."
        slot = ScriptLine(id=3, speaker="S1", start_ms=0, end_ms=9000, source_text="x", text=text)
        script = Script(source="en", target="pt-BR", route=(), lines=(slot,))
        phones = tuple(Phone(ipa="a", start_ms=2000 + 60 * n, end_ms=2060 + 60 * n) for n in range(100))
        line = SpokenLine(
            id=3, speaker="S1", sound="", sound_start_ms=2000, start_ms=2000, end_ms=8000, rate=1, phones=phones,
            similarity=1,
        )  # fmt: skip
        speech = Speech(language="pt-BR", engine="kokoro", rate_hz=24000, lines=(line,))
        first, second = dub_cues(script, speech, load_pack("pt-BR").subtitles)
        assert first.start_ms == 2000 and second.end_ms == pytest.approx(8000, abs=1)
        assert second.text.startswith("E esta")
        share = len("Esta é a primeira frase do nosso texto.") / len(text)
        assert second.start_ms == pytest.approx(2000 + 6000 * share, abs=150)
        limit = load_pack("pt-BR").subtitles.characters_per_line
        assert all(len(line) <= limit for cue in (first, second) for line in cue.lines)


class TestFiles:
    CUES = (
        Cue(start_ms=61_001, end_ms=62_500, lines=("São José & Co.", "1 < 2 – 日本語 مرحبا")),
        Cue(start_ms=3_600_000, end_ms=3_601_000, lines=(r"A {brace} and a back\Nslash",)),
    )

    def test_srt_says_what_was_meant(self, tmp_path: Path):
        write_srt(tmp_path / "a.srt", self.CUES)
        assert (tmp_path / "a.srt").read_text("utf-8") == (
            "1\n00:01:01,001 --> 00:01:02,500\nSão José & Co.\n1 < 2 – 日本語 مرحبا\n\n"
            "2\n01:00:00,000 --> 01:00:01,000\nA (brace) and a back/Nslash\n\n"
        )

    def test_vtt_escapes_its_own_signs(self, tmp_path: Path):
        write_vtt(tmp_path / "a.vtt", self.CUES)
        text = (tmp_path / "a.vtt").read_text("utf-8")
        assert text.startswith("WEBVTT")
        assert "00:01:01.001 --> 00:01:02.500\nSão José &amp; Co.\n1 &lt; 2" in text

    def test_ass_keeps_lines_and_times(self, tmp_path: Path):
        write_ass(tmp_path / "a.ass", self.CUES)
        events = pysubs2.load(str(tmp_path / "a.ass"))
        assert [event.text for event in events] == [
            r"São José & Co.\N1 < 2 – 日本語 مرحبا", "A (brace) and a back/Nslash",
        ]  # fmt: skip
        assert [event.start for event in events] == pytest.approx([61_001, 3_600_000], abs=10)

    def test_no_cues_make_a_file_without_cues(self, tmp_path: Path):
        write_srt(tmp_path / "a.srt", ())
        assert (tmp_path / "a.srt").read_text("utf-8").strip() == ""
