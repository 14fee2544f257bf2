"""The speakers' file: who the voices are, and that a name stays with its voice."""

from pathlib import Path

import numpy as np
import pytest

from flows.finished import check_merged
from stages.artifacts import Diarization, Turn
from stages.diarize import DiarizeConfig
from stages.errors import InputError
from stages.progress import silent
from stages.speakers import Speakers, identify, read_speakers, speakers_file, write_speakers

RNG = np.random.default_rng(7)
VOICES = {
    who: vector / np.linalg.norm(vector)
    for who, vector in zip("abcd", np.maximum(RNG.normal(-0.4, 1, (4, 256)), 0).astype(np.float32), strict=True)
}


def heard(folder: Path, people: str, spread: float = 0.0) -> Diarization:
    """Turns of one second each, e.g. of ``aba``, numbered by first appearance; ``spread``: the vectors differ a bit."""
    folder.mkdir(exist_ok=True)
    numbers = {who: f"S{index + 1}" for index, who in enumerate(dict.fromkeys(people))}
    turns = [
        Turn(speaker=numbers[who], start_ms=1000 * at, end_ms=1000 * at + 900 + 10 * at)
        for at, who in enumerate(people)
    ]
    vectors = {}
    for who, number in numbers.items():
        vector = np.maximum(VOICES[who] + spread * RNG.normal(size=256) / 16, 0)
        vectors[number] = (vector / np.linalg.norm(vector)).astype(np.float32)
    np.savez(folder / "embeddings.npz", allow_pickle=False, **vectors)
    return Diarization(turns=tuple(turns), speakers=tuple(numbers.values())).at(folder)


def known_as(folder: Path, diarization: Diarization, known: Speakers) -> Diarization:
    folder.mkdir(exist_ok=True)
    return identify(diarization, known, DiarizeConfig(), folder, silent).at(folder)


def run(folder: Path, people: str, spread: float = 0.0) -> tuple[Diarization, Speakers]:
    """What a translate does: read, identify, write."""
    file = speakers_file(folder, "clip")
    known = read_speakers(file)
    found = known_as(folder / "known", heard(folder / "heard", people, spread), known)
    write_speakers(file, known, found)
    return found, known


def edit(folder: Path, *changes: tuple[str, str]) -> str:
    file = speakers_file(folder, "clip")
    text = file.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    file.write_text(text)
    return text


def named(folder: Path, number: str, name: str) -> None:
    edit(folder, (f'[speakers.{number}]\nname = ""', f'[speakers.{number}]\nname = "{name}"'))


def spoken(found: Diarization) -> list[str]:
    return [turn.speaker for turn in found.turns]


def test_the_first_run_writes_who_was_found(tmp_path: Path) -> None:
    found, known = run(tmp_path, "aba")
    assert known == Speakers() and spoken(found) == ["S1", "S2", "S1"]
    text = speakers_file(tmp_path, "clip").read_text()
    assert "[speakers.S1]" in text and "first_heard_s = 1.0" in text and "speech_s = 1.8" in text
    assert all(line.startswith("#") for line in text.split("\n\n")[0].splitlines())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["clip.speakers.toml", "heard", "known"]


def test_a_file_that_nobody_edited_is_written_anew(tmp_path: Path) -> None:
    run(tmp_path, "aba")
    found, known = run(tmp_path, "bac")
    assert known == Speakers() and spoken(found) == ["S1", "S2", "S3"]
    assert "[speakers.S3]" in speakers_file(tmp_path, "clip").read_text()


def test_an_edited_file_is_not_touched(tmp_path: Path) -> None:
    run(tmp_path, "aba")
    named(tmp_path, "S2", "Anna")
    before = speakers_file(tmp_path, "clip").read_bytes()
    found, known = run(tmp_path, "aba")
    assert speakers_file(tmp_path, "clip").read_bytes() == before
    assert [known.name(number) for number in found.speakers] == ["S1", "Anna"]


def test_a_comment_is_an_edit_too(tmp_path: Path) -> None:
    run(tmp_path, "aba")
    text = edit(tmp_path, ("[speakers.S2]", "# the one with the hat\n[speakers.S2]"))
    run(tmp_path, "bab")
    assert speakers_file(tmp_path, "clip").read_text() == text


@pytest.mark.parametrize("spread", [0.0, 0.4])
def test_a_name_stays_with_its_voice(tmp_path: Path, spread: float) -> None:
    """Another diarization hears the second speaker first: the numbers of the turns follow the voices."""
    run(tmp_path, "abc")
    named(tmp_path, "S1", "Bruno")
    named(tmp_path, "S2", "Anna")
    found, known = run(tmp_path, "bcab", spread)
    assert [known.name(number) for number in spoken(found)] == ["Anna", "S3", "Bruno", "Anna"]
    with np.load(found.file(found.embeddings)) as vectors:
        assert vectors["S2"] @ VOICES["b"] > 0.9 and vectors["S1"] @ VOICES["a"] > 0.9


def test_a_new_voice_gets_a_number_of_its_own_and_is_added(tmp_path: Path) -> None:
    run(tmp_path, "ab")
    named(tmp_path, "S1", "Bruno")
    before = speakers_file(tmp_path, "clip").read_text()
    found, _ = run(tmp_path, "dab")
    assert spoken(found) == ["S3", "S1", "S2"]
    after = speakers_file(tmp_path, "clip").read_text()
    assert after.startswith(before) and after.count("[speakers.") == 3
    assert read_speakers(speakers_file(tmp_path, "clip")).name("S1") == "Bruno"


def test_a_merge_is_honoured(tmp_path: Path) -> None:
    run(tmp_path, "abca")
    edit(
        tmp_path,
        ("[speakers.S2]\n", '[speakers.S2]\nsame_as = "S3"\n'),
        ("[speakers.S3]\n", '[speakers.S3]\nsame_as = "S1"\n'),
    )
    found, known = run(tmp_path, "abca")
    assert found.speakers == ("S1",) and spoken(found) == ["S1"] * 4
    assert known.merged() == {"S2": "S1", "S3": "S1"}
    with np.load(found.file(found.embeddings)) as vectors:
        assert vectors.files == ["S1"] and np.linalg.norm(vectors["S1"]) == pytest.approx(1, abs=1e-5)
        assert vectors["S1"] @ VOICES["b"] > VOICES["a"] @ VOICES["b"]


def test_a_single_line_is_refused_where_others_are_joined(tmp_path: Path) -> None:
    run(tmp_path, "aba")
    alone = {"speakers": [{"id": "S1", "merged": []}, {"id": "S2", "merged": []}]}
    joined = {"speakers": [{"id": "S1", "merged": ["S2"]}]}
    named(tmp_path, "S1", "Anna")
    check_merged(alone, read_speakers(speakers_file(tmp_path, "clip")))
    with pytest.raises(InputError, match="joins other speakers"):
        check_merged(joined, read_speakers(speakers_file(tmp_path, "clip")))
    edit(tmp_path, ("[speakers.S2]\n", '[speakers.S2]\nsame_as = "S1"\n'))
    check_merged(joined, read_speakers(speakers_file(tmp_path, "clip")))
    with pytest.raises(InputError, match="joins other speakers"):
        check_merged(alone, read_speakers(speakers_file(tmp_path, "clip")))


def test_a_name_redoes_nothing_and_a_merge_does(tmp_path: Path) -> None:
    first, _ = run(tmp_path, "aba")
    first_bytes = first.file(first.embeddings).read_bytes()
    named(tmp_path, "S2", "Anna")
    second, anna = run(tmp_path, "aba")
    assert second == first and second.file(second.embeddings).read_bytes() == first_bytes
    edit(tmp_path, ('name = "Anna"\nfirst', 'name = "Eva"\nfirst'))
    eva = read_speakers(speakers_file(tmp_path, "clip"))
    assert eva.name("S2") == "Eva" and eva.digest == anna.digest
    edit(tmp_path, ('name = "Eva"', 'same_as = "S1"'))
    assert read_speakers(speakers_file(tmp_path, "clip")).digest != anna.digest


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("[speakers.S1]", "[speakers.S1", "is not TOML"),
        ("[speakers.S1]\n", "[speakers.S1]\ncolour = 3\n", "speakers.S1.colour: there is no such key"),
        ("[speakers.S1]\n", "[voices]\n[speakers.S1]\n", "voices: there is no such key"),
        ('name = ""', "name = 7", "speakers.S1.name: must be text in quotes"),
        ('name = ""', 'name = "A\\nB"', "speakers.S1.name: a name is one line"),
        ('name = ""', f'name = "{"x" * 61}"', "speakers.S1.name: a name has at most 60 characters"),
        ("[speakers.S1]\n", '[speakers.S1]\nsame_as = "S9"\n', "S1.same_as: there is no speaker S9; there are: S1, S2"),
        ("[speakers.S1]\n", '[speakers.S1]\nsame_as = "S1"\n', "speakers.S1.same_as: leads back to S1"),
        ('name = ""', 'name = "Eva"\nsame_as = "S2"', "speakers.S1: has a name and same_as; write the name at S2 only"),
        ("[speakers.S1]", "[speakers.Eva]", "speakers.Eva: speakers are called S1, S2"),
        ('voice = "', 'voice = "!', "speakers.S1.voice: the voice is damaged"),
        ('voice = "', 'voice = "AAAA"\n#', "speakers.S1.voice: the voice is damaged"),
        ('voice = "', '# voice = "', "speakers.S1.voice: is missing"),
        ("first_heard_s = 0.0", "first_heard_s = -1", "speakers.S1.first_heard_s: "),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_one_line(tmp_path: Path, before: str, after: str, said: str) -> None:
    run(tmp_path, "ab")
    edit(tmp_path, (before, after))
    with pytest.raises(InputError) as error:
        read_speakers(speakers_file(tmp_path, "clip"))
    message = str(error.value)
    assert said in message and "clip.speakers.toml" in message and "\n" not in message


def test_two_of_one_name_and_a_circle_are_refused(tmp_path: Path) -> None:
    run(tmp_path, "ab")
    text = speakers_file(tmp_path, "clip").read_text()
    speakers_file(tmp_path, "clip").write_text(text.replace('name = ""', 'name = "Eva"'))
    with pytest.raises(InputError, match=r'S1 and S2 are both called Eva; .* write same_as = "S1" at S2'):
        read_speakers(speakers_file(tmp_path, "clip"))
    one, two = text.replace("[speakers.S1]\n", '[speakers.S1]\nsame_as = "S2"\n').split("[speakers.S2]\n")
    speakers_file(tmp_path, "clip").write_text(f'{one}[speakers.S2]\nsame_as = "S1"\n{two}')
    with pytest.raises(InputError, match="leads back to S1"):
        read_speakers(speakers_file(tmp_path, "clip"))


def test_what_is_no_text_file_is_refused(tmp_path: Path) -> None:
    speakers_file(tmp_path, "clip").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="must be a UTF-8 text file"):
        read_speakers(speakers_file(tmp_path, "clip"))
    speakers_file(tmp_path, "folder").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        read_speakers(speakers_file(tmp_path, "folder"))
