"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PackFolders = Annotated[
    list[Path] | None,
    typer.Option(
        "--pack",
        metavar="DIR",
        help="Folder with a language pack, or with several, beside the built-in ones; repeatable.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value for programs, nothing else.")]
