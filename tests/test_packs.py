"""Language packs: what is found for a tag, and that every phone of every language has a mouth shape."""

from __future__ import annotations

import pytest

from flows.languages import table
from language_packs import PARAMETERS, PackError, available, installed, load_pack
from language_packs.derive import articulations

LANGUAGES = ("ca", "de", "en", "es", "fr", "gl", "it", "pt-BR")


def test_every_language_asked_for_is_available():
    assert set(LANGUAGES) <= set(available())


def test_the_portuguese_base_is_not_a_language_of_its_own():
    assert "pt" not in available()


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("pt", "pt-BR"), ("PT_br", "pt-BR"), ("por", "pt-BR"), ("pt-PT", "pt-PT"), ("pt-AO", "pt-PT"),
        ("en-US", "en"), ("en-GB", "en-GB"), ("en-AU", "en-GB"), ("es-MX", "es-419"), ("es-ES", "es"),
        ("fr-CA", "fr-CA"), ("de-AT", "de"), ("cat", "ca"), ("zh-CN", "zh"), ("ja-JP", "ja"), ("iw", "he"),
    ],
)  # fmt: skip
def test_the_closest_variant_serves(asked, found):
    assert load_pack(asked).tag == found


@pytest.mark.parametrize("tag", ["", "english", "a b", "-en", "xx", "cho", "ace", "en-Shaw"])
def test_what_has_no_pack_is_said_in_one_line(tag):
    with pytest.raises(PackError) as refusal:
        load_pack(tag)
    assert isinstance(refusal.value, ValueError)
    assert "\n" not in str(refusal.value)
    assert repr(tag) in str(refusal.value)


def test_a_pack_inherits_what_it_does_not_say():
    brazilian = load_pack("pt-BR")
    assert (brazilian.name, brazilian.g2p.code, brazilian.direction) == (
        "Brazilian Portuguese",
        "pt-br",
        "ltr",
    )
    assert brazilian.overrides["y"].like == "ɪ"


def test_reading_speed_is_the_language_s_own():
    assert load_pack("en").subtitles.characters_per_second == 20
    assert load_pack("de").subtitles.characters_per_second == 17
    assert load_pack("de").subtitles.characters_per_line == 42


@pytest.mark.parametrize("tag", LANGUAGES)
def test_every_segment_has_complete_targets_and_dominances(tag):
    overrides = load_pack(tag).overrides
    for segment in [
        "p",
        "t",
        "s",
        "ʃ",
        "tʃ",
        "w",
        "a",
        "y",
        "ɐ̃",
        "pː",
        "β",
        "aɪ",
        "ɹ",
        "ǃ",
        "ʕ",
        "ↄ",
        "ɚ",
        "ᵻ",
        *overrides,
    ]:
        for phase in articulations(segment, overrides):
            assert set(phase.targets) == set(phase.dominances) == set(PARAMETERS)
            assert all(0 <= value <= 1 for value in phase.targets.values())
            assert all(weight >= 0 for weight in phase.dominances.values())
            assert phase.viseme


def test_a_variant_is_listed_as_translated_into_where_its_language_is():
    rows = {row["tag"]: row for row in table(installed())}
    for variant, language in (("en-GB", "en"), ("es-419", "es"), ("fr-CA", "fr"), ("pt-PT", "pt-BR")):
        assert rows[variant]["translate_from"].keys() == rows[language]["translate_from"].keys()
