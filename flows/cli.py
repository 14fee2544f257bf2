"""The ``dubwright`` command.

Exit codes: 0 done; 1 done, but lines need a person or a goal is missed; 2 bad usage or input; 3 a missing
engine or model; 4 a run waits for a person (``--approve``).
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from flows import operating, packs, weights
from flows.options import Approve, Json, Out, PackFolders, Stop, Video
from language_packs import PackError, Packs
from stages.errors import DubwrightError, InputError

if TYPE_CHECKING:
    from stages.deliver import Delivery

_INTERRUPTED = 130
_FEW = 8
app = typer.Typer(
    name="dubwright",
    help="One video in, the same video in other languages out: same speakers, matched voices, moving lips.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.add_typer(weights.app, name="models")
app.add_typer(packs.app, name="packs")
app.add_typer(operating.app)


@app.callback()
def options(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the traceback of an error.")] = False,
) -> None:
    """Options before the command."""
    context.obj = {"verbose": verbose}


@app.command(
    epilog="Examples: dubwright translate lecture.mp4 --to pt-BR --to es --out dubs; "
    "dubwright translate portrait.png --audio speech.wav --to pt-BR"
)
def translate(
    video: Video,
    to: Annotated[list[str], typer.Option("--to", metavar="TAG", help="Target language, e.g. pt-BR; repeatable.")],
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="TAG", help="Language spoken in it; found out when not given."),
    ] = None,
    out: Out = None,
    audio: Annotated[
        Path | None,
        typer.Option(
            metavar="SOUND",
            help="Speech for a portrait or a mute video, or in place of a video's own. A portrait lasts as long as "
            "SOUND; a video keeps its length.",
        ),
    ] = None,
    profile: Annotated[str, typer.Option(help="Which engines: a file of configs/.")] = "embedded",
    audio_track: Annotated[
        int | None, typer.Option(metavar="N", help="Sound track to dub, counted from 1 [the default one].")
    ] = None,
    speakers: Annotated[int | None, typer.Option(metavar="N", help="How many people speak [found out].")] = None,
    work: Annotated[Path | None, typer.Option(metavar="DIR", help="Work folder that keeps finished stages.")] = None,
    pack: PackFolders = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a dub that is already there.")] = False,
    line: Annotated[
        list[int] | None,
        typer.Option(
            "--line",
            metavar="N",
            help="Make only this line of the finished dub in DIR anew, with its text from DIR/STEM.TAG.edits.toml, and "
            "keep every other frame and sample; repeatable.",
        ),
    ] = None,
    stems: Annotated[
        bool,
        typer.Option("--stems", help="Also write voice, background and dub as FLAC files, 48 kHz stereo."),
    ] = False,
    glossary: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Terms: term,translation; without a translation a term is kept.")
    ] = None,
    memory: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Translations to take as they are: TMX, or XLIFF edited by hand; repeatable."
        ),
    ] = None,
    export_tmx: Annotated[bool, typer.Option("--export-tmx", help="Also write DIR/STEM.TAG.tmx.")] = False,
    export_xliff: Annotated[
        bool, typer.Option("--export-xliff", help="Also write DIR/STEM.TAG.xlf, to be edited and given to --memory.")
    ] = False,
    formal: Annotated[
        bool, typer.Option("--formal", help="Translate with polite forms, where translate.engine can (llm).")
    ] = False,
    informal: Annotated[bool, typer.Option("--informal", help="Translate with familiar forms.")] = False,
    approve: Approve = None,
    prefect: Annotated[bool, typer.Option("--prefect", help="Run as a Prefect flow that its UI shows.")] = False,
    as_json: Json = False,
) -> None:
    """Dub VIDEO, or a portrait that says SOUND, into one or more languages.

    To change what a line says, write it into DIR/STEM.TAG.edits.toml under the id that the report gives the line:
    [lines.7] and below it text = "...". Every run takes the texts of that file as they are, and none writes to it;
    with --line 7 only that line is made anew.

    The first run writes DIR/STEM.speakers.toml: there speakers can be given names, and two that are one person joined
    (docs/speakers.md); every later run takes it over.
    """
    from flows import job
    from flows.approve import collected
    from flows.console import watching
    from flows.in_use import in_use
    from flows.retries import Retrying
    from stages import settings
    from stages.deliver.report import needs_person
    from stages.edits import listed
    from stages.languages import normalise_tag

    if formal and informal:
        raise InputError("--formal and --informal: give one of them.")
    overrides: dict[str, Any] = {} if work is None else {"work": work}
    if pack:
        overrides["packs"] = tuple(folder.resolve() for folder in pack)
    if glossary is not None:
        overrides["glossary"] = glossary.absolute()
    if memory:
        overrides["memories"] = tuple(file.absolute() for file in memory)
    exports = ("tmx",) * export_tmx + ("xlf",) * export_xliff
    chosen: dict[str, dict[str, Any]] = {
        "transcribe": {"language": normalise_tag(source) if source is not None else None},
        "ingest": {"audio_track": audio_track},
        "diarize": {"speakers": speakers},
        "translate": {"formality": "formal" if formal else "informal" if informal else None},
    }
    for section, values in chosen.items():
        given = {key: value for key, value in values.items() if value is not None}
        if given:
            overrides[section] = given
    lines, stops = tuple(line or ()), tuple(dict.fromkeys(approve or ()))
    loaded = settings.load(profile, overrides)
    checked = job.check(video, to, out, loaded, force, lines, audio, stems, exports, stops)
    waiting = None
    console = Console(stderr=True)
    if prefect:
        from flows.failures import check_server
        from flows.translate_video import Options, translate_video

        check_server()
        made = translate_video(
            video,
            list(checked.targets),
            Options(
                profile=profile,
                out=out or str(checked.out),
                force=force,
                lines=lines,
                audio=audio,
                stems=stems,
                exports=exports,
                approve=stops,
                overrides=overrides,
            ),
        )
    else:
        with watching(console) as watch, in_use(checked.settings.work, checked.video):
            runner = job.Runner(checked, watch)
            made, waiting = collected(job.translate(checked, Retrying(runner, loaded.limits), runner.runs_for))
    if as_json:
        print(json.dumps([item.model_dump(mode="json", exclude={"content"}) for item in made], indent=1))
    else:
        for item in made:
            if item.unchanged_lines:
                named = listed(item.unchanged_lines)
                console.print(f"line {named}: text and voice are as they were; nothing was changed.", highlight=False)
            else:
                _summary(console, item)
        if checked.rerun is not None and checked.rerun.waiting:
            others = listed(checked.rerun.waiting)
            console.print(f"line {others}: edited as well, not named with --line, and so left.", highlight=False)
    if waiting is not None:
        raise waiting
    if any(needs_person(item.content) for item in made if not item.unchanged_lines):
        raise typer.Exit(1)


def _summary(console: Console, made: Delivery) -> None:
    content, totals = made.content, made.content["totals"]
    print(made.shown(made.video))
    heard = [f"{each['name']} {each['speech_ms'] / 1000:.0f} s" for each in content["speakers"]]
    console.print(f"speakers: {', '.join(heard)}", highlight=False, soft_wrap=True, markup=False)
    console.print(
        f"{totals['lines_spoken']} of {totals['lines']} lines spoken, CER {totals['cer']:.3f}, voice similarity "
        f"{totals['voice_similarity']}, closures {totals['closures_reached']}/{totals['closures_expected']}; "
        f"details: {made.shown(made.report)}",
        highlight=False,
        soft_wrap=True,
    )
    if content["rerun"] is not None and content["rerun"]["picture"] is not None:
        frames, of_all = content["rerun"]["picture"], content["source"]["picture"]["frames"]
        console.print(
            f"of {of_all} frames {frames['changed_frames']} changed; {frames['drawn_frames']} were encoded again, "
            f"{frames['decoded_frames']} decoded.",
            highlight=False,
            soft_wrap=True,
        )
    for line in content["lines"]:
        if line["flags"]:
            console.print(f"line {line['id']}: {', '.join(line['flags'])}", highlight=False, soft_wrap=True)
    for item in content["unprocessed"]:
        seconds = f"{item['start_ms'] / 1000:.1f}-{item['end_ms'] / 1000:.1f} s"
        console.print(f"{seconds}: {item['reason']}", highlight=False, soft_wrap=True)


@app.command(epilog="Examples: dubwright approve lecture.dub; dubwright approve lecture.mp4 translation --to pt-BR")
def approve(
    place: Annotated[
        str, typer.Argument(metavar="VIDEO|DIR", help="The output folder; or the video, if its is STEM.dub here.")
    ],
    stop: Annotated[Stop | None, typer.Argument(help="What is approved [all that waits].")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="TAG", help="In which language [all that wait].")] = None,
) -> None:
    """Agree to what a run with --approve waits for, as it is written in its files now; the same run then goes on.

    Where something is changed later the next run asks again (docs/approving.md).
    """
    from flows.approve import approve as record
    from flows.output import naming, open_output
    from stages import settings
    from stages.languages import normalise_tag

    loaded = settings.load("embedded", {})
    output = open_output(place, None, loaded.work, loaded.limits)
    with naming(output.folder, output.url):
        for each in record(output.folder, stop, normalise_tag(to) if to is not None else None):
            print(f"approved: the {each.about} ({output.shown(each.look_at)})")
        output.put()


@app.command(epilog="Example: dubwright evaluate lecture.dub --pictures")
def evaluate(
    folder: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="A folder that translate wrote.")] = None,
    itself: Annotated[
        Path | None,
        typer.Option("--self", metavar="VIDEO", help="Instead: drive VIDEO by its own lips and compare the pictures."),
    ] = None,
    source: Annotated[
        Path | None, typer.Option(metavar="VIDEO", help="The video that was dubbed, if it has moved.")
    ] = None,
    audio: Annotated[
        Path | None, typer.Option(metavar="SOUND", help="The sound that was given to it, if that has moved.")
    ] = None,
    work: Annotated[Path | None, typer.Option(metavar="DIR", help="Work folder [the one of the dub].")] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Also write a contact sheet and a slowed side-by-side clip into DIR.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure the lips and the picture of the dubs in DIR beside the source; exit code 1: a goal is missed."""
    from flows import evaluate as evaluating
    from flows.console import watching

    if (folder is None) == (itself is None):
        raise InputError("give either a folder that translate wrote, or --self VIDEO.")
    with watching(Console(stderr=True)) as watch:
        if itself is not None:
            judged = [evaluating.evaluate_self(itself, work, watch)]
        else:
            assert folder is not None
            judged = list(evaluating.evaluate_folder(folder, source, audio, work, pictures, watch))
    if as_json:
        print(json.dumps([each.content() for each in judged], ensure_ascii=False, indent=1))
    else:
        for each in judged:
            each.show(Console())
    if not all(each.met for each in judged):
        raise typer.Exit(1)


@app.command(epilog="Example: dubwright languages --json")
def languages(
    profile: Annotated[str, typer.Option(help="Which engines: a file of configs/.")] = "embedded",
    pack: PackFolders = None,
    as_json: Json = False,
) -> None:
    """List the languages, and what can be done for each here and now with the engines of the settings."""
    from flows.languages import table
    from stages import settings

    rows = table(Packs(tuple(pack or ())), settings.load(profile, {}))
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    from rich.table import Table

    shown = Table(box=None)
    for heading in ("tag", "name", "phones", "heard", "translated from", "spoken by", "dubbed here"):
        shown.add_column(heading)
    for row in rows:
        sources = list(row["translate_from"])
        few = " ".join(sources) if len(sources) < _FEW else f"{len(sources)} languages"
        spoken = ", ".join(f"{engine} ({quality})" for engine, quality in row["speak"].items())
        heard = "yes" if row["transcribe"] else ""
        shown.add_row(row["tag"], row["name"], row["phones"], heard, few, spoken, "yes" if few and spoken else "")
    Console().print(shown)
    print(f"{len(rows)} languages. Lips and subtitles: all of them. Engines and routes: dubwright languages --json")


@app.command(
    epilog="Examples: dubwright doctor; dubwright doctor lecture.mp4 --to pt-BR --to es; "
    "dubwright doctor lecture.mp4 --from en --to pt-BR --speakers 2 --profile neural"
)
def doctor(
    video: Annotated[
        Path | None, typer.Argument(metavar="[VIDEO]", help="Also estimate a run on it: time, memory, disk.")
    ] = None,
    to: Annotated[
        list[str] | None, typer.Option("--to", metavar="TAG", help="Target language to look at; repeatable.")
    ] = None,
    source: Annotated[str | None, typer.Option("--from", metavar="TAG", help="Language spoken in it.")] = None,
    audio: Annotated[
        Path | None, typer.Option(metavar="SOUND", help="Speech for a portrait, or in place of a video's own.")
    ] = None,
    profile: Annotated[str, typer.Option(help="Which engines: a file of configs/.")] = "embedded",
    speakers: Annotated[int | None, typer.Option(metavar="N", help="How many people speak [counted as 1].")] = None,
    work: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Work folder, with the runs that were finished.")
    ] = None,
    pack: PackFolders = None,
    as_json: Json = False,
) -> None:
    """Say what is installed, what is missing and the command that mends it, stage by stage and language by language.

    With VIDEO also what a run would take, from an empty work folder; how that is known: docs/doctor.md.
    Exit code 3: something that was asked for is missing.
    """
    from flows.doctor import diagnose, told
    from stages import settings
    from stages.languages import normalise_tag

    if audio is not None and video is None:
        raise InputError("--audio goes with a video or a portrait: dubwright doctor VIDEO --audio SOUND.")
    overrides: dict[str, Any] = {} if work is None else {"work": work}
    if source is not None:
        overrides["transcribe"] = {"language": normalise_tag(source)}
    if speakers is not None:
        overrides["diarize"] = {"speakers": speakers}
    tags = tuple(dict.fromkeys(normalise_tag(tag) for tag in to or ()))
    packs = Packs(tuple(folder.resolve() for folder in pack or ()))
    for tag in tags:
        packs.load(tag)
    found = diagnose(video, audio, tags, settings.load(profile, overrides))
    print(found.model_dump_json(indent=1) if as_json else "\n".join(told(found)))
    if not found.ready:
        raise typer.Exit(3)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; expected errors are one line on standard error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # A file whose name starts with a dash is meant as a file, not as options.
    given = [f"./{item}" if item.startswith("-") and Path(item).is_file() else item for item in given]
    try:
        code = app(given or ["--help"], standalone_mode=False)
    except typer.TyperException as error:
        return _fail(f"{_message(error)} See: dubwright --help", 2)
    except (DubwrightError, PackError) as error:
        if "--verbose" in given:
            traceback.print_exc()
        return _fail(str(error), error.exit_code if isinstance(error, DubwrightError) else InputError.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    if code == _INTERRUPTED:  # typer turns Ctrl-C into this code
        return _fail("stopped. Finished stages are kept: run the same command again to go on.", _INTERRUPTED)
    return int(code or 0)


def _message(error: typer.TyperException) -> str:
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    return " ".join(text.split())


def _fail(message: str, code: int) -> int:
    print(f"dubwright: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
