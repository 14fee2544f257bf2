"""Which engines take a line from one language to another: data (``routes.toml``) and a pure choice.

A chain is a list of hops whose figures were measured as a whole; the best measured chain that can run here
wins. Speech in a language that no chain starts from is first translated into English by the recogniser.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path

from stages.artifacts import Record
from stages.languages import closest, normalise_tag

_ROUTES = Path(__file__).with_name("routes.toml")
_FIGURES = {"chrf": True, "bleu": True}
PIVOT = "en"
"""What the recogniser's translation task translates into."""


class Hop(Record):
    """One engine that translates one language into another."""

    engine: str
    source: str
    target: str
    licence: str
    mode: str = ""
    """The engine's own name of the direction, where it has one."""
    package: str = ""
    """What installs it, where it does not come with the project."""
    sha256: str = ""
    """Of the model's files, where the user chose them."""

    @property
    def name(self) -> str:
        """E.g. ``"apertium pt-BR>es"``."""
        return f"{self.engine} {self.source}>{self.target}"


class Route(Record):
    """The hops from one language to another, and how well they did together.

    chrF2 and BLEU (sacrebleu) of the 30 articles of the Universal Declaration of Human Rights; None where the
    chain starts from speech, for which the declaration is no measure.
    """

    hops: tuple[Hop, ...]
    chrf: float | None = None
    bleu: float | None = None
    variant: str | None = None
    """The variant of the last hop's language that was asked for."""
    otherwise: Route | None = None
    """What translates the texts that this one cannot."""

    @property
    def source(self) -> str:
        """Tag of the first language."""
        return self.hops[0].source

    @property
    def target(self) -> str:
        """Tag of the last language, as it was asked for."""
        return self.variant or self.hops[-1].target

    @property
    def digest(self) -> str:
        """SHA-256 of what a translation depends on; the figures only say why this route was chosen."""
        return hashlib.sha256(self.model_dump_json(exclude=_FIGURES | {"otherwise": _FIGURES}).encode()).hexdigest()


class Table(Record):
    """What ``routes.toml`` says."""

    hops: tuple[Hop, ...]
    chains: tuple[Route, ...]
    heard: tuple[str, ...]
    """Languages whose speech the recogniser translates into English."""


@cache
def table() -> Table:
    """Return the routes that are known, whether or not they can run here."""
    data = tomllib.loads(_ROUTES.read_text(encoding="utf-8"))
    hops = {hop.name: hop for hop in (Hop(**entry) for entry in data["hop"])}
    chains = tuple(
        Route(hops=tuple(hops[name] for name in entry["hops"]), chrf=entry["chrf"], bleu=entry["bleu"])
        for entry in data["chain"]
    )
    return Table(hops=tuple(hops.values()), chains=chains, heard=tuple(data["heard"]))


def route(source: str, target: str, available: Collection[Hop]) -> Route | None:
    """Return the best route from ``source`` to ``target`` over the available hops, or None.

    Written text goes by the measured chain with the highest chrF. Where none leads there, the speech is
    heard in English first and the best measured chain goes on from there.
    """
    if closest(source, (target,)):
        return None
    best = _best_chain(source, target, available)
    if best is not None:
        return best
    hearing = _hearing(source, available)
    if hearing is None:
        return None
    if closest(target, (PIVOT,)):
        return Route(hops=(hearing,))
    onward = _best_chain(PIVOT, target, available)
    return Route(hops=(hearing, *onward.hops)) if onward else None


def targets(source: str, available: Collection[Hop]) -> tuple[str, ...]:
    """Return the languages that ``source`` can be translated into over the available hops, sorted."""
    known = {chain.target for chain in table().chains} | {PIVOT}
    return tuple(
        sorted(
            target
            for target in known
            if not closest(source, (target,)) and route(source, target, available) is not None
        )
    )


def sources() -> tuple[str, ...]:
    """Return every language that any route starts from, sorted."""
    return tuple(sorted({chain.source for chain in table().chains} | {normalise_tag(tag) for tag in table().heard}))


def _best_chain(source: str, target: str, available: Collection[Hop]) -> Route | None:
    usable = _usable(frozenset(hop.name for hop in available))
    first = closest(source, {chain.source for chain in usable})
    last = closest(target, {chain.target for chain in usable})
    matching = [chain for chain in usable if (chain.source, chain.target) == (first, last)]
    return max(matching, key=_measured_chrf, default=None)


@cache
def _usable(names: frozenset[str]) -> tuple[Route, ...]:
    return tuple(chain for chain in table().chains if all(hop.name in names for hop in chain.hops))


def _measured_chrf(chain: Route) -> float:
    return chain.chrf or 0.0


def _hearing(source: str, available: Collection[Hop]) -> Hop | None:
    hop = next((hop for hop in available if hop.engine == "whisper"), None)
    heard = closest(source, table().heard)
    if hop is None or heard is None or heard == PIVOT:
        return None
    return hop.model_copy(update={"source": heard})


def packages(chains: Sequence[Route]) -> tuple[str, ...]:
    """Return what must be installed for these chains, without doubles, in order."""
    return tuple(dict.fromkeys(hop.package for chain in chains for hop in chain.hops if hop.package))
