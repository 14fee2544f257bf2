"""Folders named by a URL, through ``fsspec``: S3 and what speaks like it (``s3fs``), or a local ``file:`` one.

Credentials, endpoint and region are those of botocore (environment, profiles) and of fsspec's own configuration.
Nothing is imported or connected to before the first use.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from stages.errors import InputError, MissingEngineError, PassingError
from stages.hostile import printable

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_BLOCK_BYTES = 8 << 20
_SCHEMES: Mapping[str, Mapping[str, Any]] = {
    "s3": {"use_listings_cache": False},  # others write there as well
    "file": {"auto_mkdir": True},
}
"""What is known to work, and how it is opened."""
_REFUSALS = (
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound", "NoRegionError",
    "ParamValidationError", "ConfigParseError", "InvalidConfigError", "TokenRetrievalError", "SSOError",
)  # fmt: skip
"""botocore's errors that are as wrong the next time; its others are of the network."""
_BUSY_ERRNOS = {errno.EBUSY, errno.EIO, getattr(errno, "EREMOTEIO", errno.EIO)}
"""What s3fs makes of a server's 5xx."""
_SEE_TO = {
    "s3": "see to the bucket, the credentials and their rights, and the endpoint (AWS_PROFILE, or AWS_ACCESS_KEY_ID, "
    "AWS_SECRET_ACCESS_KEY; AWS_ENDPOINT_URL)",
    "file": "see to the folder and its permissions",
}


def is_url(text: str) -> bool:
    """Return whether a text is meant as a URL: ``scheme://...``."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def scheme_of(url: str) -> str:
    """Return ``s3`` of ``s3://...``."""
    return url.partition("://")[0].lower()


def check_url(url: str, what: str) -> None:
    """Check that a URL names a folder or file that can be used; ``what`` it is for is named in the message.

    Raises:
        InputError: it is of another kind.
    """
    if not is_url(url) or scheme_of(url) not in _SCHEMES:
        known = ", ".join(f"{scheme}://..." for scheme in _SCHEMES)
        raise InputError(f"{what}: {printable(url)} cannot be used; what can: {known}.")
    if {".", ".."} & set(PurePosixPath(url.partition("://")[2]).parts) or any(sign in url for sign in "?#\n\r\0"):
        raise InputError(f"{what}: {printable(url)} has a part that names nothing (.., ?, #); leave it out.")


@dataclass(frozen=True)
class RemoteFolder:
    """A folder at a URL; names in it are relative and have forward slashes.

    Every method raises InputError where the place refuses (no such bucket, no rights, no credentials),
    PassingError where it cannot be reached, MissingEngineError where ``s3fs`` is not installed.
    """

    url: str

    def size_and_mark(self, name: str) -> tuple[int, str] | None:
        """Return a file's size in bytes, and what changes with its content (ETag; time where there is none)."""
        with self._errors("be read"):
            files, path = self._opened(name)
            try:
                about = files.info(path)
            except FileNotFoundError:
                return None
        if about["type"] != "file":
            return None
        return about["size"], str(about.get("ETag", about.get("mtime", "")))

    def read(self, name: str) -> bytes | None:
        """Return a small file's content; None where there is none."""
        with self._errors("be read"):
            files, path = self._opened(name)
            try:
                content: bytes = files.cat_file(path)
            except (FileNotFoundError, IsADirectoryError):
                return None
        return content

    def blocks(self, name: str) -> Iterator[bytes]:
        """Yield a file's content in order; FileNotFoundError where there is none."""
        with self._errors("be read", missing=True):
            files, path = self._opened(name)
            with files.open(path, "rb", block_size=_BLOCK_BYTES) as stream:
                while block := stream.read(_BLOCK_BYTES):
                    yield block

    def names(self) -> list[str]:
        """Return the names of all files in it and below it."""
        with self._errors("be listed"):
            files, root = self._opened("")
            try:
                found = files.find(root)
            except FileNotFoundError:
                return []
        return [path.removeprefix(root.rstrip("/") + "/") for path in found]

    def put(self, name: str, file: Path) -> None:
        """Write a file there, in place of what there is."""
        with self._errors("be written to"):
            files, path = self._opened(name)
            files.put_file(str(file), path)

    def write(self, name: str, content: bytes) -> None:
        """Write a small file there."""
        with self._errors("be written to"):
            files, path = self._opened(name)
            files.pipe_file(path, content)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with self._errors("be written to"):
            files, path = self._opened(name)
            try:
                files.rm_file(path)
            except FileNotFoundError:
                return

    def _opened(self, name: str) -> tuple[AbstractFileSystem, str]:
        import fsspec.core

        scheme = scheme_of(self.url)
        try:
            files, root = fsspec.core.url_to_fs(self.url, **_SCHEMES[scheme])
        except ImportError as error:
            raise MissingEngineError(
                f'{self.url} needs a package that is not installed ({error}); run: pip install "dubwright[{scheme}]"'
            ) from error
        return files, f"{root.rstrip('/')}/{name}" if name else root

    @contextmanager
    def _errors(self, what: str, missing: bool = False) -> Iterator[None]:
        """Turn what the libraries raise into one line; ``missing`` lets a missing file through."""
        try:
            yield
        except (InputError, MissingEngineError):
            raise
        except Exception as error:
            if missing and isinstance(error, FileNotFoundError):
                raise
            told = f"{self.url} cannot {what} ({' '.join(str(error).split()) or type(error).__name__})"
            if _may_pass(error):
                raise PassingError(
                    f"{told}; see whether it answers and run the same command again: finished stages are kept."
                ) from error
            if _is_refusal(error):
                raise InputError(f"{told}; {_SEE_TO[scheme_of(self.url)]}.") from error
            raise


def _may_pass(error: Exception) -> bool:
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    if type(error).__module__ == "botocore.exceptions":
        return type(error).__name__ not in _REFUSALS
    if type(error).__module__.startswith("aiohttp."):
        return True
    return type(error) is OSError and error.errno in _BUSY_ERRNOS


def _is_refusal(error: Exception) -> bool:
    """Return whether it is an error of the place; ValueError is how botocore names a malformed endpoint or bucket."""
    return isinstance(error, OSError | ValueError) or type(error).__module__ == "botocore.exceptions"
