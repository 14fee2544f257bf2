"""Files that translators' programs read and write: TMX 1.4b (LISA) and XLIFF 1.2 (OASIS).

Both are small XML formats, read by ``defusedxml`` (entities and external references are refused) and written by the
standard library. The well-kept library for them, Translate Toolkit, is GPL-3.0-or-later and so not used here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from stages.artifacts import Record, Script
from stages.errors import InputError
from stages.languages import normalise_tag
from stages.media import printable
from stages.translate.glossary import check_size

MOST_BYTES = 64 << 20
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_XLIFF = "urn:oasis:names:tc:xliff:document:1.2"
_MARKUP_TAGS = {"bpt", "ept", "ph", "it", "ut", "x", "bx", "ex"}
"""Inline elements that hold codes of a document's formatting, or nothing; others (``hi``, ``g``, ``mrk``) hold text."""
_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TOOL = "dubwright"


class Unit(Record):
    """One text in two or more languages."""

    texts: dict[str, str]
    """By normalised tag."""
    line: int | None = None
    """The id of the dub's line, where the file says it."""


def read_units(file: Path) -> tuple[Unit, ...]:
    """Return the units of a TMX or XLIFF file, in order.

    Raises:
        InputError: there is no such file, it is too large, no such XML, or has entities of its own.
    """
    shown = f"--memory {printable(file)}"
    try:
        if file.is_dir():
            raise InputError(f"{shown} is a folder, not a file.")
        check_size(file, shown, MOST_BYTES)
        root = parse(file).getroot()
    except FileNotFoundError:
        raise InputError(f"{shown}: there is no such file.") from None
    except OSError as error:
        raise InputError(f"{shown} cannot be read ({error.strerror}).") from error
    except DefusedXmlException as error:
        raise InputError(
            f"{shown} defines entities or refers to other files ({type(error).__name__}), which is not safe to read; "
            "save it without."
        ) from error
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the last two: encodings that expat refuses
        raise InputError(f"{shown} is no TMX or XLIFF file: {error}.") from error
    assert root is not None, "a parsed document has a root"
    kind = root.tag.rsplit("}", 1)[-1]
    if kind == "xliff" and root.tag != f"{{{_XLIFF}}}xliff":
        raise InputError(f"{shown} is XLIFF {root.get('version', 'of an unknown version')}; XLIFF 1.2 is read.")
    if kind not in _READERS:
        raise InputError(f"{shown} is no TMX or XLIFF file: it begins with <{kind}>.")
    try:
        return tuple(_READERS[kind](root, shown))
    except RecursionError:
        raise InputError(f"{shown} has markup inside markup beyond all reason; it is damaged.") from None


def _of_tmx(root: ElementTree.Element, shown: str) -> Iterable[Unit]:
    for unit in root.iter("tu"):
        texts: dict[str, str] = {}
        for variant in unit.iter("tuv"):
            segment = variant.find("seg")
            tag = variant.get(_XML_LANG) or variant.get("lang")  # TMX 1.1 has the latter
            if segment is not None and tag:
                texts[_tag(tag, shown)] = _text(segment)
        yield Unit(texts=texts)


def _of_xliff(root: ElementTree.Element, shown: str) -> Iterable[Unit]:
    for file in root.iter(f"{{{_XLIFF}}}file"):
        of, to = file.get("source-language"), file.get("target-language")
        if not of or not to:
            raise InputError(f"{shown}: a <file> in it does not say source-language and target-language.")
        for unit in file.iter(f"{{{_XLIFF}}}trans-unit"):
            source, target = unit.find(f"{{{_XLIFF}}}source"), unit.find(f"{{{_XLIFF}}}target")
            if source is not None and target is not None:
                number = unit.get("id", "")
                line = int(number) if number.isascii() and number.isdigit() and file.get("tool-id") == _TOOL else None
                yield Unit(texts={_tag(of, shown): _text(source), _tag(to, shown): _text(target)}, line=line)


_READERS: dict[str, Callable[[ElementTree.Element, str], Iterable[Unit]]] = {"tmx": _of_tmx, "xliff": _of_xliff}


def _tag(written: str, shown: str) -> str:
    try:
        return normalise_tag(written)
    except InputError as error:
        raise InputError(f"{shown}: {error}") from error


def _text(element: ElementTree.Element) -> str:
    """Return an element's text without the codes of formatting."""
    found = [element.text or ""]
    for child in element:
        if child.tag.rsplit("}", 1)[-1] not in _MARKUP_TAGS:
            found.append(_text(child))
        found.append(child.tail or "")
    return "".join(found)


def check_exports(kinds: Sequence[str], folder: Path, stem: str, targets: Sequence[str], given: Sequence[Path]) -> None:
    """Check that what will be written is none of the files that the user gives.

    Raises:
        InputError: it is, or there is no such kind of file.
    """
    if unknown := [kind for kind in kinds if kind not in EXPORTS]:
        raise InputError(f"there is no export {unknown[0]!r}; there are: {', '.join(EXPORTS)}.")
    read = {file.resolve() for file in given}
    for file in (folder / f"{stem}.{tag}.{kind}" for tag in targets for kind in kinds):
        if file.resolve() in read:
            raise InputError(f"{printable(file)} is given with --memory and would be replaced; give a copy of it.")


def export(kinds: Sequence[str], folder: Path, stem: str, script: Script) -> None:
    """Write a script's translations beside its dub, as files for translators' programs."""
    for kind in kinds:
        file = folder / f"{stem}.{script.target}.{kind}"
        scratch = file.with_name(f".{file.name}.tmp")
        scratch.write_bytes(EXPORTS[kind](script, stem))
        scratch.replace(file)


def tmx(script: Script, stem: str) -> bytes:
    """Return a TMX file with the whole translation of every translated line, equal pairs once."""
    root = ElementTree.Element("tmx", version="1.4")
    ElementTree.SubElement(
        root, "header", creationtool=_TOOL, creationtoolversion="1", segtype="sentence", datatype="plaintext",
        adminlang="en", srclang=script.source, attrib={"o-tmf": _TOOL},
    )  # fmt: skip
    body = ElementTree.SubElement(root, "body")
    pairs = {(line.source_text, line.full_text or line.text): None for line in script.lines if line.text}
    for pair in pairs:
        unit = ElementTree.SubElement(body, "tu")
        for tag, text in zip((script.source, script.target), pair, strict=True):
            variant = ElementTree.SubElement(unit, "tuv", {_XML_LANG: tag})
            ElementTree.SubElement(variant, "seg").text = _writable(text)
    return _written(root)


def xliff(script: Script, stem: str) -> bytes:
    """Return an XLIFF file with every line, its text, time and flags; ``stem`` names the video."""
    root = ElementTree.Element("xliff", version="1.2", xmlns=_XLIFF)
    about = {"source-language": script.source, "target-language": script.target, "tool-id": _TOOL}
    inside = ElementTree.SubElement(root, "file", about, original=_writable(stem), datatype="plaintext")
    header = ElementTree.SubElement(inside, "header")
    ElementTree.SubElement(header, "tool", {"tool-id": _TOOL, "tool-name": _TOOL})
    body = ElementTree.SubElement(inside, "body")
    for line in script.lines:
        unit = ElementTree.SubElement(body, "trans-unit", id=str(line.id), resname=line.speaker)
        ElementTree.SubElement(unit, "source").text = _writable(line.source_text)
        state = "needs-review-translation" if line.flags else "translated"
        ElementTree.SubElement(unit, "target", state=state).text = _writable(line.text)
        seconds = f"{line.start_ms / 1000:.1f}-{line.end_ms / 1000:.1f} s"
        ElementTree.SubElement(unit, "note").text = _writable("; ".join((seconds, *line.flags)))
    return _written(root)


EXPORTS: dict[str, Callable[[Script, str], bytes]] = {"tmx": tmx, "xlf": xliff}


def _writable(text: str) -> str:
    return _NOT_IN_XML.sub("", text)


def _written(root: ElementTree.Element) -> bytes:
    # A text's own white space is its content: indenting leaves it, for elements that hold text have no children.
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"
