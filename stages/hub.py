"""Models of the Hugging Face hub: a repository's files at one commit, checked against what the hub says.

Only ``dubwright models fetch`` comes here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stages.artifacts import Record
from stages.errors import MissingEngineError

Report = Callable[[str, int, int], None]

_CLIENTS_OWN = ".cache"


class Source(Record):
    """Where a model lies."""

    repo: str
    revision: str
    """A commit, a tag or a branch; the commit that it was is recorded when it is fetched."""
    files: tuple[str, ...]
    """Names, or patterns of names, of what is needed."""


def download(source: Source, into: Path, size_bytes: int, gated: str | None, report: Report) -> str:
    """Download the source's files into a folder that may hold some of them already, and return the commit.

    Args:
        source: where they lie.
        into: made if need be; holds nothing but the files afterwards.
        size_bytes: about how much it is, to say how far it is.
        gated: what has to be accepted first, and where; None: nothing.
        report: told how far the download is, between files.

    Raises:
        MissingEngineError: the hub was not reached, refused, lacks a file, or a file is not what the hub says it is.
    """
    # Importing stages keeps every library from the hub; only this command may ask it, and its client reads this when
    # it is imported.
    os.environ["HF_HUB_OFFLINE"] = "0"
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # it tells of every attempt; what counts is said once, below
    try:
        told = HfApi().model_info(source.repo, revision=source.revision, files_metadata=True)
        wanted = _wanted(source, told.siblings or [])
        done = 0
        for sibling in wanted:
            report(source.repo, min(done, size_bytes), size_bytes)
            file = Path(hf_hub_download(source.repo, sibling.rfilename, revision=told.sha, local_dir=into))
            if sibling.lfs is not None and _sha256(file) != sibling.lfs.sha256:
                file.unlink()
                raise MissingEngineError(
                    f"{sibling.rfilename} of {source.repo} is not what the hub says it is (SHA-256): run the command "
                    "again."
                )
            done += file.stat().st_size
    except GatedRepoError as error:
        raise MissingEngineError(
            f"{source.repo} is gated: {gated or 'accept its conditions on its page, and set HF_TOKEN'}."
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise MissingEngineError(
            f"the hub has no {source.repo} at {source.revision} (or it needs HF_TOKEN)."
        ) from error
    except MissingEngineError:
        raise
    except Exception as error:  # the client's transport raises errors of a library that changes with its version
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MissingEngineError(
            f"cannot download {source.repo}: {reason} Check the network and run the command again; files that are "
            "complete are kept."
        ) from error
    shutil.rmtree(into / _CLIENTS_OWN, ignore_errors=True)
    report(source.repo, size_bytes, size_bytes)
    assert told.sha is not None
    return told.sha


def _wanted(source: Source, siblings: list[Any]) -> list[Any]:
    """Return the files of a repository that the source names, in its order.

    Raises:
        MissingEngineError: one is not there.
    """
    from fnmatch import fnmatchcase

    found: dict[str, Any] = {}
    for pattern in source.files:
        matching = [each for each in siblings if fnmatchcase(each.rfilename, pattern)]
        if not matching:
            raise MissingEngineError(f"{source.repo} at {source.revision} has no {pattern}: name another revision.")
        found |= {each.rfilename: each for each in matching}
    return list(found.values())


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
