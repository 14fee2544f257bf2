"""Lines too long to be spoken at once, by an engine that is espeak-ng itself: its pieces' true times are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from language_packs import load_pack
from stages import sound
from stages.reading import read_line
from stages.synthesize.cloning import CloningEngine, Conditioning, Take
from stages.synthesize.joining import pieces
from stages.synthesize.rendering import render

PACK = load_pack("pt-BR")
LIMIT = 60
LONG = (
    "Boa noite, papai, como vai? Eu queria contar uma coisa muito bonita que aconteceu hoje na escola, "
    "porque a professora trouxe um gato. Depois fomos todos para casa."
)


def fits(text: str) -> bool:
    return len(text) <= LIMIT


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("One sentence is here, it seems.", "Another sentence, which is here."),
        ("A sentence that has no end but one comma,", "and goes on after that"),
        ("A sentence that has neither an", "end nor any comma and yet goes on"),
        ("It cost the small company exactly", "1,250,000.75 dollars that year"),
        ("\u8fd9" * 40 + "\u3002", "\u90a3" * 30),
        ("x" * 35, "x" * 35),
    ],
)
def test_a_text_is_cut_where_one_would_breathe(first: str, second: str) -> None:
    space = "" if first[-1] in "x\u3002" else " "
    assert pieces(first + space + second, fits) == (first, second)
    assert pieces(second, fits) == (second,)


def test_every_piece_fits_and_nothing_is_lost() -> None:
    for limit in (10, 25, 60, 100):
        cut = pieces(LONG, lambda text, limit=limit: len(text) <= limit)
        assert " ".join(cut).replace(" ", "") == LONG.replace(" ", "")
        assert all(len(piece) <= limit for piece in cut)


@dataclass(frozen=True, eq=False)
class Said:
    samples: np.ndarray

    def at(self, speed: float) -> np.ndarray:
        return self.samples if speed == 1.0 else sound.resample(self.samples, 24_000, round(24_000 / speed))


class Espeak:
    """Silence of 300 ms before what it says and after."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def condition(self, reference: np.ndarray) -> dict[str, np.ndarray]:
        return {"nothing": np.zeros(1)}

    def fits(self, text: str) -> bool:
        return fits(text)

    def take(self, text: str, conditioning: Conditioning, seed: int) -> Take:
        self.said.append(text)
        rendering = render(text, read_line(text, PACK.g2p, "pt-BR", "it"), PACK.g2p)
        return Said(np.pad(sound.resample(rendering.samples, rendering.rate_hz, 24_000), 7200))


@pytest.fixture(scope="module")
def speaking() -> tuple[CloningEngine, Espeak]:
    sampler = Espeak()
    engine = CloningEngine("espeak", lambda: sampler, (0.8, 1.3), "pt-BR", PACK.g2p, None)
    engine.learn("S1", np.zeros(24_000, np.float32), "Bom dia.")
    sampler.said.clear()
    return engine, sampler


@pytest.mark.parametrize("speed", [1.0, 1.2])
def test_the_pieces_phones_have_their_times_in_the_whole(speaking: tuple[CloningEngine, Espeak], speed: float) -> None:
    engine, sampler = speaking
    sampler.said.clear()
    spoken = engine.speak(LONG, "S1", speed)
    cut = sampler.said or list(pieces(LONG, fits))
    assert tuple(cut) == pieces(LONG, fits) and len(cut) >= 3
    whole = render(LONG, read_line(LONG, PACK.g2p, "pt-BR", "it"), PACK.g2p)
    assert [phone.ipa for phone in spoken.phones] == [phone.ipa for phone in whole.phones]
    times = [time for phone in spoken.phones for time in (phone.start_ms, phone.end_ms)]
    assert times == sorted(times) and times[-1] <= len(spoken.samples) / 24
    first = 0
    for text in cut:
        rendering = render(text, read_line(text, PACK.g2p, "pt-BR", "it"), PACK.g2p)
        mine = spoken.phones[first : first + len(rendering.phones)]
        sounding_ms = mine[-1].end_ms - mine[0].start_ms
        assert sounding_ms == pytest.approx(rendering.sounding_ms / speed, abs=60)
        if first:  # where a piece begins it is quiet, and soon after it is not
            start = mine[0].start_ms * 24
            before, after = spoken.samples[start - 960 : start - 360], spoken.samples[start : start + 2400]
            assert np.sqrt(np.mean(after**2)) > 5 * np.sqrt(np.mean(before**2))
        first += len(rendering.phones)
    assert first == len(spoken.phones)


def test_the_whole_is_as_long_as_planned(speaking: tuple[CloningEngine, Espeak]) -> None:
    engine, _ = speaking
    engine.speak(LONG, "S1")
    for speed in (1.0, 1.2):
        length, spoken = engine.durations(LONG, "S1", speed), engine.speak(LONG, "S1", speed)
        assert length.total_ms == pytest.approx(len(spoken.samples) / 24, abs=2)
        assert length.lead_ms == spoken.phones[0].start_ms
    assert engine.speed_for(LONG, "S1", engine.durations(LONG, "S1").sounding_ms) == pytest.approx(1)


def test_no_clicks_where_pieces_meet(speaking: tuple[CloningEngine, Espeak]) -> None:
    engine, sampler = speaking
    samples = engine.speak(LONG, "S1").samples
    steps = np.abs(np.diff(samples)).max()
    alone = max(np.abs(np.diff(sampler.take(text, {}, 0).at(1.0))).max() for text in pieces(LONG, fits))
    assert steps <= alone * 1.01
