"""The picture of a pack: lips that show what the numbers say, and a chart that has every phone once."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.path import Path as Outline
from PIL import Image

from flows.cli import main
from language_packs import G2P, Pack, available, chart, load_pack
from language_packs.derive import articulations
from language_packs.lips import Mouth, mouth

FRENCH = tuple("i y e ø ɛ œ a ɑ̃ u o ɔ p b m f v t d s z ʃ ʒ l n ɲ ʁ k ɡ j ɥ w".split())  # noqa: SIM905
ENGLISH = tuple("i ɪ ɛ æ ʌ ɑ u ʊ o p b m f v θ ð t d s z ʃ ʒ tʃ l n ɹ k ɡ h j w".split())  # noqa: SIM905


def seen(segment: str, language: str = "fr") -> Mouth:
    return mouth(articulations(segment, load_pack(language).overrides)[-1].targets)


def width(shape: np.ndarray) -> float:
    return float(np.ptp(shape[:, 0]))


def height(shape: np.ndarray) -> float:
    return float(np.ptp(shape[:, 1]))


def foremost(lips: Mouth) -> float:
    """How far the lips stand out, the nose left aside."""
    return float(lips.profile[lips.profile[:, 1] < 0.5, 0].max())


class TestLips:
    def test_closed_lips_are_a_line_and_open_lips_have_an_opening(self):
        assert not len(seen("p").inner) and len(seen("p").seam)
        for segment in "iyeaousfʃtw":
            assert len(seen(segment).inner) and not len(seen(segment).seam)

    def test_the_opening_grows_with_the_vowel_s_openness(self):
        heights = [height(seen(vowel).inner) for vowel in "ieɛa"]
        assert heights == sorted(heights) and heights[-1] > 4 * heights[0]

    def test_rounded_lips_are_narrower_fuller_and_stand_out(self):
        for rounded, spread in (("y", "i"), ("ø", "e"), ("u", "i"), ("w", "j")):
            assert width(seen(rounded).outer) < 0.85 * width(seen(spread).outer)
            assert foremost(seen(rounded)) > foremost(seen(spread)) + 0.2
        assert height(seen("y").outer) - height(seen("y").inner) > 1.5 * (
            height(seen("i").outer) - height(seen("i").inner)
        )

    def test_the_opening_of_protruded_lips_is_round_not_a_slit(self):
        for vowel in "uo":
            assert width(seen(vowel).inner) < 5 * height(seen(vowel).inner)
        assert width(seen("i").inner) > 8 * height(seen("i").inner)

    def test_compressed_lips_are_thin(self):
        plain = dict(articulations("e")[0].targets)
        thin = mouth({**plain, "compression": 0.6})
        assert height(thin.outer) < height(mouth(plain).outer)

    def test_the_upper_teeth_stand_on_the_lower_lip_for_labiodentals(self):
        lips = seen("f")
        lower_lip = lips.inner[:, 1].min()
        assert lips.upper_teeth[:, 1].min() == pytest.approx(lower_lip, abs=0.03)
        assert not len(lips.lower_teeth)

    def test_teeth_meet_for_sibilants_and_are_apart_in_open_vowels(self):
        def gap(lips: Mouth) -> float:
            return float(lips.upper_teeth[:, 1].min() - lips.lower_teeth[:, 1].max())

        assert abs(gap(seen("s"))) < 0.05 < 0.3 < gap(seen("a"))

    def test_the_tongue_is_before_the_teeth_for_th_only(self):
        assert seen("θ", "en").tongue_in_front
        assert not seen("a").tongue_in_front and not seen("l").tongue_in_front

    def test_the_chin_goes_down_with_the_jaw(self):
        chins = [seen(vowel).chin[:, 1].min() for vowel in "aɛei"]
        assert chins == sorted(chins)

    @pytest.mark.parametrize("segment", [*FRENCH, *ENGLISH, "β", "ʋ", "ɕ", "ɯ"])
    def test_the_opening_lies_between_the_lips(self, segment):
        lips = seen(segment)
        assert np.isfinite(lips.outer).all()
        assert lips.outer[:, 1].min() > lips.chin[:, 1].max() - 0.6
        if len(lips.inner):
            assert (
                Outline(lips.outer).contains_points(lips.inner, radius=1e-6).all()
                or Outline(lips.outer).contains_points(0.999 * lips.inner).mean() > 0.9
            )


class TestGroups:
    def test_every_phone_stands_once_with_those_that_look_like_it(self):
        found = chart.shapes(FRENCH, load_pack("fr"))
        assert sorted(phone for shape in found for phone in shape.phones) == sorted(FRENCH)
        together = {shape.phones for shape in found}
        assert {("b", "m", "p"), ("f", "v"), ("s", "z"), ("ʃ", "ʒ"), ("y",), ("ø",)} <= together

    def test_vowels_come_first_then_consonants_from_the_lips_backwards(self):
        found = chart.shapes(FRENCH, load_pack("fr"))
        kinds = [shape.look.is_vowel for shape in found]
        assert kinds == sorted(kinds, reverse=True)
        assert next(shape.phones for shape in found if not shape.look.is_vowel) == ("b", "m", "p")

    def test_a_phone_of_two_phases_is_in_both_groups(self):
        found = chart.shapes(("pf", "p", "f"), load_pack("de"))
        assert [shape.phones for shape in found] == [("p", "pf¹"), ("f", "pf²")]

    def test_what_two_packs_make_differently_is_named(self):
        packs = load_pack("fr"), load_pack("en")
        by_phones = {pair.phones: pair for pair in chart.pairs(("p", "ʃ", "ʒ"), packs)}
        assert by_phones[("p",)].differences == ()
        assert {"protrusion", "width"} <= set(by_phones[("ʃ", "ʒ")].differences)

    def test_the_phones_are_those_of_the_text_without_length_and_those_of_the_pack(self):
        assert chart.inventory(load_pack("es"), ["pˈaː, pa"]) == ("p", "a", *load_pack("es").overrides)

    def test_of_sounds_that_leave_the_lips_alone_the_chart_says_so(self):
        (tongue,) = articulations("t")
        (lips,) = articulations("p")
        assert not chart.holds_lips(tongue) and chart.holds_lips(lips)


def test_the_fonts_have_every_sign_of_the_ipa_that_packs_and_tables_use():
    segments = {*FRENCH, *ENGLISH, *(key for tag in available() for key in load_pack(tag).overrides)}
    letters = "ɓʙʘɸβⱱʋʍɥʃʒɧʂʐɕʑçʝθðɫʈɖɗǀǃǂǁɳɬɮɭɺɾɹɻɽɲɟʎʄɡŋɣɰɠʟɢɴχʁʀʛɦʔħʕʜʢʡɨʉɯɪʏʊᵻᵿɘɵɤəɚɜɞʌɔɝæɐɶɑɒʷʰʲˠˤ̃̊͡¹²"
    text = "".join(segments) + letters
    assert chart.shown(text) == text


def test_a_sign_that_no_font_has_is_written_by_its_number():
    assert chart.shown("a𝼪") == "aU+1DF2A"


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_a_chart_is_the_same_every_time_and_has_no_missing_glyph(tmp_path: Path, ending: str):
    files = [tmp_path / f"{number}{ending}" for number in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of glyphs that the font does not have
        for file in files:
            chart.draw(load_pack("fr"), (*FRENCH, "ᵿ", "𝼪"), "Test.", file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_comparison_shows_differences_and_what_only_one_has(tmp_path: Path):
    file = tmp_path / "fr-en.svg"
    packs = load_pack("fr"), load_pack("en")
    chart.draw_compared(packs, (FRENCH, ENGLISH), "Test.", file)
    written = file.read_text(encoding="utf-8")
    comments = set(written.split("<!-- ")[1:])  # matplotlib puts every text in a comment beside its outlines
    said = {comment.split(" -->")[0] for comment in comments}
    assert {"Phones of both that look different", "Only in French (fr)", "Only in English (en)"} <= said
    assert {"ʃ  ʒ", "y", "fr  CH", "en  CH", "protrusion .90"} <= said
    assert any("b  m  p" in each for each in said)


def test_the_picture_has_lips_teeth_and_the_dark_between(tmp_path: Path):
    file = tmp_path / "a.png"
    chart.draw(load_pack("fr"), ("a",), "Test.", file)
    colours = {colour for _, colour in Image.open(file).convert("RGB").getcolors(1 << 20) or ()}
    for wanted in ((0xC9, 0x70, 0x6B), (0x3B, 0x15, 0x17), (0xFB, 0xFA, 0xF3), (0xD9, 0x8A, 0x8A)):
        assert min(sum(abs(a - b) for a, b in zip(colour, wanted, strict=True)) for colour in colours) < 12


def test_the_command_writes_charts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert main(["packs", "show", "fr"]) == 0
    assert capsys.readouterr().out.strip() == "visemes-fr.png"
    with Image.open(tmp_path / "visemes-fr.png") as picture:
        assert picture.width > 800
    assert main(["packs", "show", "fr", "--compare", "en", "--out", "both.svg"]) == 0
    assert "Common phones" in (tmp_path / "both.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fr", "--out", "a.gif"], "neither .png nor .svg"),
        (["fr", "--out", "nowhere/a.png"], "there is no folder"),
        (["xx"], "no language pack for 'xx'"),
        (["fr", "--compare", "!"], "is not a language tag"),
        (["fr", "--declaration", "nowhere"], "holds no declaration"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert main(["packs", "show", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_pack_of_any_sounds_can_be_drawn(tmp_path: Path):
    stated = {"tag": "en", "name": "Any", "direction": "ltr", "g2p": G2P(code="en-us"), "phones_per_second": 13.0}
    many = tuple("ǃ k͡p pf ɓ ʙ aɪ β ʋ ɯ ʔ ħ tʷ".split())  # noqa: SIM905
    chart.draw(Pack.model_validate(stated), many, "Test.", tmp_path / "any.png")
    assert (tmp_path / "any.png").stat().st_size > 5000
