"""Models of the Hugging Face hub: a repository's files at one commit, checked against what the hub says.

Only ``dubwright models fetch`` comes here. A download that broke off goes on where it stopped, also in another run: the
client's ``hf_hub_download`` deletes what it has of a file when it fails (huggingface_hub 2.4,
``file_download._download_to_tmp_and_move``), so its ``http_get`` is called instead, which goes on from a given size.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stages.artifacts import Record
from stages.errors import MissingEngineError

Report = Callable[[str, int, int], None]

_PARTIAL = ".partial"
"""Folder of begun files, each by its digest: what a branch points to may change between two attempts."""


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
        report: told how far the download is.

    Raises:
        MissingEngineError: the hub was not reached, refused, lacks a file, or a file is not what the hub says it is.
    """
    # Importing stages keeps every library from the hub; only this command may ask it, and its client reads this when
    # it is imported.
    os.environ["HF_HUB_OFFLINE"] = "0"
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # it tells of every attempt; what counts is said once, below
    try:
        told = HfApi().model_info(source.repo, revision=source.revision, files_metadata=True)
        assert told.sha is not None
        wanted = _wanted(source, told.siblings or [])
        done = 0
        for sibling in wanted:

            def tell(bytes_here: int, before: int = done) -> None:
                report(source.repo, min(before + bytes_here, size_bytes), size_bytes)

            file = _fetched(source.repo, told.sha, sibling, into, tell)
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
            f"cannot download {source.repo}: {reason} Check the network and run the command again: it goes on where "
            "it stopped."
        ) from error
    shutil.rmtree(into / _PARTIAL, ignore_errors=True)
    report(source.repo, size_bytes, size_bytes)
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


class _Counted(io.BufferedWriter):
    """A file that tells its size at every write."""

    def __init__(self, file: Path, report: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(file, "ab"))
        self._report = report

    def write(self, data: Any) -> int:
        written = super().write(data)
        self._report(self.tell())
        return written


def _fetched(repo: str, commit: str, sibling: Any, into: Path, report: Callable[[int], None]) -> Path:
    """Return a file of a repository: as it is here already, or downloaded, from where an earlier attempt broke off.

    Args:
        repo: of the hub.
        commit: of the repository.
        sibling: the hub's description of the file.
        into: folder for it.
        report: told how many bytes of it are here.

    Raises:
        MissingEngineError: it is not what the hub says it is.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    file, partial = into / sibling.rfilename, into / _PARTIAL / _told_digest(sibling)
    if file.is_file() and _digest(file, sibling) == _told_digest(sibling):
        return file
    partial.parent.mkdir(parents=True, exist_ok=True)
    if sibling.size is not None and partial.is_file() and partial.stat().st_size > sibling.size:
        partial.unlink()  # two commands at once wrote to it
    with _Counted(partial, report) as out:
        report(out.tell())
        http_get(
            hf_hub_url(repo, sibling.rfilename, revision=commit),
            out,
            resume_size=out.tell(),
            headers={**build_hf_headers(), "Accept-Encoding": "identity"},  # bytes are counted as they lie here
            expected_size=sibling.size,
        )
    if _digest(partial, sibling) != _told_digest(sibling):
        partial.unlink()
        raise MissingEngineError(
            f"{sibling.rfilename} of {repo} is not what the hub says it is (its digest): run the command again."
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    return partial.replace(file)


def _told_digest(sibling: Any) -> str:
    """Return the SHA-256 of a large file, the git object id of a small one."""
    return str(sibling.lfs.sha256 if sibling.lfs is not None else sibling.blob_id)


def _digest(file: Path, sibling: Any) -> str:
    """Return what :func:`_told_digest` is of the file that is here."""
    with file.open("rb") as stream:
        if sibling.lfs is not None:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        git = hashlib.sha1(f"blob {file.stat().st_size}\0".encode(), usedforsecurity=False)
        return hashlib.file_digest(stream, lambda: git).hexdigest()
