from hypothesis import given
from hypothesis import strategies as st

from stages.artifacts import Line, Turn
from stages.transcribe.heard import HeardWord
from stages.transcribe.lines import SpokenWord, cut_lines, ends_sentence, with_speakers


def timed(text: str, start_ms: int = 0, word_ms: int = 250, gap_ms: int = 50) -> list[HeardWord]:
    """Words of a text, one after the other; ``/500`` stands for a pause of 500 ms."""
    words = []
    for token in text.split():
        if token.startswith("/"):
            start_ms += int(token[1:])
            continue
        words.append(HeardWord(f" {token}", start_ms, start_ms + word_ms, 0.9))
        start_ms += word_ms + gap_ms
    return words


def lines(text: str, longest_ms: int = 14_000) -> list[str]:
    spoken = [SpokenWord(word, "S1") for word in timed(text)]
    return [line.text for line in cut_lines(spoken, 700, longest_ms)]


def test_sentences_end_at_final_punctuation() -> None:
    assert lines("Yes. It is! Is it? “Quite.” Well") == ["Yes.", "It is!", "Is it?", "“Quite.”", "Well"]


def test_abbreviations_and_ellipses_do_not_end_a_sentence() -> None:
    assert lines("Mr. Smith of the U.S. Senate saw Dr. J. Roe.") == ["Mr. Smith of the U.S. Senate saw Dr. J. Roe."]
    assert lines("I was... thinking. Well... No.") == ["I was... thinking.", "Well...", "No."]
    assert ends_sentence("no.") and ends_sentence("です。") and ends_sentence("है।") and not ends_sentence("3.5")


def test_a_long_pause_ends_a_line() -> None:
    assert lines("my name /600 is Ann /700 and I") == ["my name is Ann", "and I"]


def test_long_lines_are_cut_at_a_comma_near_the_middle() -> None:
    text = "one, two three four five six seven, eight nine ten eleven twelve thirteen fourteen"
    assert lines(text, 3000) == [
        "one, two three four five six seven,",
        "eight nine ten eleven twelve thirteen fourteen",
    ]


def test_long_lines_without_commas_are_cut_at_their_longest_pause() -> None:
    assert lines("one two three four /300 five six seven eight nine ten", 2900) == [
        "one two three four",
        "five six seven eight nine ten",
    ]


def test_scripts_without_spaces_stay_so() -> None:
    words = [HeardWord(text, 300 * at, 300 * at + 200, 0.9) for at, text in enumerate(["今日", "は", "。", "はい"])]
    found = cut_lines([SpokenWord(word, "S1") for word in words], 700, 14_000)
    assert [line.text for line in found] == ["今日は。", "はい"]


def turns(*runs: tuple[str, int, int]) -> list[Turn]:
    return [Turn(speaker=speaker, start_ms=start, end_ms=end) for speaker, start, end in runs]


def said(words: list[HeardWord], *runs: tuple[str, int, int]) -> list[tuple[str, str]]:
    found = cut_lines(with_speakers(words, turns(*runs)), 700, 14_000)
    return [(line.speaker, line.text) for line in found]


def test_speakers_come_from_the_turn_with_most_overlap() -> None:
    words = timed("are you there yes I am")
    assert said(words, ("S1", 0, 850), ("S2", 860, 2000)) == [("S1", "are you there"), ("S2", "yes I am")]


def test_a_border_beside_the_end_of_a_sentence_moves_there() -> None:
    words = timed("Are you there? Yes I am.")
    expected = [("S1", "Are you there?"), ("S2", "Yes I am.")]
    assert said(words, ("S1", 0, 590), ("S2", 590, 2000)) == expected
    assert said(words, ("S1", 0, 1180), ("S2", 1180, 2000)) == expected


def test_an_interruption_far_from_any_sentence_end_stays() -> None:
    words = timed("I was going to say that you what did you say then")
    assert said(words, ("S1", 0, 2080), ("S2", 2080, 4000)) == [
        ("S1", "I was going to say that you"),
        ("S2", "what did you say then"),
    ]


def test_no_turns_no_words() -> None:
    assert with_speakers([], []) == []
    assert cut_lines([], 700, 14_000) == ()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b,", "c.", "Mr.", "D?", "e..."]),
            st.integers(0, 1500),
            st.integers(40, 900),
            st.sampled_from(["S1", "S2"]),
        ),
        max_size=60,
    ),
    st.integers(500, 15_000),
)
def test_every_word_lands_in_exactly_one_line(tokens: list[tuple[str, int, int, str]], longest_ms: int) -> None:
    spoken, time_ms = [], 0
    for text, pause_ms, length_ms, speaker in tokens:
        time_ms += pause_ms
        spoken.append(SpokenWord(HeardWord(f" {text}", time_ms, time_ms + length_ms, 0.5), speaker))
        time_ms += length_ms
    found: tuple[Line, ...] = cut_lines(spoken, 700, longest_ms)
    assert [word.text for line in found for word in line.words] == [text for text, *_ in tokens]
    assert [line.id for line in found] == list(range(1, len(found) + 1))
    assert all(line.end_ms - line.start_ms <= longest_ms or len(line.words) == 1 for line in found)
