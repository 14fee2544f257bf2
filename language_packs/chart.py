"""A picture of a pack: every sound's mouth, so that someone who speaks the language can judge it by eye.

Phones of one look share a panel: the lips from the front and from the side, the phones in IPA, and the numbers that are
not those of rest. With a second pack, the panels hold both packs' mouths for the same phones.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Rectangle
from PIL import Image

from language_packs import PARAMETERS, Pack, Parameter
from language_packs.check import phones_of
from language_packs.derive import Articulation, articulations
from language_packs.mouth_drawing import draw_mouth, draw_profile, holds_lips

FORMATS = (".png", ".svg")
FONTS = ("DejaVu Sans", "DejaVu Serif")
"""matplotlib ships them; the first has the IPA, the second what of espeak-ng's own signs it has not (ᵿ)."""
COMMON_PHONES = ("i", "e", "ɛ", "a", "ɑ", "ɔ", "o", "u", "ə", *"pbmfvwtdnlrszʃʒkɡjh")
"""What a language without a text at hand is shown by, besides the sounds that its pack names."""

_REST = {parameter: 0.5 if parameter == "width" else 0.0 for parameter in PARAMETERS}
_SHORT: dict[Parameter, str] = {
    "jaw": "jaw", "aperture": "aperture", "width": "width", "protrusion": "protrusion", "compression": "compression",
    "closure": "closure", "lip_to_teeth": "lip to teeth", "teeth_together": "teeth", "tongue_visible": "tongue",
}  # fmt: skip
_CONSONANT_ORDER = ("PP", "FF", "VV", "BH", "W", "YW", "CH", "SS", "TH", "nn", "DD", "RR", "I", "kk", "hh")
_INK, _MUTED, _DIFFERENT = "#1f2328", "#6a6f76", "#b3261e"
_TITLE_IN, _HEADING_IN, _GAP_IN = 0.78, 0.36, 0.1
_PANEL_IN, _NUMBERS_IN, _DPI = 1.72, 0.115, 110
_COLOURS = 96
_COLUMNS = 6


@dataclass(frozen=True)
class Shape:
    """One look and the phones that have it."""

    phones: tuple[str, ...]
    look: Articulation


@dataclass(frozen=True)
class Pair:
    """What two packs make of the same phones."""

    phones: tuple[str, ...]
    looks: tuple[Articulation, Articulation]

    @property
    def differences(self) -> tuple[Parameter, ...]:
        """Parameters whose targets differ."""
        first, second = (look.targets for look in self.looks)
        return tuple(parameter for parameter in PARAMETERS if abs(first[parameter] - second[parameter]) > 0.005)


def inventory(pack: Pack, ipa: Iterable[str]) -> tuple[str, ...]:
    """Return the phones that occur in IPA strings, length left out, and those that the pack itself names."""
    found = [*(phone for line in ipa for phone in phones_of(line)), *pack.overrides]
    return tuple(dict.fromkeys(_plain(phone) for phone in found))


def shapes(phones: Sequence[str], pack: Pack) -> tuple[Shape, ...]:
    """Group phones by their look in a pack; a phone of two phases is in two groups (``pf¹``, ``pf²``)."""
    groups: dict[tuple[object, ...], tuple[list[str], Articulation]] = {}
    for name, look in _looks(phones, pack).items():
        groups.setdefault(_key(look), ([], look))[0].append(name)
    return tuple(sorted((Shape(tuple(sorted(names)), look) for names, look in groups.values()), key=_place_of_shape))


def pairs(phones: Sequence[str], packs: tuple[Pack, Pack]) -> tuple[Pair, ...]:
    """Group phones that two packs share by their looks in both."""
    first, second = (_looks(phones, pack) for pack in packs)
    groups: dict[tuple[object, ...], tuple[list[str], tuple[Articulation, Articulation]]] = {}
    for name in first:
        if name in second:
            looks = first[name], second[name]
            groups.setdefault((_key(looks[0]), _key(looks[1])), ([], looks))[0].append(name)
    return tuple(sorted((Pair(tuple(sorted(names)), looks) for names, looks in groups.values()), key=_place_of_pair))


def draw(pack: Pack, phones: Sequence[str], source: str, file: Path) -> None:
    """Write the chart of one pack as PNG or SVG, by the ending of ``file``.

    Args:
        pack: whose sounds are drawn.
        phones: which, e.g. from :func:`inventory`.
        source: where the phones are from, for the title.
        file: is replaced if it is there.
    """
    found = shapes(phones, pack)
    page = _Page(f"{pack.name} ({pack.tag}): mouth shapes", _legend(source))
    for heading, is_vowel in (("Vowels", True), ("Consonants", False)):
        page.section(heading, [_Panel(shape.phones, (("", shape.look),)) for shape in found if _is(shape, is_vowel)])
    page.save(file)


def draw_compared(
    packs: tuple[Pack, Pack], phones: tuple[Sequence[str], Sequence[str]], source: str, file: Path
) -> None:
    """Write the chart of two packs, side by side for the phones of both; arguments as for :func:`draw`."""
    shared = [phone for phone in phones[0] if phone in phones[1]]
    tags = packs[0].tag, packs[1].tag
    found = pairs(shared, packs)
    page = _Page(f"{packs[0].name} ({tags[0]}) beside {packs[1].name} ({tags[1]}): mouth shapes", _legend(source))
    different = [_pair_panel(pair, tags) for pair in found if pair.differences]
    page.section("Phones of both that look different", different)
    for pack, own, other in ((packs[0], phones[0], phones[1]), (packs[1], phones[1], phones[0])):
        only = shapes([phone for phone in own if phone not in other], pack)
        page.section(f"Only in {pack.name} ({pack.tag})", [_Panel(shape.phones, (("", shape.look),)) for shape in only])
    page.section("Phones of both that look alike", [_pair_panel(pair, tags) for pair in found if not pair.differences])
    page.save(file)


@dataclass(frozen=True)
class _Panel:
    """One frame of the chart: phones, and a mouth for each tag."""

    phones: tuple[str, ...]
    looks: tuple[tuple[str, Articulation], ...]
    differences: tuple[Parameter, ...] = ()


class _Page:
    """Collects panels by section, then lays them out; all lengths are in inches."""

    def __init__(self, title: str, legend: str) -> None:
        self._title, self._legend = title, legend
        self._sections: list[tuple[str, list[_Panel]]] = []

    def section(self, heading: str, panels: list[_Panel]) -> None:
        """Add panels under a heading; nothing where there are none."""
        if panels:
            self._sections.append((heading, panels))

    def save(self, file: Path) -> None:
        """Write the page; the same panels give the same bytes."""
        with matplotlib.rc_context({"font.family": list(FONTS), "svg.hashsalt": "dubwright", "svg.fonttype": "path"}):
            if file.suffix == ".svg":
                self._figure().savefig(file, metadata={"Date": None})
                return
            drawn = BytesIO()
            self._figure().savefig(drawn, dpi=_DPI, metadata={"Software": None})
            # A chart has few colours; a palette makes the file a third as large.
            Image.open(drawn).convert("RGB").quantize(_COLOURS).save(file, optimize=True)

    def _figure(self) -> Figure:
        doubled = any(len(panel.looks) > 1 for _, panels in self._sections for panel in panels)
        columns = _COLUMNS if not doubled else _COLUMNS + 2
        rows = [(heading, _rows(panels, columns)) for heading, panels in self._sections]
        width = columns * _PANEL_IN + _GAP_IN
        height = _TITLE_IN + sum(_HEADING_IN + sum(_row_height(row) for row in lines) for _, lines in rows)
        figure = Figure(figsize=(width, height + _GAP_IN), facecolor="white")
        down = _Place(figure, width, height + _GAP_IN)
        down.write(_GAP_IN, 0.26, self._title, size=13, weight="bold")
        down.write(_GAP_IN, 0.6, self._legend, size=7.5, color=_MUTED)
        top = _TITLE_IN
        for heading, lines in rows:
            down.write(_GAP_IN, top + 0.24, heading, size=10.5, weight="bold", color=_INK)
            top += _HEADING_IN
            for row in lines:
                left = _GAP_IN
                for panel in row:
                    _draw_panel(down, left, top, _row_height(row), panel)
                    left += _PANEL_IN * len(panel.looks)
                top += _row_height(row)
        return figure


@dataclass(frozen=True)
class _Place:
    """Puts things on a figure by inches from its left and upper edges."""

    figure: Figure
    width: float
    height: float

    def write(
        self,
        left: float,
        down: float,
        text: str,
        size: float,
        weight: str = "normal",
        color: str = _INK,
        right: bool = False,
    ) -> None:
        align = "right" if right else "left"
        self.figure.text(
            left / self.width, 1 - down / self.height, text, fontsize=size, fontweight=weight, color=color, ha=align
        )

    def axes(self, left: float, down: float, wide: float, high: float) -> Axes:
        box = (left / self.width, 1 - (down + high) / self.height, wide / self.width, high / self.height)
        return self.figure.add_axes(box)

    def frame(self, left: float, down: float, wide: float, high: float, edge: str, fill: str) -> None:
        corner = (left / self.width, 1 - (down + high) / self.height)
        size = (wide / self.width, high / self.height)
        self.figure.add_artist(
            Rectangle(
                corner, *size, facecolor=fill, edgecolor=edge, lw=0.8, transform=self.figure.transFigure, zorder=-1
            )
        )


_PICTURE_IN, _NAMES_IN = 1.06, 0.4
_MOST_NAMES = 26


def _rows(panels: Sequence[_Panel], columns: int) -> list[list[_Panel]]:
    rows: list[list[_Panel]] = [[]]
    for panel in panels:
        if sum(len(each.looks) for each in rows[-1]) + len(panel.looks) > columns:
            rows.append([])
        rows[-1].append(panel)
    return rows


def _row_height(row: Sequence[_Panel]) -> float:
    numbers = max(len(_numbers(look)) for panel in row for _, look in panel.looks)
    names = max(len(_names(panel)) for panel in row)
    return _NAMES_IN + 0.19 * (names - 1) + _PICTURE_IN + _NUMBERS_IN * numbers + 2 * _GAP_IN


def _draw_panel(page: _Place, left: float, top: float, height: float, panel: _Panel) -> None:
    wide = _PANEL_IN * len(panel.looks)
    edge, fill = (_DIFFERENT, "#fff6f5") if panel.differences else ("#d5d9de", "white")
    page.frame(left, top, wide - _GAP_IN, height - _GAP_IN, edge, fill)
    names = _names(panel)
    for number, line in enumerate(names):
        page.write(left + 0.07, top + 0.24 + 0.19 * number, line, size=11 if len(line) < 14 else 9.5)
    for place, (tag, look) in enumerate(panel.looks):
        x, y = left + place * _PANEL_IN, top + _NAMES_IN + 0.19 * (len(names) - 1)
        label = f"{tag}  {look.viseme}" if tag else look.viseme
        page.write(x + _PANEL_IN - _GAP_IN - 0.06, top + 0.16, label, size=7.5, weight="bold", color=_MUTED, right=True)
        draw_mouth(page.axes(x + 0.04, y - 0.06, 1.06, _PICTURE_IN), look)
        draw_profile(page.axes(x + 1.07, y - 0.06, 0.53, _PICTURE_IN), look)
        for number, (parameter, text) in enumerate(_numbers(look)):
            differs = parameter in panel.differences
            page.write(
                x + 0.07, y + _PICTURE_IN + 0.06 + _NUMBERS_IN * number, text, size=6.8,
                weight="bold" if differs else "normal", color=_DIFFERENT if differs else _INK,
            )  # fmt: skip


def _names(panel: _Panel) -> list[str]:
    """Break the phones into lines that fit."""
    most = _MOST_NAMES if len(panel.looks) > 1 else _MOST_NAMES // 2
    lines = [""]
    for phone in panel.phones:
        if lines[-1] and _width(lines[-1]) + _width(phone) + 2 > most:
            lines.append("")
        lines[-1] += ("  " if lines[-1] else "") + shown(phone)
    return lines


def shown(phone: str) -> str:
    """Return a phone as the chart writes it: signs that the fonts do not have by their number (``U+1DF2A``)."""
    return "".join(sign if _is_in_fonts(sign) else f"U+{ord(sign):04X}" for sign in phone)


@cache
def _is_in_fonts(sign: str) -> bool:
    return any(get_font(findfont(FontProperties(family=name))).get_char_index(ord(sign)) for name in FONTS)


def _width(text: str) -> int:
    return sum(not unicodedata.combining(sign) for sign in text)


def _numbers(look: Articulation) -> list[tuple[Parameter | None, str]]:
    """Return the lines below a mouth: which parameter each tells of."""
    told: list[tuple[Parameter | None, str]] = [
        (parameter, f"{_SHORT[parameter]} {look.targets[parameter]:.2f}".replace("0.", "."))
        for parameter in PARAMETERS
        if abs(look.targets[parameter] - _REST[parameter]) > 0.005
    ]
    return told if holds_lips(look) else [*told, (None, "lips of the neighbours")]


def _pair_panel(pair: Pair, tags: tuple[str, str]) -> _Panel:
    return _Panel(pair.phones, tuple(zip(tags, pair.looks, strict=True)), pair.differences)


def _legend(source: str) -> str:
    return (
        f"{source} Front view and profile; the dotted line is where resting lips are. Numbers are targets from 0 to 1 "
        "that differ from rest (width .5).\nPale lips: the sound is made with the tongue alone, and the lips are those "
        "of its neighbours. ¹ ² : first and second phase of a phone."
    )


def _looks(phones: Sequence[str], pack: Pack) -> dict[str, Articulation]:
    found: dict[str, Articulation] = {}
    for phone in phones:
        phases = articulations(phone, pack.overrides)
        for number, phase in enumerate(phases):
            found[phone + ("¹²³⁴"[number] if len(phases) > 1 else "")] = phase
    return found


def _plain(phone: str) -> str:
    """Drop what is not seen: length."""
    return phone.replace("ː", "").replace("ˑ", "")


def _key(look: Articulation) -> tuple[object, ...]:
    """Return what looks alike has in common; of sounds that leave the lips alone that is the label."""
    if not holds_lips(look):
        return look.viseme, look.targets["tongue_visible"]
    return look.viseme, *(round(look.targets[parameter], 2) for parameter in PARAMETERS)


def _is(shape: Shape, is_vowel: bool) -> bool:
    return shape.look.is_vowel == is_vowel


def _place_of_shape(shape: Shape) -> tuple[float, ...]:
    return _place(shape.look)


def _place_of_pair(pair: Pair) -> tuple[float, ...]:
    return _place(pair.looks[0])


def _place(look: Articulation) -> tuple[float, ...]:
    """Return the place in a chart: spread, then rounded vowels by openness; consonants from the lips to the throat."""
    if look.is_vowel:
        return 0, look.is_rounded, look.targets["jaw"], -look.targets["width"]
    order = _CONSONANT_ORDER.index(look.viseme) if look.viseme in _CONSONANT_ORDER else len(_CONSONANT_ORDER)
    return 1, order, -look.targets["protrusion"], look.targets["jaw"]
