"""Apertium: shallow-transfer machine translation between close languages (Forcada et al. 2011).

A separate program (GPL) that is run as one, text in and text out; ``routes.toml`` names its Debian packages.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache

from stages.errors import MissingEngineError
from stages.translate.routes import Hop
from stages.translate.text import Translated

_PROGRAM = "apertium"
_TIMEOUT_S = 120
_UNKNOWN = re.compile(r"(?<!\w)[*#@]+(?=\w)")
"""Marks before a word that the dictionaries do not know (*), cannot transfer (@) or cannot inflect (#)."""
_MARKED = re.compile(_UNKNOWN.pattern + r"([\w'’-]+)")


@cache
def modes() -> frozenset[str]:
    """Return the directions that are installed, e.g. ``"pt-es"``; empty where the program is not."""
    if shutil.which(_PROGRAM) is None:
        return frozenset()
    listed = subprocess.run(
        [_PROGRAM, "-l"], capture_output=True, text=True, encoding="utf-8", timeout=_TIMEOUT_S, check=False
    )
    return frozenset(listed.stdout.split())


class Apertium:
    """One direction. Words that it does not know pass through unchanged and are flagged."""

    def __init__(self, hop: Hop) -> None:
        if hop.mode not in modes():
            raise MissingEngineError(f"apertium has no {hop.mode}. Run: sudo apt-get install {_PROGRAM} {hop.package}")
        self._hop = hop

    def translate(self, texts: Sequence[str]) -> list[Translated]:
        """Translate single-line texts; one run of the program for all of them.

        Raises:
            MissingEngineError: the program failed.
        """
        # A blank line ends a sentence for apertium, so no rule reaches from one text into the next.
        plain = [re.sub(r"\s+", " ", text).strip() for text in texts]
        said = [text for text in plain if text]
        if not said:
            return [Translated(text="") for _ in plain]
        run = subprocess.run(
            [_PROGRAM, self._hop.mode],
            input="\n\n".join(said) + "\n",
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=_TIMEOUT_S,
            check=False,
        )
        answers = [block.strip() for block in run.stdout.strip().split("\n\n")]
        if run.returncode != 0 or len(answers) != len(said):
            reason = (run.stderr.strip().splitlines() or ["lines were lost"])[-1]
            raise MissingEngineError(f"apertium {self._hop.mode} failed: {reason}")
        remaining = iter(answers)
        return [_without_marks(next(remaining), text) if text else Translated(text="") for text in plain]


def _without_marks(answer: str, question: str) -> Translated:
    asked = set(_MARKED.findall(question))
    unknown = tuple(dict.fromkeys(word for word in _MARKED.findall(answer) if word not in asked))
    text = _UNKNOWN.sub("", answer)
    # A multi-word entry of the dictionary loses the capital of the sentence.
    if question[:1].isupper():
        text = text[:1].upper() + text[1:]
    return Translated(text=text, unknown=unknown)
