"""Numbers, currencies and signs as words.

Where the engine reads digits itself they stay (``G2P.numbers`` is empty); only currency signs become words, since
espeak-ng leaves them out in most languages. Number words come from the rules of the Unicode CLDR (``unicode-rbnf``), or
from ``num2words`` where the CLDR has none.

A comma or stop before exactly three digits parts thousands, any other is the decimal sign: a text does not say by which
country's custom it was written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any

import langcodes

from language_packs.g2p.errors import UnreadableError, reader_package

NUMBER = re.compile(r"\d{1,3}(?:[.,\u00a0\u202f']\d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,]\d+)?")
_THOUSANDS = re.compile(r"\D(?=\d{3}(?!\d))")
_CURRENCIES = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY", "₹": "INR", "₽": "RUB", "₩": "KRW", "₺": "TRY"}
_AMOUNT = re.compile(
    rf"(?P<before>[{''.join(_CURRENCIES)}])\s?(?P<amount>\d[\d.,]*(?<![.,]))|"
    rf"(?P<number>\d[\d.,]*(?<![.,]))\s?(?P<after>[{''.join(_CURRENCIES)}])"
)
_PERCENT = re.compile(r"(\d[\d.,]*(?<![.,]))\s?[%٪]")
_PERCENT_WORDS = {
    "ja": "{}パーセント", "zh": "百分之{}", "yue": "百分之{}", "th": "{} เปอร์เซ็นต์", "km": "{} ភាគរយ",
    "lo": "{} ເປີເຊັນ", "my": "{} ရာခိုင်နှုန်း",
}  # fmt: skip
_DIGIT_BY_DIGIT = {"zh": re.compile(r"\d{4}(?=\s?年)"), "yue": re.compile(r"\d{4}(?=\s?年)")}
"""Chinese reads the digits of a year one by one."""
_RESPELLED = {"ja": (("・", "点"),), "fil": (("\u0301", ""), ("\u0302", ""), ("’t", " at"))}
"""What the rules write for people -> what is usual in texts and known to the readers."""


def in_words(text: str, numbers: str) -> str:
    """Return ``text`` with its numbers as words.

    Args:
        text: with digits of any script.
        numbers: a language (BCP-47) of the Unicode CLDR's rules or of num2words.

    Raises:
        UnreadableError: neither has that language.
        MissingReaderError: the package is not installed.
    """
    text = _latin_digits(text)
    if not NUMBER.search(text):
        return text
    write = _writer(numbers)
    text = _PERCENT.sub(lambda found: _PERCENT_WORDS.get(numbers, "{} %").format(found[1]), text)
    if numbers in _DIGIT_BY_DIGIT:
        text = _DIGIT_BY_DIGIT[numbers].sub(lambda year: "".join(write(digit) for digit in year[0]), text)
    return re.sub(" +(?= |[,.;:!?])", "", NUMBER.sub(lambda number: f" {write(plain(number[0]))} ", text))


def with_currencies(text: str, tag: str) -> str:
    """Return ``text`` with currency signs as words after their amount, where the CLDR names them in the language."""
    if not any(sign in text for sign in _CURRENCIES):
        return text
    return _AMOUNT.sub(lambda found: _amount(found, tag), text)


def plain(number: str) -> str:
    """Return a number as Python writes it: ``"1.250,5"`` -> 1250.5."""
    whole = _THOUSANDS.sub("", number) if re.fullmatch(r"\d{1,3}(?:\D\d{3})+(?:[.,]\d+)?", number) else number
    return whole.replace(",", ".")


def _amount(found: re.Match[str], tag: str) -> str:
    from babel import Locale, UnknownLocaleError
    from babel.numbers import get_currency_name

    amount = found["amount"] or found["number"]
    currency = _CURRENCIES[found["before"] or found["after"]]
    try:
        locale = Locale.parse(langcodes.standardize_tag(tag), sep="-")
    except (UnknownLocaleError, ValueError):
        locale = Locale.parse("en")
    name = get_currency_name(currency, count=float(plain(_latin_digits(amount))), locale=locale)
    if name == currency:
        name = get_currency_name(currency, count=2, locale="en")
    return f"{amount} {name}"


def _latin_digits(text: str) -> str:
    return "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in text)


def _formatted(engine: Any, number: str) -> str:
    """Return what the rules write; where they have no decimals, the digits after a pause one by one."""
    whole, _, decimals = number.partition(".")
    try:
        return str(engine.format_number(number).text)
    except reader_package("unicode_rbnf.engine").NoRuleForNumberError:
        if not decimals:
            raise UnreadableError(f"the rules for number words have none for {number}: write it in words") from None
    return f"{_formatted(engine, whole)}, {' '.join(_formatted(engine, digit) for digit in decimals)}"


@cache
def _writer(language: str) -> Callable[[str], str]:
    """Return what writes a plain number in words."""
    rules = reader_package("unicode_rbnf").RbnfEngine
    if language in rules.get_supported_languages():
        engine = rules.for_language(language)

        def by_rules(number: str) -> str:
            words = unicodedata.normalize("NFD", _formatted(engine, number))
            for written, usual in (("\u00ad", ""), ("\u200b", ""), *_RESPELLED.get(language, ())):
                words = words.replace(written, usual)
            return unicodedata.normalize("NFC", words)

        return by_rules
    library = reader_package("num2words")
    if language in library.CONVERTER_CLASSES:
        return lambda number: str(library.num2words(float(number) if "." in number else int(number), lang=language))
    raise UnreadableError(f"no rules for number words in {language!r}: [g2p] numbers in its language pack is wrong")
