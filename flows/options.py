"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
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


class Stop(StrEnum):
    """Where a run may wait for a person."""

    TRANSCRIPT = "transcript"
    TRANSLATION = "translation"
    DUB = "dub"


Video = Annotated[
    str,
    typer.Argument(
        metavar="VIDEO", help="The video, or a portrait (PNG, JPEG) with --audio; only read. A path, or s3://..."
    ),
]
Out = Annotated[str | None, typer.Option("--out", metavar="DIR", help="Output folder: a path, or s3://... [STEM.dub].")]
Approve = Annotated[
    list[Stop] | None,
    typer.Option(
        "--approve",
        help="Wait for a person there: the run ends with exit code 4 and says what to look at; after dubwright approve "
        "the same command goes on. Repeatable.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value for programs, nothing else.")]
