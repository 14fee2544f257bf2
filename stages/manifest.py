"""The manifest of a stage's folder: what the stage returned, and the SHA-256 of every file and of the manifest itself.

It is written last, so where it lies the folder is complete, in the work folder as in a shared store.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

NAME = "manifest.json"


def parsed(text: str | bytes, key: str) -> dict[str, Any] | None:
    """Return a manifest as it was written; None where it is damaged or another's.

    ``key`` is the stage's key, or the beginning of it that names its folder.
    """
    try:
        manifest: dict[str, Any] = json.loads(text)
        own = manifest.pop("sha256")
        within = all(".." not in PurePosixPath(name).parts and not name.startswith("/") for name in manifest["files"])
        return manifest if own == digest(manifest) and manifest["key"].startswith(key) and within else None
    except (ValueError, KeyError, AttributeError, TypeError):
        return None


def write(folder: Path, manifest: dict[str, Any]) -> None:
    """Add the digests of the folder's files, and the manifest's own, and write it."""
    manifest["files"] = {
        file.relative_to(folder).as_posix(): sha256(file) for file in sorted(folder.rglob("*")) if file.is_file()
    }
    manifest["sha256"] = digest(json.loads(json.dumps(manifest)))  # as it will be read
    (folder / NAME).write_text(json.dumps(manifest, ensure_ascii=False, indent=1), encoding="utf-8")


def files_digest(manifest: dict[str, Any]) -> str:
    """Return what stands for the content of all files."""
    return digest(manifest["files"])


def digest(data: Any) -> str:
    """Return the SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
