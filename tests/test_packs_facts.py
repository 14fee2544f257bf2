"""What phoneticians have measured, as sentences: the packs must show it."""

from __future__ import annotations

import pytest

from language_packs import PARAMETERS, PackError, Parameter, SubtitleRules, available, load_pack
from language_packs.derive import Articulation, articulations
from language_packs.g2p import phonemize, segments
from language_packs.scripts import defaults, script_code


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


# --- language by language, from text where a voice reads it ---


def phones(language: str, text: str) -> list[str]:
    return segments(phonemize(text, load_pack(language).g2p))


def mouths(language: str, text: str) -> list[Articulation]:
    overrides = load_pack(language).overrides
    return [phase for phone in phones(language, text) for phase in articulations(phone, overrides)]


def contacts(language: str, text: str) -> list[str]:
    return [phase.contact for phase in mouths(language, text) if phase.contact]


def difference(language: str, one: str, other: str, parameter: Parameter) -> float:
    return mouth(language, one).targets[parameter] - mouth(language, other).targets[parameter]


def test_french_y_and_i_differ_in_protrusion_by_more_than_a_half():
    assert difference("fr", "y", "i", "protrusion") > 0.5
    tu, ti = mouths("fr", "tu"), mouths("fr", "ti")
    assert tu[-1].targets["protrusion"] - ti[-1].targets["protrusion"] > 0.5


def test_french_rounded_vowels_are_narrow_whether_front_or_back_and_schwa_is_one_of_them():
    assert mouth("fr", "y").targets["width"] - mouth("fr", "u").targets["width"] <= 0.1
    assert mouth("fr", "i").targets["width"] - mouth("fr", "y").targets["width"] > 0.5
    assert mouth("fr", "ə").targets == mouth("fr", "œ").targets != mouth("en", "ə").targets


def test_french_peu_is_more_protruded_and_less_open_than_peur():
    peu, peur = mouths("fr", "peu")[-1], mouths("fr", "peur")[1]
    assert peu.targets["protrusion"] > peur.targets["protrusion"] > 0.5
    assert peu.targets["aperture"] < peur.targets["aperture"]


def test_french_sh_is_pushed_further_forward_than_english_sh():
    assert mouth("fr", "ʃ").targets["protrusion"] > mouth("en", "ʃ").targets["protrusion"] + 0.1
    assert mouth("fr-CA", "ʃ") == mouth("fr", "ʃ")


def test_english_r_is_pushed_forward_and_the_british_bird_has_none():
    assert mouths("en", "red")[0].targets["protrusion"] == 0.35
    assert mouths("en", "bird")[1].targets["protrusion"] == 0.2
    assert mouths("en-GB", "bird")[1].targets["protrusion"] == 0
    assert mouths("en-GB", "red")[0].targets["protrusion"] == 0.35


def test_british_goose_stays_rounded_and_british_hot_is_rounded_where_american_is_not():
    assert mouths("en-GB", "goose")[1].targets["protrusion"] > 0.8
    assert mouths("en-GB", "hot")[1].targets["protrusion"] > 0.4
    assert mouths("en", "hot")[1].targets["protrusion"] == 0


def test_japanese_u_is_compressed_and_hardly_protruded():
    u = mouths("ja", "うみ")[0].targets
    assert (u["compression"], u["protrusion"]) == (0.6, 0.2)
    assert u["aperture"] < mouth("en", "u").targets["aperture"] + 0.05
    assert mouth("ja", "ɯ̥").targets == mouth("ja", "ɯ").targets  # devoiced


def test_japanese_fu_is_made_between_the_lips_and_never_at_the_teeth():
    fu = mouths("ja", "ふね")[0]
    assert fu.contact == "" and fu.targets["lip_to_teeth"] == 0
    assert fu.targets["compression"] == 0.5 and 0 < fu.targets["aperture"] < 0.1


def test_japanese_geminate_p_closes_twice_as_long_without_opening():
    assert contacts("ja", "きっぷ") == ["closure", "closure"]
    at = [number for number, phase in enumerate(mouths("ja", "きっぷ")) if phase.contact]
    assert at[1] == at[0] + 1


def test_japanese_wa_does_not_push_the_lips_forward_as_english_wa_does():
    assert difference("en", "w", "a", "protrusion") == 0.9
    assert mouths("ja", "わ")[0].targets["protrusion"] == 0.2


def test_korean_eu_is_spread_where_u_is_rounded():
    assert mouths("ko", "그")[-1].targets["width"] > mouth("ja", "ɯ").targets["width"] + 0.2
    assert mouths("ko", "그")[-1].targets["protrusion"] == 0
    assert mouths("ko", "구")[-1].targets["protrusion"] > 0.8


@pytest.mark.parametrize("syllable", ["발", "팔", "빨", "말"])
def test_korean_plain_aspirated_and_tense_p_and_m_all_close(syllable):
    assert mouths("ko", syllable)[0].contact == "closure"


def test_korean_affricates_are_not_rounded():
    assert all(phase.targets["protrusion"] == 0 for phase in mouths("ko", "차") + mouths("ko", "자"))


def test_mandarin_sh_is_not_x():
    assert difference("zh", "ʂ", "ɕ", "protrusion") > 0.3
    assert difference("zh", "ɕ", "ʂ", "width") > 0.1


def test_mandarin_yu_is_not_u():
    assert mouth("zh", "y").viseme != mouth("zh", "u").viseme
    assert difference("zh", "y", "u", "width") > 0.2


@pytest.mark.parametrize("apical", ["i̪", "ɨ"])
def test_mandarin_apical_vowels_keep_the_teeth_together(apical):
    assert mouth("zh", apical).targets["teeth_together"] > 0.8
    assert mouth("zh", apical).targets["jaw"] <= 0.15
    assert mouth("zh", "i").targets["teeth_together"] == 0


@pytest.mark.parametrize("segment", ["p", "pʰ", "m"])
def test_mandarin_b_p_and_m_close(segment):
    assert mouth("zh", segment).contact == "closure"


@pytest.mark.parametrize("language", ["es", "es-419"])
@pytest.mark.parametrize("text", ["una boca", "el vino", "cabra", "la vaca"])
def test_spanish_b_or_v_between_vowels_never_closes_nor_touches_the_teeth(language, text):
    assert contacts(language, text) == []


@pytest.mark.parametrize("language", ["es", "es-419"])
@pytest.mark.parametrize(
    ("text", "closures"), [("¡Bueno!", 1), ("Vino", 1), ("un vino", 2), ("envidia", 2), ("ambos", 2)]
)
def test_spanish_b_or_v_after_a_pause_or_a_nasal_closes(language, text, closures):
    assert contacts(language, text) == ["closure"] * closures


def test_spanish_of_spain_shows_the_tongue_in_zapato_and_that_of_latin_america_does_not():
    assert mouths("es", "zapato")[0].targets["tongue_visible"] == 1
    assert all(phase.targets["tongue_visible"] == 0 for phase in mouths("es-419", "zapato"))


def test_catalan_b_between_vowels_never_closes():
    assert contacts("ca", "una boca") == []


def test_brazilian_cidade_ends_with_unrounded_lips():
    assert mouths("pt-BR", "cidade")[-1].targets["protrusion"] == 0
    assert all(phase.targets["protrusion"] == 0 for phase in mouths("pt-BR", "mãe"))


def test_european_portuguese_reduces_what_brazilian_says_in_full():
    reduced = mouths("pt-PT", "telefone")[-1]
    assert reduced.dominances["aperture"] < 0.5 * mouth("pt-BR", "i").dominances["aperture"]
    assert mouth("pt-PT", "ɐ").targets["aperture"] < mouth("pt-BR", "ɐ").targets["aperture"] - 0.2
    assert mouth("pt-PT", "ɐ̃") == mouth("pt-PT", "ɐ")


@pytest.mark.parametrize("text", ["Pferd", "Apfel", "Kopf"])
def test_german_pf_closes_then_touches_the_teeth(text):
    assert contacts("de", text) == ["closure", "labiodental"]


def test_german_pf_written_as_one_affricate_has_the_same_two_phases():
    assert [phase.contact for phase in articulations("p͡f", load_pack("de").overrides)] == ["closure", "labiodental"]


def test_german_umlauts_are_rounded_and_sh_strongly():
    assert mouths("de", "über")[0].targets["protrusion"] - mouth("de", "i").targets["protrusion"] > 0.5
    assert mouths("de", "schön")[1].targets["protrusion"] > 0.7
    assert mouths("de", "schön")[0].targets["protrusion"] == 0.65
    assert mouths("de", "Vater")[-1].targets == mouth("de", "ɐ").targets


def test_italian_geminates_are_one_long_closure_and_single_ones_are_short():
    assert [phone for phone in phones("it", "pappa") if "p" in phone] == ["p", "pː"]
    assert [phone for phone in phones("it", "papa") if "p" in phone] == ["p", "p"]
    assert contacts("it", "mamma") == ["closure"] * len([phone for phone in phones("it", "mamma") if "m" in phone])


def test_arabic_has_no_p_and_its_borrowed_p_closes_as_b():
    assert "p" not in phones("ar", "بيبسي")
    assert contacts("ar", "باب") == ["closure", "closure"]


@pytest.mark.parametrize("segment", ["ħ", "ʕ", "q", "χ", "ʔ", "tˤ", "dˤ"])
def test_arabic_pharyngeals_uvulars_and_emphatics_leave_the_lips_alone(segment):
    assert all(mouth("ar", segment).dominances[lips] < 0.1 for lips in ("width", "protrusion", "compression"))


def test_hindi_v_only_nears_the_teeth():
    (v,) = [phase for phase in mouths("hi", "वह") if phase.targets["lip_to_teeth"]]
    assert v.targets["lip_to_teeth"] == 0.5 and v.contact == ""


@pytest.mark.parametrize("text", ["पानी", "फल", "बस", "भाई", "माँ"])
def test_hindi_aspirated_labials_close_like_plain_ones(text):
    assert mouths("hi", text)[0].contact == "closure"


@pytest.mark.parametrize("text", ["चाय", "जल"])
def test_hindi_palatal_affricates_bring_the_teeth_together(text):
    assert mouths("hi", text)[0].targets["teeth_together"] > 0.8


def test_russian_bily_and_byli_both_close_and_have_no_rounded_vowel():
    for text in ("бил", "был", "мы"):
        assert contacts("ru", text) == ["closure"]
        assert all(phase.targets["protrusion"] == 0 for phase in mouths("ru", text))
    assert mouths("ru", "был")[1].targets["width"] > 0.6


def test_russian_palatalisation_leaves_the_lips_alone_but_for_a_slight_width():
    for plain, soft in (("p", "pʲ"), ("m", "mʲ"), ("f", "fʲ"), ("t", "tʲ")):
        changed = {p for p in PARAMETERS if mouth("ru", plain).targets[p] != mouth("ru", soft).targets[p]}
        assert changed == {"width"}
        assert 0 < difference("ru", soft, plain, "width") < 0.1


def test_russian_sh_is_rounder_than_shch():
    assert mouths("ru", "шум")[0].targets["protrusion"] > 0.3
    assert mouths("ru", "щука")[0].targets["protrusion"] == 0


def test_turkish_dotless_i_is_spread_and_its_partner_u_rounded():
    assert mouths("tr", "ısı")[0].targets["width"] > 0.6
    assert mouths("tr", "ısı")[0].targets["protrusion"] == 0
    assert mouths("tr", "un")[0].targets["protrusion"] > 0.6


@pytest.mark.parametrize("text", ["üç", "gün", "bütün", "göz", "öte"])
def test_turkish_front_rounded_vowels_are_rounded(text):
    assert all(phase.targets["protrusion"] > 0.6 for phase in mouths("tr", text) if phase.is_vowel and phase.is_rounded)
    assert any(phase.is_vowel and phase.is_rounded for phase in mouths("tr", text))


def test_turkish_gun_is_closer_than_goz_although_espeak_writes_o_slash():
    u, o = (next(phase for phase in mouths("tr", text) if phase.is_vowel) for text in ("gün", "göz"))
    assert u.targets["aperture"] < o.targets["aperture"] - 0.1


def test_dutch_w_only_nears_the_teeth_and_v_touches_them():
    assert mouths("nl", "water")[0].targets["lip_to_teeth"] == 0.6
    assert mouths("nl", "water")[0].contact == ""
    assert mouths("nl", "van")[0].contact == "labiodental"


def test_dutch_put_fuut_reus_and_huis_have_rounded_vowels():
    for text in ("put", "fuut", "reus", "huis"):
        assert any(phase.is_vowel and phase.is_rounded for phase in mouths("nl", text))
    assert not any(phase.is_rounded for phase in mouths("nl", "fiets"))


def test_swedish_hus_is_compressed_and_ny_protruded():
    hus = next(phase for phase in mouths("sv", "hus") if phase.is_vowel).targets
    ny = mouths("sv", "ny")[-1].targets
    assert hus["compression"] > 0.6 and ny["compression"] == 0
    assert ny["protrusion"] - hus["protrusion"] > 0.5


def test_swedish_sj_is_rounded_and_tj_is_not():
    assert any(phase.targets["protrusion"] >= 0.5 for phase in mouths("sv", "sjal"))
    assert mouths("sv", "kjol")[0].targets["protrusion"] == 0


def test_polish_sz_is_not_s_acute():
    szary, siwy = mouths("pl", "szary")[0].targets, mouths("pl", "siwy")[0].targets
    assert szary["protrusion"] > 0.3 and siwy["protrusion"] == 0
    assert siwy["width"] > szary["width"]


def test_polish_y_is_more_open_than_i_and_not_rounded():
    assert difference("pl", "ɨ", "i", "aperture") > 0.1
    assert mouths("pl", "my")[-1].targets["protrusion"] == 0


def test_vietnamese_u_with_horn_is_unrounded_although_espeak_writes_y():
    assert all(phase.targets["protrusion"] == 0 for phase in mouths("vi", "tư"))
    assert all(phase.targets["protrusion"] == 0 for phase in mouths("vi", "mơ"))
    assert mouths("vi", "tu")[-1].targets["protrusion"] > 0.8


@pytest.mark.parametrize("final", ["k͡p", "ŋ͡m"])
def test_vietnamese_labialised_finals_close_the_lips(final):
    assert [phase.contact for phase in articulations(final, load_pack("vi").overrides)] == ["closure"]


def test_thai_unrounded_back_vowels_have_rounded_partners():
    for unrounded, rounded in (("ɯː", "uː"), ("ɤː", "oː")):
        assert mouth("th", unrounded).targets["protrusion"] == 0
        assert difference("th", rounded, unrounded, "protrusion") > 0.6
        assert difference("th", unrounded, rounded, "width") > 0.3


def test_thai_unreleased_final_p_closes():
    assert mouth("th", "p̚").contact == "closure"


def test_indonesian_v_and_f_touch_the_teeth_alike_and_final_p_closes():
    assert contacts("id", "visi") == contacts("id", "fisi") == ["labiodental"]
    assert mouths("id", "siap")[-1].contact == "closure"


@pytest.mark.parametrize(("text", "closures"), [("mbwa", 2), ("mtu", 1), ("nyumba", 2), ("baba", 2)])
def test_swahili_prenasalised_syllabic_and_implosive_labials_close(text, closures):
    assert contacts("sw", text) == ["closure"] * closures
    assert mouth("sw", "ɓ").contact == "closure"


def test_greek_beta_touches_the_teeth_and_mp_closes():
    assert contacts("el", "βάζο") == ["labiodental"]
    assert contacts("el", "μπύρα") == ["closure"]


def test_greek_theta_and_delta_show_the_tongue():
    assert mouths("el", "θέλω")[0].targets["tongue_visible"] == mouths("el", "δέκα")[0].targets["tongue_visible"] == 1


def test_greek_has_no_front_rounded_vowel():
    assert not any(phase.viseme in ("Y", "EU", "OE") for phase in mouths("el", "ύψος οίκος υιός είναι"))


def test_hebrew_bet_closes_with_a_dot_and_touches_the_teeth_without():
    assert contacts("he", "בַּיִת") == ["closure"]
    assert contacts("he", "אָב") == ["labiodental"]


def test_ukrainian_v_never_closes_and_never_fully_touches_the_teeth():
    assert contacts("uk", "вода") == []
    assert contacts("uk", "вовк") == ["labiodental"]  # the f that v becomes before k
    v = mouths("uk", "вода")[0].targets
    assert 0.3 <= v["lip_to_teeth"] <= 0.5 and v["protrusion"] > 0


def test_czech_r_hacek_brings_the_teeth_together_and_plain_r_does_not():
    assert mouths("cs", "řeka")[0].targets["teeth_together"] > 0.8
    assert mouths("cs", "tři")[1].targets["teeth_together"] > 0.8
    assert mouths("cs", "řeka")[0].targets["jaw"] <= 0.15
    assert mouths("cs", "ruka")[0].targets["teeth_together"] == 0


def test_czech_long_vowels_look_like_short_ones():
    assert mouth("cs", "uː").targets == mouth("cs", "u").targets


# --- how it is read ---


@pytest.mark.parametrize(
    ("tag", "per_second", "per_line"),
    [
        ("en", 20, 42), ("en-GB", 20, 42), ("de", 17, 42), ("fr-CA", 17, 42), ("es-419", 17, 42), ("pt-PT", 17, 42),
        ("ar", 20, 42), ("hi", 22, 42), ("he", 17, 42), ("ru", 17, 39), ("el", 17, 42), ("th", 17, 35),
        ("ja", 4, 13), ("ko", 12, 16), ("zh", 9, 16),
    ],
)  # fmt: skip
def test_subtitles_are_read_at_the_published_speed(tag, per_second, per_line):
    rules = load_pack(tag).subtitles
    assert (rules.characters_per_second, rules.characters_per_line) == (per_second, per_line)
    assert (rules.lines, rules.min_ms, rules.max_ms) == (2, 833, 7000)


@pytest.mark.parametrize(
    ("tag", "font"),
    [
        ("en", "Noto Sans"),
        ("ja", "Noto Sans JP"),
        ("zh", "Noto Sans SC"),
        ("ar", "Noto Sans Arabic"),
        ("th", "Noto Sans Thai"),
    ],
)
def test_the_font_covers_the_script(tag, font):
    assert load_pack(tag).subtitles.font == font


@pytest.mark.parametrize("tag", ["ar", "de", "en", "he", "hi", "ja", "ko", "ru", "th", "zh"])
def test_the_pack_is_written_in_the_direction_of_its_script(tag):
    assert load_pack(tag).direction == defaults(tag)["direction"]


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("zh", "Hans"),
        ("zh-TW", "Hant"),
        ("sr-Latn", "Latn"),
        ("yo", "Latn"),
        ("km", "Khmr"),
        ("grc", "Grek"),
        ("grc", "Grek"),
    ],
)
def test_the_script_follows_from_the_tag(tag, code):
    assert script_code(tag) == code
    assert SubtitleRules(**defaults(tag)["subtitles"]).characters_per_second > 0


@pytest.mark.parametrize("tag", ["", "a b", "und"])
def test_a_language_without_a_known_script_is_an_error_of_one_line(tag):
    with pytest.raises(PackError) as refusal:
        script_code(tag)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("tag", [tag for tag in available() if load_pack(tag).subtitles.no_break_after])
def test_words_of_the_break_rules_are_in_lower_case_each_named_once(tag):
    rules = load_pack(tag).subtitles
    for words in (rules.no_break_after, rules.no_break_before):
        assert all(word == word.lower().strip() for word in words)
        assert len(set(words)) == len(words)


@pytest.mark.parametrize("word", ["không", "ông", "trong", "học", "phục"])
def test_vietnamese_final_k_and_ng_close_the_lips_after_rounded_vowels(word):
    assert mouths("vi", word)[-1].contact == "closure"


@pytest.mark.parametrize("word", ["các", "làng", "tiếng"])
def test_vietnamese_final_k_and_ng_leave_the_lips_alone_after_other_vowels(word):
    assert mouths("vi", word)[-1].contact == ""


@pytest.mark.parametrize("word", ["しっぱい", "にっぽん", "ばっぱ"])
def test_japanese_geminate_p_is_one_long_closure(word):
    long = [segment for segment in segments(phonemize(word, load_pack("ja").g2p)) if segment.startswith("p")]
    assert long == ["pː"]
