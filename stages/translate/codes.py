"""How the multilingual models write languages: from a BCP-47 tag to the codes that a model may know it by.

A model's own vocabulary decides: the first of the codes that it has is used.
"""

from __future__ import annotations

import langcodes

_M2M: dict[str, str] = {"nb": "no", "nn": "no", "fil": "tl", "nso": "ns"}
"""Where the codes of M2M100 are not ISO 639-1 or -3."""
_MADLAD: dict[str, str] = {"nb": "no", "tl": "fil"}
_INDIVIDUAL: dict[str, str] = {
    "ara": "arb", "aym": "ayr", "aze": "azj", "din": "dik", "fas": "pes", "fil": "tgl", "ful": "fuv", "kau": "knc",
    "kur": "kmr", "lav": "lvs", "mlg": "plt", "mon": "khk", "msa": "zsm", "nep": "npi", "nor": "nob", "ori": "ory",
    "orm": "gaz", "pus": "pbt", "que": "quy", "sqi": "als", "swa": "swh", "uzb": "uzn", "yid": "ydd",
}  # fmt: skip
"""Macrolanguages of ISO 639-3 -> the language of theirs that NLLB-200 (FLORES-200) has."""
_OPUS = {"zho": "cmn"}
_FLORES_SCRIPTS = {"Kore": "Hang"}


def m2m100(tag: str) -> tuple[str, ...]:
    """Return the codes of M2M100: ``"pt"``."""
    language, script = _parts(tag)
    code = _M2M.get(language, language)
    return (code,) if _is_usual(language, script) else ()


def nllb(tag: str) -> tuple[str, ...]:
    """Return the codes of FLORES-200: ISO 639-3 and ISO 15924, ``"por_Latn"``."""
    language, script = _parts(tag)
    code, written = _alpha3(language), _FLORES_SCRIPTS.get(script, script)
    return tuple(f"{each}_{written}" for each in dict.fromkeys((code, _INDIVIDUAL.get(code, code))))


def madlad(tag: str) -> tuple[str, ...]:
    """Return the codes of MADLAD-400: BCP-47 with underscores, ``"fr_CA"``, ``"zh_Hant"``, ``"pt"``."""
    language, script = _parts(tag)
    territory = langcodes.get(tag).territory
    codes = (language, _MADLAD.get(language, language))
    special = ([f"{code}_{territory}" for code in codes] if territory else []) + [f"{code}_{script}" for code in codes]
    return tuple(dict.fromkeys((*special, *(codes if _is_usual(language, script) else ()))))


def opus(tag: str) -> tuple[str, ...]:
    """Return the codes of Opus-MT's multilingual models, old (``"pt_br"``, ``"pt"``) and new (``"por"``)."""
    language, script = _parts(tag)
    territory = langcodes.get(tag).territory
    alpha3 = _alpha3(language)
    codes = dict.fromkeys((alpha3, _OPUS.get(alpha3, _INDIVIDUAL.get(alpha3, alpha3)), language))
    special = [f"{code}_{territory}" for code in codes] if territory else []
    special += [each.lower() for each in special] + [f"{code}_{script}" for code in codes]
    return tuple(dict.fromkeys((*special, *(codes if _is_usual(language, script) else ()))))


def _parts(tag: str) -> tuple[str, str]:
    """Return the language, and the script that the tag says or implies."""
    language = langcodes.get(tag).maximize()
    return language.language or "", language.script or ""


def _alpha3(language: str) -> str:
    try:
        return langcodes.get(language).to_alpha3()
    except LookupError:
        return language


def _is_usual(language: str, script: str) -> bool:
    """Return whether a code without a script stands for the language in this script."""
    return langcodes.get(language).maximize().script == script
