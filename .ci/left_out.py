"""Say which extras of the project are not installed, and why: the packages that they need and that are not here."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "dubwright"


def missing(extra: str) -> Iterator[str]:
    """Yield each requirement of an extra that what is installed does not meet."""
    for text in metadata(PROJECT).get_all("Requires-Dist") or []:
        requirement = Requirement(text)
        if requirement.marker is None or not requirement.marker.evaluate({"extra": extra}):
            continue
        if requirement.marker.evaluate({"extra": ""}):
            continue  # a dependency of the project itself
        if canonicalize_name(requirement.name) == PROJECT:
            for inner in sorted(requirement.extras):
                yield from missing(inner)
            continue
        wanted = f"{requirement.name}{requirement.specifier}"
        try:
            here = version(requirement.name)
        except PackageNotFoundError:
            yield f"{wanted} is not installed"
            continue
        if not requirement.specifier.contains(here, prereleases=True):
            yield f"{wanted} is asked for and {here} is here"


def main() -> None:
    """Print a line for every extra that was left out."""
    extras = metadata(PROJECT).get_all("Provides-Extra") or []
    left_out = {extra: list(dict.fromkeys(missing(extra))) for extra in extras}
    print(
        f"Left out of the {len(extras)} extras, and why; make test-neural runs them all, those that need torchaudio in"
    )
    print("an environment of their own, since one version of it fits one version of torch:")
    for extra, reasons in left_out.items():
        if reasons:
            print(f"  {extra}: {'; '.join(reasons)}")
    if not any(left_out.values()):
        print("  none")


if __name__ == "__main__":
    main()
