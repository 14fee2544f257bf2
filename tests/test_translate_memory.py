"""Translation memories: TMX and XLIFF in and out, what wins, and what is not read."""

from __future__ import annotations

from pathlib import Path

import pytest

from language_packs import Wordings
from stages.artifacts import Line, Script, ScriptLine, Separation, Transcript
from stages.errors import InputError
from stages.progress import silent
from stages.translate import References, TranslateConfig, chosen_route, translate
from stages.translate.exchange import check_exports, export, read_units, tmx, xliff
from stages.translate.memory import Entry, Memory, check_memories, read_memory

TMX = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header creationtool="x" creationtoolversion="1" segtype="sentence" o-tmf="x" adminlang="en"
 srclang="en" datatype="plaintext"/><body>
<tu><tuv xml:lang="en-US"><seg>Good <bpt i="1">&lt;b></bpt>morning<ept i="1">&lt;/b></ept>,
 my <hi>friend</hi>.</seg></tuv>
 <tuv xml:lang="pt-br"><seg>Olá, camarada.</seg></tuv><tuv xml:lang="de"><seg>Guten Tag.</seg></tuv></tu>
<tu><tuv lang="en"><seg>Empty.</seg></tuv><tuv lang="pt-BR"><seg> </seg></tuv></tu>
</body></tmx>"""

SCRIPT = Script(
    source="en",
    target="pt-BR",
    route=("bergamot en>pt-BR",),
    lines=tuple(
        ScriptLine(id=n, speaker="S1", start_ms=n * 1000, end_ms=n * 1000 + 900, source_text=said, text=text, **more)
        for n, said, text, more in (
            (1, "It is <1 & done.", "Está <1 & feito.", {"flags": ("unknown word: done",)}),
            (2, "Yes.", "Sim.", {"full_text": "Sim, claro."}),
            (3, "Yes.", "Sim.", {"full_text": "Sim, claro."}),
            (4, "Hm\x02.", "", {}),
        )
    ),
)


@pytest.fixture
def written(tmp_path: Path):
    def write(content: str | bytes, name: str = "my.tmx") -> Path:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path / name

    return write


class TestReading:
    def test_a_memory_of_another_program(self, written):
        memory = read_memory([written(TMX)], "en", "pt-BR")
        assert memory.entries == (Entry(source="Good morning, my friend.", target="Olá, camarada."),)

    def test_only_the_pair_counts(self, written):
        file = written(TMX)
        assert read_memory([file], "en", "de").entries[0].target == "Guten Tag."
        other = written(TMX.replace("Guten Tag.", "Moin."))
        assert read_memory([file], "en", "pt-BR").digest == read_memory([other], "en", "pt-BR").digest

    def test_in_another_encoding(self, written):
        file = written(TMX.replace("UTF-8", "UTF-16").encode("utf-16"))
        assert len(read_memory([file], "en", "pt-BR").entries) == 1

    @pytest.mark.parametrize("version", ["2.0", "2.1"])
    def test_another_version_of_xliff_is_named(self, written, version):
        file = written(f'<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="{version}"/>')
        with pytest.raises(InputError, match=rf"is XLIFF {version}; XLIFF 1.2 is read"):
            read_units(file)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "is no TMX or XLIFF file"),
            ("term,translation\n", "is no TMX or XLIFF file"),
            ("<html/>", "begins with <html>"),
            (TMX[: len(TMX) // 2], "is no TMX or XLIFF file"),
            (TMX.replace("pt-br", "klingon!"), "is not a language tag"),
            (TMX.replace("UTF-8", "no-such-encoding"), "is no TMX or XLIFF file"),
            (TMX.replace("camarada", "dire\xe7\xe3o").encode("latin-1"), "is no TMX or XLIFF file"),
            (
                TMX.replace('SYSTEM "tmx14.dtd"', '[<!ENTITY e SYSTEM "file:///etc/passwd">]').replace("Olá", "&e;"),
                "not safe to read",
            ),
            (
                TMX.replace('SYSTEM "tmx14.dtd"', '[<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]').replace("Olá", "&b;"),
                "not safe to read",
            ),
            (
                TMX.replace('SYSTEM "tmx14.dtd"', '[<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd"> %p;]'),
                "not safe to read",
            ),
            (
                '<xliff xmlns="urn:oasis:names:tc:xliff:document:1.2" version="1.2"><file/></xliff>',
                "does not say source-language",
            ),
        ],
    )
    def test_what_is_none_is_refused_in_one_line(self, written, content, message):
        with pytest.raises(InputError) as refusal:
            read_units(written(content))
        assert message in str(refusal.value) and "\n" not in str(refusal.value)
        assert str(refusal.value).startswith("--memory ")

    def test_no_such_file_a_folder_and_a_huge_file(self, tmp_path):
        with pytest.raises(InputError, match="there is no such file"):
            read_units(tmp_path / "nothing.tmx")
        with pytest.raises(InputError, match="is a folder"):
            read_units(tmp_path)
        with (tmp_path / "huge.tmx").open("wb") as huge:
            huge.truncate(100 << 20)
        with pytest.raises(InputError, match="has 100 MB; at most 64 MB"):
            read_units(tmp_path / "huge.tmx")

    def test_a_file_for_none_of_the_languages_is_refused(self, written):
        file = written(TMX)
        check_memories([file], None, ["es", "pt-BR"])
        check_memories([file], "en-GB", ["pt-BR"])
        with pytest.raises(InputError, match="has no translation into es; it has: de, en, en-US, pt-BR"):
            check_memories([file], None, ["es"])
        with pytest.raises(InputError, match="has no translation from French into pt-BR"):
            check_memories([file], "fr", ["pt-BR"])


class TestWriting:
    def test_tmx_comes_back_with_whole_translations_each_pair_once(self, written):
        memory = read_memory([written(tmx(SCRIPT, "clip"))], "en", "pt-BR")
        assert [(entry.source, entry.target, entry.line) for entry in memory.entries] == [
            ("It is <1 & done.", "Está <1 & feito.", None), ("Yes.", "Sim, claro.", None),
        ]  # fmt: skip

    def test_xliff_comes_back_line_by_line_as_it_is_spoken(self, written):
        edited = xliff(SCRIPT, "clip").decode().replace(">Sim.<", ">Pois sim.<", 1)
        memory = read_memory([written(edited, "my.xlf")], "en", "pt-BR")
        assert [(entry.source, entry.target, entry.line) for entry in memory.entries] == [
            ("It is <1 & done.", "Está <1 & feito.", 1), ("Yes.", "Pois sim.", 2), ("Yes.", "Sim.", 3),
        ]  # fmt: skip

    def test_xliff_says_times_and_flags(self):
        content = xliff(SCRIPT, "clip").decode()
        assert "1.0-1.9 s; unknown word: done" in content and 'state="needs-review-translation"' in content

    def test_xliff_of_another_program_says_no_lines(self, written):
        other = xliff(SCRIPT, "clip").decode().replace('tool-id="dubwright"', "")
        memory = read_memory([written(other, "my.xlf")], "en", "pt-BR")
        assert {entry.line for entry in memory.entries} == {None}

    def test_the_same_script_gives_the_same_bytes(self):
        assert tmx(SCRIPT, "a") == tmx(SCRIPT, "a") and xliff(SCRIPT, "a") == xliff(SCRIPT, "a")

    def test_files_lie_beside_the_dub(self, tmp_path):
        export(("tmx", "xlf"), tmp_path, "clip", SCRIPT)
        assert sorted(file.name for file in tmp_path.iterdir()) == ["clip.pt-BR.tmx", "clip.pt-BR.xlf"]

    def test_a_file_that_is_read_is_not_replaced(self, tmp_path):
        given = tmp_path / "clip.pt-BR.xlf"
        check_exports(("tmx",), tmp_path, "clip", ["pt-BR"], [given])
        with pytest.raises(InputError, match="would be replaced"):
            check_exports(("tmx", "xlf"), tmp_path, "clip", ["pt-BR"], [given])
        with pytest.raises(InputError, match="there is no export 'po'"):
            check_exports(("po",), tmp_path, "clip", ["pt-BR"], [])


def dubbed(memory: Memory, *texts: str) -> Script:
    lines = tuple(
        Line(id=n, speaker="S1", start_ms=n * 3000, end_ms=n * 3000 + 2500, text=text, words=())
        for n, text in enumerate(texts, start=1)
    )
    transcript = Transcript(language="en", language_probability=1.0, lines=lines, unprocessed=())
    config = TranslateConfig()
    route, references = chosen_route("en", "pt-BR", config), References(memory=memory)
    return translate(transcript, Separation().at(Path()), route, Wordings(), references, config, Path(), silent)


def memory(*entries: tuple[str, str] | tuple[str, str, int]) -> Memory:
    return Memory(entries=tuple(Entry(**dict(zip(("source", "target", "line"), e, strict=False))) for e in entries))


class TestStage:
    def test_an_exact_match_wins_and_is_marked(self):
        script = dubbed(memory(("Good morning, my friend.", "Olá!")), "Good morning,  my friend.", "I love the city.")
        assert [(line.text, line.origin) for line in script.lines] == [
            ("Olá!", "memory"), ("Eu amo a cidade.", "engine"),
        ]  # fmt: skip
        assert script.route == ("memory", "bergamot en>pt-BR")
        assert script.lines[0].alternatives == () and script.lines[0].flags == ()

    def test_what_does_not_match_exactly_is_translated(self):
        script = dubbed(memory(("Good morning, my friend!", "Olá!")), "Good morning, my friend.")
        assert script.lines[0].text == "Bom dia, meu amigo." and script.route == ("bergamot en>pt-BR",)

    def test_a_sentence_over_two_lines_is_cut_over_them(self):
        script = dubbed(memory(("I am from here and I love the city.", "Sou daqui e amo isto.")),
                        "I am from here", "and I love the city.")  # fmt: skip
        assert [line.text for line in script.lines] == ["Sou daqui", "e amo isto."]

    def test_a_line_of_a_sentence_sets_the_others_apart(self):
        script = dubbed(memory(("I am from here", "Cá nasci")), "I am from here", "and I love the city.")
        assert [(line.text, line.origin) for line in script.lines] == [
            ("Cá nasci", "memory"), ("e eu amo a cidade.", "engine"),
        ]  # fmt: skip

    def test_of_several_translations_the_last_one_counts(self):
        assert dubbed(memory(("Yes.", "Sim."), ("Yes.", "É.")), "Yes.").lines[0].text == "É."

    def test_a_line_by_its_id_counts_first_and_only_for_that_line(self):
        script = dubbed(memory(("Yes.", "Sim!"), ("Yes.", "É.", 2)), "Yes.", "Yes.")
        assert [line.text for line in script.lines] == ["Sim!", "É."]
        moved = dubbed(memory(("No.", "Nunca.", 1)), "Yes.", "No.")
        assert all(line.origin == "engine" for line in moved.lines), "the line says something else now"

    def test_a_script_comes_back_whole_through_xliff(self, written):
        first = dubbed(Memory(), "I am from here", "and I love the city.", "Good morning.")
        again = dubbed(read_memory([written(xliff(first, "clip"), "my.xlf")], "en", "pt-BR"),
                       "I am from here", "and I love the city.", "Good morning.")  # fmt: skip
        assert [line.text for line in again.lines] == [line.text for line in first.lines]
        assert {line.origin for line in again.lines} == {"memory"}
