"""Engines that know no glossary are made to keep to one, by what they are given to translate.

Tried in this order, each whole text anew, until the glossary is honoured:

1. The text as it is: often the engine says it right.
2. The translations written into the source (Song et al. 2019, "Code-Switching for Enhancing NMT with Pre-Specified
   Translation"): a neural engine copies many of them, and articles and adjectives agree with them.
3. A made-up word in place of each term that was missed so far, put right in the translation: it is copied nearly
   always, but as the engine does not know what it stands for, an article may not agree.
4. Made-up words in place of all terms.

What these reach is measured by ``bench/translating.py`` (``make bench ONLY=translation``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from string import ascii_uppercase

from stages.translate.glossary import Glossary, Term
from stages.translate.text import Translated

Translate = Callable[[Sequence[str]], list[Translated]]

_MADE_UP = ("XQ", "QX", "XZQ", "QZX")
"""How made-up words begin: the first that the text does not have; capitals are copied most surely."""


def asked(text: str, glossary: Glossary, made_up: Collection[Term]) -> tuple[str, dict[str, str]]:
    """Return what to translate in place of a source text, and what to put back in the translation.

    Args:
        text: the source.
        glossary: its terms are replaced by their translations.
        made_up: the terms that are replaced by made-up words.
    """
    words: dict[Term, str] = {}
    beginning = next((each for each in _MADE_UP if each not in text.upper()), _MADE_UP[0])

    def written(term: Term) -> str:
        if term not in made_up:
            return term.translation
        number = len(words)
        return words.setdefault(term, f"{beginning}{'J' * (number // 26)}{ascii_uppercase[number % 26]}")

    return glossary.replaced(text, written), {word: term.translation for term, word in words.items()}


def translated(texts: Sequence[str], glossary: Glossary, translate: Translate) -> list[Translated]:
    """Translate texts so that the glossary is honoured wherever one of the means reaches it.

    Where none reaches all of it, the one that misses the fewest terms is taken, the earlier of equals.
    """
    best = translate(texts)
    missed = [glossary.missed(text, answer.text) for text, answer in zip(texts, best, strict=True)]
    made_up: list[tuple[Term, ...]] = [() for _ in texts]
    for is_last in (False, False, True):
        lacking = [number for number, terms in enumerate(missed) if terms]
        if not lacking:
            break
        if is_last:
            made_up = [glossary.terms for _ in texts]
        questions = [asked(texts[number], glossary, made_up[number]) for number in lacking]
        answers = translate([text for text, _ in questions])
        for number, (_, back), answer in zip(lacking, questions, answers, strict=True):
            tried = put_back(answer, back, texts[number], glossary)
            misses = glossary.missed(texts[number], tried.text) if tried is not None else missed[number]
            made_up[number] = tuple(dict.fromkeys((*made_up[number], *misses)))
            if tried is not None and len(misses) < len(missed[number]):
                best[number], missed[number] = tried, misses
    return best


def put_back(answer: Translated, back: dict[str, str], source: str, glossary: Glossary) -> Translated | None:
    """Return an answer with the terms in it; None where something of a made-up word is left."""
    text = answer.text
    for word, translation in back.items():
        text = re.sub(rf"(?<!\w){word}(?!\w)", translation.replace("\\", r"\\"), text, flags=re.IGNORECASE)
    if any(word.casefold() in text.casefold() for word in back):
        return None
    is_kept_first = any(text.startswith(term.term) for term in glossary.terms if term.is_kept)
    if source[:1].isupper() and not is_kept_first:
        text = text[:1].upper() + text[1:]
    # What the glossary asks for is no unknown word, whether or not the engine has it in its dictionary.
    wanted = {word for term in glossary.terms for word in term.translation.split()} | {word.casefold() for word in back}
    unknown = (word for word in answer.unknown if word not in wanted and word.casefold() not in wanted)
    return answer.model_copy(update={"text": text, "unknown": tuple(unknown), "others": ()})
