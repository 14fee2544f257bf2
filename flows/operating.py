"""``dubwright serve`` and ``prune``, which keep it running, and ``dubwright subtitles``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.options import Json, PackFolders
from stages.errors import InputError

app = typer.Typer(rich_markup_mode=None)


@app.command(
    epilog="Examples: dubwright serve; dubwright serve --inbox in --outbox out --to pt-BR --to es --interval 300; "
    "dubwright serve --inbox in --outbox out --to pt-BR --cron '0 2 * * *' --keep 50GB; dubwright serve --inbox in "
    "--outbox out --to pt-BR --rrule 'FREQ=WEEKLY;BYDAY=SA,SU;BYHOUR=6'"
)
def serve(
    inbox: Annotated[Path | None, typer.Option(metavar="DIR", help="Dub every video that is put in here.")] = None,
    outbox: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the dubs of the inbox go.")] = None,
    to: Annotated[
        list[str] | None, typer.Option("--to", metavar="TAG", help="Target language of the inbox; repeatable.")
    ] = None,
    cron: Annotated[str | None, typer.Option(help="Sweep the inbox at these times [every 60 s].")] = None,
    interval: Annotated[int | None, typer.Option(metavar="S", min=1, help="Sweep the inbox every S seconds.")] = None,
    rrule: Annotated[str | None, typer.Option(help="Sweep the inbox by this rule (RFC 5545).")] = None,
    profile: Annotated[str, typer.Option(help="Which engines the inbox gets: a file of configs/.")] = "embedded",
    keep: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Prune the work folder to SIZE every night at 3, e.g. 50GB.")
    ] = None,
    at_once: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many videos started in the UI are dubbed at once.")
    ] = 1,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the UI, on this machine only.")] = 4200,
) -> None:
    """Start a Prefect server with its UI and run what is started there or due, until Ctrl-C.

    Everything is bound to 127.0.0.1. Schedules, work pools, events: docs/prefect.md.
    """
    if (inbox is None) != (outbox is None) or (inbox is None) != (not to):
        raise InputError("--inbox, --outbox and --to go together.")
    if inbox is None and (cron or interval or rrule):
        raise InputError("--cron, --interval and --rrule say when an inbox is swept: give --inbox, --outbox and --to.")
    from flows import serve as serving

    swept = None
    if inbox is not None and outbox is not None:
        schedule = serving.Schedule(cron, interval, rrule)
        swept = serving.Swept(inbox, outbox, tuple(to or ()), schedule, profile)
    serving.serve(port, swept, keep, at_once)


@app.command(epilog="Examples: dubwright prune --keep 20GB; dubwright prune --keep 0 --work /data/work")
def prune(
    keep: Annotated[str, typer.Option(metavar="SIZE", help="How much may stay, e.g. 20GB.")],
    work: Annotated[Path | None, typer.Option(metavar="DIR", help="Work folder [that of the settings].")] = None,
    as_json: Json = False,
) -> None:
    """Remove finished stages from the work folder, those not used for longest first, until the rest takes SIZE.

    What a run uses stays. What is gone is made again when a run needs it.
    """
    from flows import prune as pruning
    from stages import settings

    done = pruning.prune(work or settings.load("embedded", {}).work, pruning.parse_size(keep))
    print(done.model_dump_json(indent=1) if as_json else pruning.told(done))


@app.command(epilog="Example: dubwright subtitles lecture.mp4 --to pt-BR --to es")
def subtitles(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="The video; only read.")],
    to: Annotated[
        list[str] | None, typer.Option("--to", metavar="TAG", help="Translate into this language; repeatable.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="TAG", help="Language spoken in it; found out when not given.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Output folder [STEM.subtitles].")] = None,
    profile: Annotated[str, typer.Option(help="Which engines: a file of configs/.")] = "embedded",
    work: Annotated[Path | None, typer.Option(metavar="DIR", help="Work folder that keeps finished stages.")] = None,
    pack: PackFolders = None,
    force: Annotated[bool, typer.Option("--force", help="Replace subtitles that are already there.")] = False,
    as_json: Json = False,
) -> None:
    """Write what VIDEO says, and its translations, as SRT, WebVTT and ASS, without dubbing it.

    A dub made later of the same video finds what was done here in the work folder.
    """
    from flows import subtitles as writing
    from flows.console import watching
    from flows.in_use import in_use
    from flows.job import Runner
    from stages import settings
    from stages.languages import normalise_tag

    overrides: dict[str, Any] = {} if work is None else {"work": work}
    if pack:
        overrides["packs"] = tuple(folder.resolve() for folder in pack)
    if source is not None:
        overrides["transcribe"] = {"language": normalise_tag(source)}
    job = writing.check(video, to or [], out, settings.load(profile, overrides), force)
    with watching(Console(stderr=True)) as watch, in_use(job.settings.work, job.video):
        written = list(writing.export(job, Runner(job, watch)))
    if as_json:
        print(json.dumps([each.model_dump(mode="json") for each in written], ensure_ascii=False, indent=1))
    else:
        for each in written:
            print(*each.files, sep="\n")
