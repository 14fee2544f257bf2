"""The ``llm`` engine against a real server process: right answers, every misbehaviour, and what leaves the machine."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from language_packs import Wordings, load_pack, load_shortening
from stages import pipeline
from stages.artifacts import Line, Script, Separation, SourceVideo, Transcript
from stages.errors import InputError, MissingEngineError
from stages.progress import silent
from stages.store import Store
from stages.translate import (
    LlmConfig,
    References,
    TranslateConfig,
    check_pair,
    chosen_route,
    possible_targets,
    translate,
)
from stages.translate.glossary import Glossary, Term
from stages.translate.llm_protocol import Asked, BadReplyError, answers, messages
from stages.translate.memory import Entry, Memory

KEY = "sk-secret-of-the-test"
HERE = Path(__file__).parent
LINES = ("Good morning, my friend.", "I really like the house.", "It is in the city.", "We go there today.")


@dataclass(frozen=True)
class Server:
    url: str
    log: Path

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def asked(self, number: int) -> dict[str, Any]:
        return json.loads(self.requests[number]["body"]["messages"][1]["content"])

    def sizes(self) -> list[int]:
        return [len(self.asked(number)["lines"]) for number in range(len(self.requests))]


Serve = Callable[[str], Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    running: list[subprocess.Popen[str]] = []

    def start(behaviour: str) -> Server:
        log = tmp_path / f"{behaviour}.jsonl"
        process = subprocess.Popen(
            [sys.executable, str(HERE / "llm_server.py"), str(log), behaviour], stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        assert process.stdout is not None
        return Server(f"http://127.0.0.1:{int(process.stdout.readline())}/v1", log)

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBWRIGHT_LLM_KEY", KEY)


def settings(server: Server, formality: Any = None, **llm: Any) -> TranslateConfig:
    return TranslateConfig(
        engine="llm", formality=formality, llm=LlmConfig(base_url=server.url, model="m", **{"time_limit_s": 20, **llm})
    )


def lines(texts: Sequence[str]) -> tuple[Line, ...]:
    return tuple(
        Line(id=n, speaker="S1", start_ms=n * 3000, end_ms=n * 3000 + 2000, text=text, words=())
        for n, text in enumerate(texts, start=1)
    )


def transcript(texts: Sequence[str], language: str = "en") -> Transcript:
    return Transcript(language=language, language_probability=1.0, lines=lines(texts), unprocessed=())


def dub(
    config: TranslateConfig,
    texts: Sequence[str] = LINES,
    target: str = "pt-BR",
    references: References = References(),  # noqa: B008
    wordings: Wordings = Wordings(),  # noqa: B008
    seen: list[float] | None = None,
) -> Script:
    route = chosen_route("en", target, config)
    progress = silent if seen is None else seen.append
    return translate(transcript(texts), Separation(), route, wordings, references, config, Path(), progress)


def texts_of(script: Script) -> list[str]:
    return [line.text for line in script.lines]


TRANSLATED = [f"pt: {text}" for text in LINES]


class TestRight:
    def test_every_line_is_translated_in_one_request(self, serve: Serve) -> None:
        server, seen = serve("right"), []
        script = dub(settings(server), seen=seen)
        assert texts_of(script) == TRANSLATED
        assert all(line.flags == () for line in script.lines)
        assert script.route == ("llm en>pt-BR",)
        assert server.sizes() == [4]
        assert seen == sorted(seen) and seen[-1] == 1.0

    def test_the_shorter_version_is_an_alternative(self, serve: Serve) -> None:
        script = dub(settings(serve("right")))
        assert script.lines[1].alternatives == ("pt: I like the house.",)
        assert script.lines[0].alternatives == ()

    def test_a_shorter_version_that_loses_a_number_is_not(self, serve: Serve) -> None:
        script = dub(settings(serve("mistranslated")), ["There are 20 of them."])
        assert script.lines[0].alternatives == ()
        assert "number: 20 is not in the translation" in script.lines[0].flags

    def test_how_many_phones_fit_is_asked_for(self, serve: Serve) -> None:
        server = serve("right")
        dub(settings(server), references=References(phones_per_second=14.0))
        assert [line["phones"] for line in server.asked(0)["lines"]] == [28] * 4

    def test_what_is_around_a_batch_goes_along_with_the_translations_made(self, serve: Serve) -> None:
        server = serve("right")
        dub(settings(server, batch=2))
        assert server.sizes() == [2, 2]
        first, second = server.asked(0), server.asked(1)
        assert first["before"] == [] and [each["text"] for each in first["after"]] == list(LINES[2:])
        assert (
            second["before"] == [{"text": text, "translation": f"pt: {text}"} for text in LINES[:2]]
            and second["after"] == []
        )

    def test_a_sentence_over_lines_is_asked_for_once_and_cut(self, serve: Serve) -> None:
        server = serve("right")
        script = dub(settings(server), ["I told you that", "we live here.", "Yes."])
        assert [line["text"] for line in server.asked(0)["lines"]] == ["I told you that we live here.", "Yes."]
        assert " ".join(texts_of(script)[:2]) == "pt: I told you that we live here."

    def test_what_the_memory_knows_goes_along_and_is_not_asked_for(self, serve: Serve) -> None:
        server = serve("right")
        memory = Memory(entries=(Entry(source=LINES[0], target="Bom dia, meu caro."),))
        script = dub(settings(server), references=References(memory=memory))
        assert script.lines[0].text == "Bom dia, meu caro." and script.lines[0].origin == "memory"
        assert server.asked(0)["before"] == [{"text": LINES[0], "translation": "Bom dia, meu caro."}]
        assert len(server.asked(0)["lines"]) == 3

    def test_the_glossary_terms_that_are_said_are_given_and_checked(self, serve: Serve) -> None:
        server = serve("right")
        glossary = Glossary(
            terms=(Term(term="house", translation="casarão"), Term(term="board", translation="conselho"))
        )
        script = dub(settings(server), references=References(glossary=glossary))
        assert server.asked(0)["terms"] == [{"term": "house", "translation": "casarão"}]
        assert "glossary: 'house' is not 'casarão' in the translation" in script.lines[1].flags
        assert server.sizes() == [4, 4]  # it is told what is lacking, once

    def test_a_term_that_is_lacking_is_asked_for_again(self, serve: Serve) -> None:
        server = serve("heeds_when_told")
        glossary = Glossary(terms=(Term(term="house", translation="casarão"),))
        script = dub(settings(server), references=References(glossary=glossary))
        assert script.lines[1].text == "pt: I really like the casarão." and script.lines[1].flags == ()
        assert server.requests[1]["body"]["messages"][2]["content"].startswith(
            "Your answer to this was refused: it lacks 'casarão'."
        )

    def test_a_sentence_with_fewer_words_than_lines_is_asked_for_line_by_line(self, serve: Serve) -> None:
        server = serve("mistranslated")
        script = dub(settings(server), ["we", "all", "live", "here.", "Yes."])
        assert texts_of(script) == ["pt: algo"] * 5
        assert [[line["text"] for line in server.asked(number)["lines"]] for number in range(2)] == [
            ["we all live here.", "Yes."], ["we", "all", "live", "here."],
        ]  # fmt: skip
        assert server.asked(1)["after"] == [{"text": "Yes.", "translation": "pt: algo"}]

    def test_a_sentence_of_the_memory_goes_along_whole(self, serve: Serve) -> None:
        server = serve("right")
        memory = Memory(entries=(Entry(source="I told you that we live here.", target="Eu disse que moramos aqui."),))
        dub(settings(server), ["I told you that", "we live here.", "Yes."], references=References(memory=memory))
        assert server.asked(0)["before"] == [
            {"text": "I told you that we live here.", "translation": "Eu disse que moramos aqui."}
        ]

    @pytest.mark.parametrize(("formality", "said"), [("formal", "formally"), ("informal", "informally")])
    def test_the_register_is_asked_for(self, serve: Serve, formality: str, said: str) -> None:
        server = serve("right")
        dub(settings(server, formality))
        assert said in server.requests[0]["body"]["messages"][0]["content"]

    def test_no_temperature_and_a_seed(self, serve: Serve) -> None:
        server = serve("right")
        dub(settings(server))
        body = server.requests[0]["body"]
        assert (body["temperature"], body["seed"]) == (0.0, 1)
        asked = body["response_format"]["json_schema"]
        assert asked["strict"] is True
        assert asked["schema"]["properties"]["lines"]["items"]["properties"]["id"]["enum"] == [1, 2, 3, 4]
        dub(settings(server, temperature=None, seed=None, reply="text", max_tokens=99))
        body = server.requests[-1]["body"]
        assert set(body) == {"model", "messages", "max_tokens"}

    def test_the_store_keeps_the_answer_and_not_the_key(self, serve: Serve, tmp_path: Path) -> None:
        server = serve("right")
        config = settings(server)
        store = Store(tmp_path / "work", SourceVideo(path=tmp_path / "x.mp4", sha256="0" * 64))
        inputs = (transcript(LINES), Separation(), chosen_route("en", "pt-BR", config), Wordings(), References())
        first, _ = store.run(pipeline.TRANSLATE, inputs, config, "pt-BR", silent)
        again, run = store.run(pipeline.TRANSLATE, inputs, config, "pt-BR", silent)
        assert first == again and run.from_store and run.engine == "llm"
        assert len(server.requests) == 1
        kept = [file for file in (tmp_path / "work").rglob("*") if file.is_file()]
        assert kept and all(KEY not in file.read_text() for file in kept)

    def test_control_signs_go_and_joiners_stay(self, serve: Serve) -> None:
        script = dub(settings(serve("control_signs")), ["Yes."])
        assert script.lines[0].text == "pt: Yes. mi\u200ckham"

    def test_silent_lines_are_not_asked_for(self, serve: Serve) -> None:
        server = serve("right")
        assert texts_of(dub(settings(server), ["", "Yes.", " "])) == ["", "pt: Yes.", ""]
        assert server.sizes() == [1]

    def test_a_name_that_is_translated_is_not_flagged(self, serve: Serve) -> None:
        script = dub(settings(serve("mistranslated")), ["I come from Germany."])
        assert script.lines[0].flags == ()  # the server makes the same of the name alone

    def test_a_text_that_comes_back_untranslated_is_flagged(self, serve: Serve) -> None:
        script = dub(settings(serve("returned")), ["Good morning, my friend.", "OK, Maria."])
        assert [line.flags for line in script.lines] == [("the llm gave the text back as it was",), ()]

    def test_any_pair_can_be_done(self, serve: Serve) -> None:
        config = settings(serve("right"))
        check_pair("en", "ja", config)
        check_pair(None, "sw", config)
        assert possible_targets("en", config, ("en", "en-GB", "ja", "pt-BR")) == ("ja", "pt-BR")
        with pytest.raises(InputError, match="already"):
            check_pair("en", "en-GB", config)


class TestBadAnswers:
    """An answer that is not taken is asked for again, then in halves, then falls to the next translator."""

    @pytest.mark.parametrize("behaviour", ["merged", "doubled", "cut_off"])
    def test_batches_are_split_until_the_ids_match(self, serve: Serve, behaviour: str) -> None:
        server = serve(behaviour)
        script = dub(settings(server))
        assert texts_of(script) == TRANSLATED and all(line.flags == () for line in script.lines)
        assert server.sizes() == [4, 4, 2, 2, 1, 1, 2, 2, 1, 1]

    def test_why_is_said_when_asked_again_with_another_seed(self, serve: Serve) -> None:
        server = serve("truncated_once")
        assert texts_of(dub(settings(server))) == TRANSLATED
        first, second = server.requests
        assert (first["body"]["seed"], second["body"]["seed"]) == (1, 2)
        assert "no complete JSON" in second["body"]["messages"][2]["content"]

    def test_wrong_ids_everywhere_fall_to_the_measured_route(self, serve: Serve) -> None:
        script = dub(settings(serve("shifted"), attempts=1), LINES[:2])
        assert texts_of(script) == ["Bom dia, meu amigo.", script.lines[1].text]
        assert script.lines[0].flags == (
            "translated by bergamot en>pt-BR, not by the llm: ids 1 missing; 2 not asked for",
        )

    def test_one_bad_line_does_not_spoil_the_others(self, serve: Serve) -> None:
        script = dub(settings(serve("emptied")), ["Yes.", "I see nothing.", "No.", "Good morning."])
        assert [bool(line.flags) for line in script.lines] == [False, True, False, False]
        assert script.lines[1].flags[0].endswith("ids 2 without a text")
        assert "nada" in script.lines[1].text

    @pytest.mark.parametrize(("behaviour", "why"), [("refusal", "the model refused"), ("content_filter", "filter")])
    def test_a_refused_line(self, serve: Serve, behaviour: str, why: str) -> None:
        script = dub(settings(serve(behaviour)), ["This is forbidden.", "Yes.", "No."])
        assert texts_of(script)[1:] == ["pt: Yes.", "pt: No."]
        assert why in script.lines[0].flags[0] and "bergamot" in script.lines[0].flags[0]

    def test_a_line_that_nothing_else_translates_is_listed(self, serve: Serve) -> None:
        script = dub(settings(serve("refusal")), ["This is forbidden.", "Yes."], target="ja")
        assert script.lines[0].text == ""
        assert script.lines[0].flags == (
            "not translated: the model refused, and no embedded engine translates English (en) into Japanese (ja)",
        )
        assert script.lines[1].text == "pt: Yes."

    @pytest.mark.parametrize(
        ("behaviour", "why"),
        [
            ("prose", "the answer is no complete JSON"),
            ("strangely_typed", "the answer is not of the form asked for"),
            ("no_choices", "the answer is no chat completion"),
            ("html", "the answer is no chat completion"),
        ],
    )
    def test_what_is_no_answer_at_all(self, serve: Serve, behaviour: str, why: str) -> None:
        script = dub(settings(serve(behaviour)), ["Good morning."])
        assert script.lines[0].text == "Bom dia." and script.lines[0].flags[0].endswith(why)

    def test_json_in_a_fence_is_taken(self, serve: Serve) -> None:
        assert texts_of(dub(settings(serve("fenced")), ["Yes."])) == ["pt: Yes."]

    def test_a_fallback_line_keeps_the_glossary(self, serve: Serve) -> None:
        glossary = Glossary(terms=(Term(term="house", translation="casarão"),))
        script = dub(settings(serve("prose")), ["The house is big."], references=References(glossary=glossary))
        assert "casarão" in script.lines[0].text

    def test_a_request_that_is_too_long_is_sent_in_parts_with_less_around(self, serve: Serve) -> None:
        server = serve("short_context")
        texts = [f"This is sentence {'very ' * 30}long, number {number}, and it ends here." for number in range(8)]
        assert texts_of(dub(settings(server, batch=8, context=8), texts)) == [f"pt: {text}" for text in texts]
        assert max(server.sizes()) == 8 and len(server.sizes()) > 1


class TestTroubleOnTheWay:
    def test_a_busy_server_is_asked_again_when_it_said(self, serve: Serve) -> None:
        server = serve("busy_once")
        assert texts_of(dub(settings(server))) == TRANSLATED
        first, second = server.requests
        assert second["time"] - first["time"] >= 1.0

    @pytest.mark.parametrize("behaviour", ["failing_once", "disconnects_once", "breaks_off_once"])
    def test_a_lost_answer_is_asked_for_again(self, serve: Serve, behaviour: str) -> None:
        server = serve(behaviour)
        assert texts_of(dub(settings(server))) == TRANSLATED
        assert server.sizes() == [4, 4]

    @pytest.mark.parametrize(
        ("behaviour", "said"),
        [
            ("busy", r"is busy or failing \(HTTP 429\), also after 2 retries"),
            ("busy_for_an_hour", "asks to wait 3600 s"),
            ("no_quota", "does not take the request"),
            ("disconnects", "does not answer .*, also after 2 retries"),
            ("unauthorised", "refuses the key in DUBWRIGHT_LLM_KEY"),
            ("no_such_model", "no such address or no model 'm'"),
            ("no_schema", "response_format is not supported"),
            ("redirects", "HTTP 307"),
        ],
    )
    def test_a_server_that_cannot_be_used_is_one_line_and_code_3(self, serve: Serve, behaviour: str, said: str) -> None:
        server = serve(behaviour)
        with pytest.raises(MissingEngineError, match=said) as refusal:
            dub(settings(server, retries=2))
        assert refusal.value.exit_code == 3
        assert "\n" not in str(refusal.value) and KEY not in str(refusal.value)
        assert 1 <= len(server.requests) <= 7

    def test_a_server_that_is_not_there(self) -> None:
        with pytest.raises(MissingEngineError, match=r"127\.0\.0\.1:9 does not answer"):
            dub(settings(Server("http://127.0.0.1:9/v1", Path("none"))))

    def test_a_slow_batch_is_split(self, serve: Serve) -> None:
        server = serve("slow_batches")
        assert texts_of(dub(settings(server, time_limit_s=0.5), LINES[:2])) == TRANSLATED[:2]
        assert server.sizes() == [2, 1, 1]

    def test_a_slow_line_falls_to_the_next_translator(self, serve: Serve) -> None:
        script = dub(settings(serve("slow_line"), time_limit_s=0.5, batch=1), ["It is forbidden.", "Yes."])
        assert script.lines[0].flags[0].endswith("no answer within 0.5 s") and script.lines[1].text == "pt: Yes."

    def test_a_server_that_is_always_too_slow_ends_the_run(self, serve: Serve) -> None:
        with pytest.raises(MissingEngineError, match="not even for single lines"):
            dub(settings(serve("slow"), time_limit_s=0.3, batch=1))

    def test_without_a_key_none_is_sent(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DUBWRIGHT_LLM_KEY")
        server = serve("right")
        dub(settings(server))
        assert "Authorization" not in server.requests[0]["headers"]
        with pytest.raises(MissingEngineError, match="asks for a key; set DUBWRIGHT_LLM_KEY"):
            dub(settings(serve("unauthorised")))


class TestPrivacy:
    def test_nothing_but_lines_and_terms_is_sent(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
            monkeypatch.setenv(name, "of-another-server")
        monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Other: of-another-server")
        server = serve("right")
        glossary = Glossary(terms=(Term(term="house", translation="casarão"),))
        references = References(glossary=glossary, phones_per_second=14.0)
        dub(settings(server, attempts=1), references=references)
        (request,) = server.requests
        assert request["path"] == "/v1/chat/completions"
        headers = {name.lower(): value for name, value in request["headers"].items()}
        assert set(headers) <= {
            "host", "accept", "accept-encoding", "connection", "content-type", "content-length", "authorization",
            "user-agent",
        }  # fmt: skip
        assert headers["authorization"] == f"Bearer {KEY}" and headers["user-agent"] == "dubwright"
        body = request["body"]
        assert set(body) == {"model", "messages", "temperature", "seed", "response_format"}
        task, given = (message["content"] for message in body["messages"])
        assert not any(text in task for text in (*LINES, "house", "S1", KEY))
        assert json.loads(given) == {
            "terms": [{"term": "house", "translation": "casarão"}],
            "before": [],
            "lines": [{"id": n, "text": text, "phones": 28} for n, text in enumerate(LINES, start=1)],
            "after": [],
        }
        assert "of-another-server" not in json.dumps(request)

    def test_the_key_is_in_no_setting(self, serve: Serve) -> None:
        assert KEY not in settings(serve("right")).model_dump_json()


class TestSettings:
    @pytest.mark.parametrize(
        ("url", "model", "said"),
        [
            (None, "m", "DUBWRIGHT_TRANSLATE__LLM__BASE_URL="),
            ("http://127.0.0.1:1/v1", None, "DUBWRIGHT_TRANSLATE__LLM__MODEL="),
        ],
    )
    def test_what_is_not_set_is_said_with_the_command(self, url: str | None, model: str | None, said: str) -> None:
        with pytest.raises(MissingEngineError, match=said):
            check_pair("en", "ja", TranslateConfig(engine="llm", llm=LlmConfig(base_url=url, model=model)))

    @pytest.mark.parametrize(
        "url", ["ftp://a/v1", "localhost:8080", "http://", "http://a:port/v1", "http://[::1/v1", "http://me:pw@a/v1",
                "http://a/v1?key=1"],
    )  # fmt: skip
    def test_an_address_that_is_none_or_holds_a_secret(self, url: str) -> None:
        with pytest.raises(InputError, match=r"translate\.llm\.base_url") as refusal:
            check_pair("en", "ja", TranslateConfig(engine="llm", llm=LlmConfig(base_url=url, model="m")))
        assert "pw" not in str(refusal.value)

    def test_a_key_that_cannot_be_one_is_not_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DUBWRIGHT_LLM_KEY", "geheim\u00e4 x")
        with pytest.raises(InputError, match="DUBWRIGHT_LLM_KEY holds signs") as refusal:
            check_pair("en", "ja", TranslateConfig(engine="llm", llm=LlmConfig(base_url="http://a/v1", model="m")))
        assert "geheim" not in str(refusal.value)

    @pytest.mark.parametrize(
        ("engine", "extra"), [("llm", "llm"), ("nllb", "transformers"), ("opus-mt", "transformers")]
    )
    def test_a_package_that_is_not_installed(self, engine: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
        with pytest.raises(MissingEngineError, match=rf'pip install "dubwright\[{extra}\]"') as refusal:
            check_pair("en", "pt-BR", TranslateConfig(engine=engine))
        assert refusal.value.exit_code == 3

    @pytest.mark.parametrize("engine", ["measured", "nllb", "m2m100", "madlad", "opus-mt"])
    def test_a_register_that_an_engine_cannot_choose(self, engine: str) -> None:
        with pytest.raises(InputError, match=f"--formal: translate.engine {engine} cannot choose .*llm can"):
            check_pair("en", "pt-BR", TranslateConfig(engine=engine, formality="formal"))

    def test_an_engine_that_does_not_exist(self) -> None:
        with pytest.raises(InputError, match=r"translate\.engine: there is no engine 'gpt'; .*measured, llm, m2m100"):
            check_pair("en", "pt-BR", TranslateConfig(engine="gpt", formality="formal"))


class TestAnswers:
    def test_the_order_does_not_matter(self) -> None:
        found = answers('{"lines": [{"id": 2, "text": "b", "shorter": ""}, {"id": 1, "text": "a"}]}', [1, 2])
        assert {number: answer.text for number, answer in found.items()} == {1: "a", 2: "b"}

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            ('{"lines": [{"id": 1, "text": "a"}', "no complete JSON"),
            ('{"lines": [{"id": 1}]}', "not of the form"),
            ('[{"id": 1, "text": "a"}]', "not of the form"),
            ("", "no complete JSON"),
            ('{"lines": []}', "ids 1 missing"),
            ('{"lines": [{"id": 1, "text": "a"}, {"id": 9, "text": "b"}]}', "ids 9 not asked for"),
            ('{"lines": [{"id": 1, "text": "a"}, {"id": 1, "text": "b"}]}', "ids 1 there twice"),
            ('{"lines": [{"id": 1, "text": " \\n"}]}', "ids 1 without a text"),
            ('{"lines": [{"id": true, "text": "a"}]}', "not of the form"),
        ],
    )
    def test_what_is_not_taken(self, content: str, why: str) -> None:
        with pytest.raises(BadReplyError, match=why):
            answers(content, [1])

    def test_the_languages_are_named(self) -> None:
        (task, _) = messages([Asked(1, "x")], [], [], [], ("en", "pt-BR"), None, None)
        assert "English (en) into Portuguese (Brazil) (pt-BR)" in task["content"]


def test_target_shortening_rules_go_on_from_the_models_words(serve: Serve) -> None:
    wordings = Wordings(source=load_shortening("en"), target=load_shortening("pt-BR"))
    bound = load_pack("pt-BR").subtitles.no_break_after
    script = dub(settings(serve("right")), references=References(bound=bound), wordings=wordings)
    assert all(len(text) < len(line.text) for line in script.lines for text in line.alternatives)
