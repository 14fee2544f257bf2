"""System libraries that wheels do not bring."""

from __future__ import annotations

import ctypes
import sys

from stages.errors import MissingEngineError

_DEBIAN_PACKAGES = {"libEGL.so.1": "libegl1", "libGLESv2.so.2": "libgles2", "libGL.so.1": "libgl1"}
"""What mediapipe and OpenCV load on Linux, and the Debian package that has it."""


def missing_packages() -> tuple[str, ...]:
    """Return the Debian packages whose libraries cannot be loaded; nothing is missing on macOS."""
    if not sys.platform.startswith("linux"):
        return ()
    return tuple(package for library, package in _DEBIAN_PACKAGES.items() if not _loads(library))


def require_libraries() -> None:
    """Check the system libraries.

    Raises:
        MissingEngineError: some cannot be loaded; the message is the command that installs them.
    """
    if packages := missing_packages():
        raise MissingEngineError(
            f"system libraries for face tracking are missing. Run: sudo apt-get install -y {' '.join(packages)}"
        )


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
