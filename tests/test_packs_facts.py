"""What phoneticians have measured, as sentences: the packs must show it."""

from __future__ import annotations

import pytest

from language_packs import load_pack
from language_packs.derive import Articulation, articulations


def mouth(language: str, segment: str) -> Articulation:
    (phase,) = articulations(segment, load_pack(language).overrides)
    return phase


@pytest.mark.parametrize("language", ["en", "pt-BR", "es", "fr", "it", "de", "ca", "gl"])
@pytest.mark.parametrize("segment", ["p", "b", "m", "pː", "pʰ", "bʲ", "mʷ"])
def test_lips_close_for_bilabial_stops_and_nasals(language, segment):
    assert mouth(language, segment).contact == "closure"
    assert mouth(language, segment).targets["closure"] == 1
    assert mouth(language, segment).targets["aperture"] == 0


@pytest.mark.parametrize("segment", ["k͡p", "ɡ͡b", "kp"])
def test_doubly_articulated_stops_close_the_lips(segment):
    assert mouth("en", segment).contact == "closure"


@pytest.mark.parametrize("segment", ["f", "v", "ɱ"])
def test_the_lower_lip_touches_the_teeth_for_labiodentals(segment):
    assert mouth("en", segment).contact == "labiodental"
    assert mouth("en", segment).targets["lip_to_teeth"] == 1


def test_the_lower_lip_only_nears_the_teeth_for_the_labiodental_approximant():
    assert mouth("de", "ʋ").targets["lip_to_teeth"] == 0.6
    assert mouth("de", "ʋ").contact == ""


@pytest.mark.parametrize("language", ["es", "ca", "gl"])
def test_iberian_b_between_vowels_never_closes_but_b_after_a_pause_does(language):
    assert mouth(language, "β").contact == ""
    assert mouth(language, "β").targets["closure"] == 0
    assert mouth(language, "β").targets["aperture"] == pytest.approx(0.18)
    assert mouth(language, "b").contact == "closure"


def test_a_bilabial_fricative_is_narrower_than_an_approximant():
    assert mouth("en", "ɸ").targets["aperture"] < mouth("en", "β").targets["aperture"]
    assert mouth("en", "β").targets["aperture"] < mouth("en", "β̞").targets["aperture"]


@pytest.mark.parametrize(("language", "nasal", "oral"), [
    ("pt-BR", "ɐ̃", "ɐ"), ("pt-BR", "ũ", "u"), ("pt-BR", "õ", "o"), ("fr", "ɑ̃", "ɑ"), ("fr", "œ̃", "œ"), ("fr", "ɛ̃", "ɛ"),
])  # fmt: skip
def test_nasal_vowels_look_like_their_oral_bases(language, nasal, oral):
    assert mouth(language, nasal) == mouth(language, oral)


def test_portuguese_nasal_offglide_is_not_rounded_although_espeak_writes_y():
    assert mouth("pt-BR", "y").targets["protrusion"] == 0
    assert mouth("fr", "y").targets["protrusion"] == pytest.approx(0.9)


def test_french_front_rounded_sounds_are_classes_of_their_own():
    labels = {segment: mouth("fr", segment).viseme for segment in "yøœɥuoɔiew"}
    for segment in "yøœɥ":
        assert [other for other in labels if labels[other] == labels[segment]] == [segment]


def test_rounded_vowels_push_the_lips_less_the_more_open_they_are():
    protrusions = [mouth("fr", vowel).targets["protrusion"] for vowel in "yøœɶ"]
    assert protrusions == sorted(protrusions, reverse=True)
    assert mouth("de", "yː").targets["protrusion"] > 0.8
    assert mouth("de", "øː").targets["protrusion"] > 0.7


def test_german_pf_first_closes_and_then_touches_the_teeth():
    for written in ("pf", "p͡f"):
        assert [phase.contact for phase in articulations(written, load_pack("de").overrides)] == [
            "closure",
            "labiodental",
        ]


def test_english_r_pushes_the_lips_forward_and_spanish_r_does_not():
    assert mouth("en", "ɹ").targets["protrusion"] == 0.35
    assert mouth("es", "ɾ").targets["protrusion"] == 0


def test_postalveolars_push_the_lips_forward_and_alveolo_palatals_do_not():
    assert mouth("en", "ʃ").targets["protrusion"] == mouth("en", "tʃ").targets["protrusion"] == 0.5
    assert mouth("en", "ʂ").targets["protrusion"] == 0.35
    assert mouth("en", "ɕ").targets["protrusion"] == mouth("en", "tɕ").targets["protrusion"] == 0
    assert mouth("en", "ɕ").targets["width"] == 0.6


@pytest.mark.parametrize("segment", ["s", "z", "ts", "ʃ", "dʒ"])
def test_sibilants_bring_the_teeth_together(segment):
    assert mouth("en", segment).targets["teeth_together"] == 0.9
    assert mouth("en", segment).targets["jaw"] <= 0.15


def test_the_tongue_shows_between_the_teeth_for_th_and_a_little_for_l():
    assert mouth("en", "θ").targets["tongue_visible"] == mouth("en", "ð").targets["tongue_visible"] == 1
    assert mouth("en", "l").targets["tongue_visible"] == 0.4


@pytest.mark.parametrize("segment", ["t", "k", "ŋ", "n", "x", "ħ", "ʕ", "h", "ʔ", "ɾ", "j"])
def test_sounds_made_with_the_tongue_alone_hardly_hold_the_lips(segment):
    weak = mouth("en" if segment != "ɹ" else "es", segment).dominances
    vowel = mouth("en", "i").dominances
    assert all(weak[lips] < 0.1 * vowel[lips] for lips in ("width", "protrusion", "compression"))


def test_the_lips_are_held_most_firmly_where_they_make_the_sound():
    holds = [mouth("en", segment).dominances["aperture"] for segment in "pfatkh"]
    assert holds == sorted(holds, reverse=True)


def test_w_is_narrow_and_pushed_forward_and_labialisation_pushes_forward():
    assert mouth("en", "w").targets["protrusion"] == 0.9
    assert mouth("en", "w").targets["aperture"] == pytest.approx(0.12)
    assert mouth("en", "kʷ").targets["protrusion"] == 0.5


def test_the_mouth_opens_with_the_vowel_s_openness_and_widens_for_front_vowels():
    apertures = [mouth("en", vowel).targets["aperture"] for vowel in "ieɛæa"]
    assert apertures == sorted(apertures)
    assert mouth("en", "i").targets["width"] == pytest.approx(0.8)
    assert mouth("en", "u").targets["width"] == pytest.approx(0.15)


def test_a_diphthong_has_two_phases():
    assert [phase.viseme for phase in articulations("aɪ")] == ["aa", "I"]


@pytest.mark.parametrize(("unknown", "like"), [("ƥ", "p"), ("ᴍ", "m"), ("ü", "u"), ("ѫ", "ə")])
def test_an_unknown_sign_takes_the_nearest_known_one_and_is_never_silence(unknown, like):
    assert articulations(unknown)[0].targets == articulations(like)[0].targets
