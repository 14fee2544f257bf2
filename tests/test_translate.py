"""Routes between languages, what cannot be done, and real sentences through every engine."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from language_packs import Wordings
from stages import sound
from stages.artifacts import Line, Separation, Transcript
from stages.errors import InputError, MissingEngineError
from stages.languages import normalise_tag
from stages.progress import silent
from stages.translate import (
    References,
    TranslateConfig,
    apertium,
    available_hops,
    check_pair,
    chosen_route,
    possible_pairs,
    possible_targets,
    route,
    routes,
    translate,
)
from stages.translate.apertium import Apertium
from stages.translate.bergamot import Bergamot

EVERYTHING = routes.table().hops
NO_APERTIUM = tuple(hop for hop in EVERYTHING if hop.engine != "apertium")
NOTHING = (Wordings(), References())
NO_APERTIUM_CONFIG = TranslateConfig(engines=("bergamot", "whisper"))


def hop(name: str) -> routes.Hop:
    return next(hop for hop in EVERYTHING if hop.name == name)


def needs(*modes: str):
    absent = set(modes) - apertium.modes()
    return pytest.mark.skipif(bool(absent), reason=f"apertium has no {', '.join(sorted(absent))} on this machine")


def names(found: routes.Route | None) -> tuple[str, ...]:
    return tuple(hop.name for hop in found.hops) if found else ()


def transcript(language: str, *texts: str) -> Transcript:
    lines = tuple(
        Line(id=n, speaker="S1", start_ms=n * 3000, end_ms=n * 3000 + 2500, text=text, words=())
        for n, text in enumerate(texts, start=1)
    )
    return Transcript(language=language, language_probability=1.0, lines=lines, unprocessed=())


class TestTags:
    @pytest.mark.parametrize(
        ("written", "tag"),
        [("pt", "pt-BR"), ("PT_br", "pt-BR"), ("por", "pt-BR"), ("eng", "en"), (" es ", "es"), ("no", "nb")],
    )
    def test_are_made_canonical_and_generic_portuguese_is_brazilian(self, written, tag):
        assert normalise_tag(written) == tag

    @pytest.mark.parametrize("written", ["", "english", "xx", "a b", "-en", "e", "pt-BR; rm -rf", "und"])
    def test_what_is_no_language_is_refused_in_one_line(self, written):
        with pytest.raises(InputError) as refusal:
            normalise_tag(written)
        assert "\n" not in str(refusal.value)


class TestRoutes:
    def test_english_goes_to_portuguese_in_one_hop(self):
        assert names(route("en", "pt-BR", EVERYTHING)) == ("bergamot en>pt-BR",)

    def test_written_portuguese_is_preferred_to_hearing_it_again(self):
        assert names(route("pt-BR", "en", EVERYTHING)) == ("bergamot pt-BR>en",)

    @pytest.mark.parametrize("target", ["es", "ca", "gl", "fr", "it"])
    def test_english_goes_to_romance_languages_through_portuguese(self, target):
        found = names(route("en", target, EVERYTHING))
        assert found[0] == "bergamot en>pt-BR"
        assert found[-1].endswith(f">{target}")

    def test_the_best_measured_chain_wins(self):
        for chain in routes.table().chains:
            best = route(chain.source, chain.target, EVERYTHING)
            assert best is not None and best.chrf is not None and chain.chrf is not None
            assert best.chrf >= chain.chrf

    def test_the_next_best_chain_is_taken_where_the_best_is_not_installed(self):
        without = [hop for hop in EVERYTHING if hop.package != "apertium-por-cat"]
        assert names(route("en", "ca", EVERYTHING)) == ("bergamot en>pt-BR", "apertium pt-BR>ca")
        assert names(route("en", "ca", without)) == (
            "bergamot en>pt-BR", "apertium pt-BR>es", "apertium es>ca",
        )  # fmt: skip

    def test_other_languages_are_heard_in_english_first(self):
        assert names(route("de", "en", EVERYTHING)) == ("whisper de>en",)
        assert names(route("nb", "en", EVERYTHING)) == ("whisper no>en",)
        assert names(route("ja", "pt-BR", EVERYTHING)) == ("whisper ja>en", "bergamot en>pt-BR")
        assert names(route("fr", "pt-BR", NO_APERTIUM)) == ("whisper fr>en", "bergamot en>pt-BR")

    def test_a_regional_variant_takes_the_route_of_its_language(self):
        assert names(route("en-GB", "pt-BR", EVERYTHING)) == ("bergamot en>pt-BR",)
        assert names(route("pt-PT", "en", EVERYTHING)) == ("bergamot pt-BR>en",)

    def test_there_is_none_into_a_language_that_nothing_writes(self):
        assert route("en", "ja", EVERYTHING) is None
        assert route("tlh", "en", EVERYTHING) is None
        assert route("pt-BR", "pt-BR", EVERYTHING) is None

    def test_every_chain_is_connected_and_measured(self):
        for chain in routes.table().chains:
            assert all(a.target == b.source for a, b in pairwise(chain.hops))
            assert chain.chrf is not None and 0 < chain.chrf < 100

    def test_every_apertium_hop_says_what_installs_it(self):
        assert all(re.fullmatch(r"apertium-[a-z-]+", hop.package) for hop in EVERYTHING if hop.engine == "apertium")

    def test_pairs_that_can_be_done_agree_with_the_targets(self):
        pairs = possible_pairs()
        assert ("en", "pt-BR") in pairs and ("pt-BR", "en") in pairs and ("de", "en") in pairs
        assert all(source != target for source, target in pairs)
        assert {target for source, target in pairs if source == "en"} == set(possible_targets("en"))


class TestRefusals:
    @pytest.mark.parametrize(("source", "target"), [("en", "en-US"), ("pt", "pt-BR"), ("pt-PT", "pt-BR"), ("es", "es")])
    def test_the_language_that_is_spoken_already(self, source, target):
        with pytest.raises(InputError, match="already"):
            check_pair(source, target)

    def test_a_pair_without_a_route_names_those_that_have_one(self):
        with pytest.raises(InputError, match=r"Japanese \(ja\).*from en into: .*pt-BR"):
            check_pair("en", "ja")

    def test_a_target_without_any_route_is_refused_before_the_source_is_known(self):
        with pytest.raises(InputError, match=r"Japanese \(ja\).*pt-BR"):
            check_pair(None, "ja")
        check_pair(None, "pt-BR")
        check_pair(None, "en")

    def test_a_pair_that_lacks_only_packages_names_the_command(self, monkeypatch):
        monkeypatch.setattr(apertium, "modes", frozenset)
        with pytest.raises(MissingEngineError, match=r"apt-get install apertium apertium-es-pt") as refusal:
            check_pair("en", "es")
        assert refusal.value.exit_code == 3

    def test_an_engine_that_the_settings_leave_out_is_not_used(self):
        with pytest.raises(InputError, match="from en into: pt-BR"):
            check_pair("en", "es", NO_APERTIUM_CONFIG)
        assert all(hop.engine != "apertium" for hop in available_hops(NO_APERTIUM_CONFIG))

    def test_a_malformed_target(self):
        with pytest.raises(InputError, match="not a language tag"):
            check_pair("en", "brazilian")


class TestChosenRoute:
    def test_its_digest_is_another_where_another_engine_is_used(self):
        everything = [hop for hop in EVERYTHING if hop.package != "apertium-por-cat"]
        best, next_best = route("en", "ca", EVERYTHING), route("en", "ca", everything)
        assert best is not None and next_best is not None
        assert best.digest != next_best.digest
        assert best.digest == best.model_copy(update={"chrf": 1.0}).digest == routes.Route(**best.model_dump()).digest

    def test_it_keeps_the_variant_that_was_asked_for(self):
        chosen = chosen_route("pt-BR", "en-GB", TranslateConfig())
        assert (chosen.target, names(chosen)) == ("en-GB", ("bergamot pt-BR>en",))
        assert chosen.digest != chosen_route("pt-BR", "en", TranslateConfig()).digest

    def test_it_refuses_what_check_pair_refuses(self):
        with pytest.raises(InputError, match="already"):
            chosen_route("en", "en-US", TranslateConfig())
        with pytest.raises(InputError, match="from en into: pt-BR"):
            chosen_route("en", "es", NO_APERTIUM_CONFIG)


class TestBergamot:
    def test_in_the_does_not_become_not(self):
        engine = Bergamot(hop("bergamot en>pt-BR"))
        (garden, birth) = engine.translate(["I live in the garden in Brazil.", "I was born in the year 2000."])
        assert garden.text == "Eu moro no jardim no Brasil."
        assert "não" not in birth.text and "2000" in birth.text

    def test_portuguese_to_english_keeps_names(self):
        (answer,) = Bergamot(hop("bergamot pt-BR>en")).translate(["Ele mora no Rio de Janeiro."])
        assert answer.text == "He lives in Rio de Janeiro."

    def test_an_empty_text_stays_empty(self):
        assert [t.text for t in Bergamot(hop("bergamot en>pt-BR")).translate(["", "  "])] == ["", ""]


class TestApertium:
    @needs("pt-es")
    def test_translates_line_by_line_and_names_unknown_words(self):
        answers = Apertium(hop("apertium pt-BR>es")).translate(
            ["As meninas não falaram com a mãe.", "", "Eu vi o Zxqwert ontem.", "Bom dia!"]
        )
        assert [answer.text for answer in answers] == [
            "Las niñas no hablaron con la madre.", "", "Yo vi el Zxqwert ayer.", "Buen día!",
        ]  # fmt: skip
        assert [answer.unknown for answer in answers] == [(), (), ("Zxqwert",), ()]

    @needs("pt-es")
    def test_marks_and_shell_signs_in_the_text_itself_stay(self):
        (answer,) = Apertium(hop("apertium pt-BR>es")).translate(["Nota: $(rm x) [a] * *casa; `b` 50%"])
        assert "$(" in answer.text and "* " in answer.text and "50%" in answer.text and "[a]" in answer.text

    @needs("pt-es")
    def test_text_over_several_lines_is_one_text(self):
        answers = Apertium(hop("apertium pt-BR>es")).translate(["Bom\n\ndia", "Boa\nnoite"])
        assert len(answers) == 2 and all("\n" not in answer.text for answer in answers)

    @pytest.mark.parametrize("name", [h.name for h in EVERYTHING if h.engine == "apertium"])
    def test_every_direction_of_the_table_translates(self, name):
        direction = hop(name)
        if direction.mode not in apertium.modes():
            pytest.skip(f"apertium has no {direction.mode} on this machine")
        greeting = {
            "pt-BR": "A casa é grande", "es": "La casa es grande", "ca": "La casa és gran",
            "gl": "A casa é grande", "fr": "La maison est grande", "it": "La casa è grande",
        }  # fmt: skip
        (answer,) = Apertium(direction).translate([greeting[direction.source]])
        assert answer.unknown == ()
        stem = {
            "pt-BR": "grande",
            "es": "grande",
            "ca": "gran",
            "gl": "grande",
            "fr": "grande",
            "it": "grande",
        }
        assert stem[direction.target] in answer.text

    def test_a_direction_that_is_not_installed_says_what_to_install(self, monkeypatch):
        monkeypatch.setattr(apertium, "modes", frozenset)
        with pytest.raises(MissingEngineError, match="apt-get install apertium apertium-es-pt"):
            Apertium(hop("apertium pt-BR>es"))


class TestStage:
    def test_english_becomes_portuguese_with_ids_and_slots_kept(self, tmp_path: Path):
        source = transcript("en", "Good morning, my friend.", "The house is in the city.")
        seen: list[float] = []
        config = TranslateConfig()
        chosen = chosen_route("en", "pt", config)
        script = translate(source, Separation().at(tmp_path), chosen, *NOTHING, config, tmp_path, seen.append)
        assert script.target == "pt-BR" and script.route == ("bergamot en>pt-BR",)
        assert [line.text for line in script.lines] == ["Bom dia, meu amigo.", "A casa é na cidade."]
        assert [(a.id, a.speaker, a.start_ms, a.end_ms) for a in script.lines] == [
            (b.id, b.speaker, b.start_ms, b.end_ms) for b in source.lines
        ]
        assert [line.source_text for line in script.lines] == [line.text for line in source.lines]
        assert seen == sorted(seen) and seen[-1] == 1.0

    @needs("pt-es")
    def test_unknown_words_flag_their_line(self, tmp_path: Path):
        config = TranslateConfig()
        source = transcript("pt-BR", "Eu vi o Zxqwert ontem.", "Bom dia.")
        chosen = chosen_route("pt-BR", "es", config)
        script = translate(source, Separation().at(tmp_path), chosen, *NOTHING, config, tmp_path, silent)
        assert [line.flags for line in script.lines] == [("unknown word: Zxqwert",), ()]

    def test_speech_is_heard_in_english_line_by_line(self, tmp_path: Path, portuguese_speech: np.ndarray):
        pause = np.zeros(2 * sound.SPEECH_RATE_HZ, np.float32)
        sound.write(
            tmp_path / "voice_16k.wav",
            np.concatenate([pause, portuguese_speech, pause]),
            sound.SPEECH_RATE_HZ,
        )
        end_ms = 2000 + 1000 * len(portuguese_speech) // sound.SPEECH_RATE_HZ
        lines = (
            Line(id=1, speaker="S1", start_ms=0, end_ms=1500, text="?", words=()),
            Line(id=2, speaker="S1", start_ms=2000, end_ms=end_ms, text="A casa é grande", words=()),
        )
        source = Transcript(language="pt-BR", language_probability=1.0, lines=lines, unprocessed=())
        config = TranslateConfig(engines=("whisper",))
        chosen = chosen_route("pt-BR", "en", config)
        script = translate(source, Separation().at(tmp_path), chosen, *NOTHING, config, tmp_path, silent)
        assert script.route == ("whisper pt>en",)
        assert re.search(r"house|home", script.lines[1].text.lower())


@pytest.fixture
def portuguese_speech() -> np.ndarray:
    """A sentence spoken by the project's own synthesiser, float32 at 16 kHz."""
    from language_packs import G2P, g2p
    from stages.synthesize import kokoro

    ipa = g2p.phonemize("A minha casa é muito grande e muito bonita.", G2P(code="pt-br"))
    samples = kokoro.KokoroEngine().speak(ipa, "jm_kumo").samples
    return sound.resample(samples, kokoro.RATE_HZ, sound.SPEECH_RATE_HZ)
