"""Fetching from a hub: the real client against a server on this machine that speaks the hub's protocol."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import ROOT

NAME, REPO, COMMIT = "faster-whisper-small", "Systran/faster-whisper-small", "c" * 40
FILES = {
    "config.json": b"{}",
    "model.bin": b"weights " * 100_000,
    "tokenizer.json": b"{}",
    "vocabulary.txt": b"a b",
    "README.md": b"not needed",
}


class Hub(ThreadingHTTPServer):
    """What the hub holds, how it misbehaves, and what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = dict(FILES)
        self.told_sha256: dict[str, str] = {}
        self.gated = False
        self.breaks_after: int | None = None
        self.sent: list[str] = []
        self.asked: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.server
        hub.asked.append(self.path)
        if hub.gated:
            self._answer(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted."})
        elif self.path.startswith(f"/api/models/{REPO}/revision/main"):
            siblings = [
                {
                    "rfilename": name,
                    "size": len(content),
                    "lfs": {
                        "sha256": hub.told_sha256.get(name, hashlib.sha256(content).hexdigest()),
                        "size": len(content),
                        "pointerSize": 1,
                    },
                }
                for name, content in hub.files.items()
            ]
            told = {"id": REPO, "modelId": REPO, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}
            self._answer(200, json.dumps(told).encode(), {"Content-Type": "application/json"})
        elif self.path.startswith(f"/{REPO}/resolve/{COMMIT}/"):
            name = self.path.rsplit("/", 1)[1].partition("?")[0]
            if self.command == "GET":
                hub.sent.append(name)
            self._send(hub.files[name])
        else:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _send(self, content: bytes) -> None:
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": COMMIT,
            "Accept-Ranges": "bytes",
        }
        if (wanted := self.headers.get("Range")) and self.command == "GET":
            first = int(wanted.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            self._answer(206, content[first:], headers)
        else:
            self._answer(200, content, headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        limit = self.server.breaks_after
        if limit is not None and len(body) > limit:
            self.wfile.write(body[:limit])
            self.close_connection = True
            return
        self.wfile.write(body)


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def models(hub: Hub | None, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    endpoint = f"http://127.0.0.1:{hub.server_port}" if hub else "http://127.0.0.1:9"
    given = {"DUBWRIGHT_MODELS": str(folder / "models"), "HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "home")}
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", "models", *arguments],
        capture_output=True, text=True, cwd=ROOT, timeout=120, check=False,
        env={**os.environ, "HF_HUB_DOWNLOAD_TIMEOUT": "5", **given, **environment},
    )  # fmt: skip


def test_what_is_needed_is_fetched_checked_and_recorded(hub: Hub, tmp_path: Path) -> None:
    done = models(hub, tmp_path, "fetch", NAME)
    assert done.returncode == 0, done.stderr
    place = tmp_path / "models" / NAME
    record = json.loads((place / "fetched.json").read_text())
    assert record["commit"] == COMMIT
    assert record["files"]["model.bin"] == hashlib.sha256(FILES["model.bin"]).hexdigest()
    assert {file.name for file in place.iterdir()} == {*FILES, "fetched.json"} - {"README.md"}
    assert models(hub, tmp_path, "path", NAME).stdout.strip() == str(place)
    asked = len(hub.asked)
    assert models(hub, tmp_path, "fetch", NAME).returncode == 0 and len(hub.asked) == asked  # nothing again
    (place / "model.bin").write_bytes(b"damaged")
    checked = models(hub, tmp_path, "verify", NAME)
    assert checked.returncode == 3 and "model.bin has the wrong SHA-256" in checked.stdout


def test_a_download_that_broke_off_goes_on_with_the_next_file(hub: Hub, tmp_path: Path) -> None:
    hub.breaks_after = 500_000
    broken = models(hub, tmp_path, "fetch", NAME)
    assert broken.returncode == 3 and "files that are complete are kept" in broken.stderr
    assert "Traceback" not in broken.stderr and not (tmp_path / "models" / NAME).exists()
    hub.breaks_after = None
    hub.sent.clear()
    done = models(hub, tmp_path, "fetch", NAME)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "models" / NAME / "model.bin").read_bytes() == FILES["model.bin"]
    assert "model.bin" in hub.sent and "config.json" not in hub.sent


def test_a_file_that_is_not_what_the_hub_says(hub: Hub, tmp_path: Path) -> None:
    hub.told_sha256["model.bin"] = "0" * 64
    done = models(hub, tmp_path, "fetch", NAME)
    assert done.returncode == 3 and "not what the hub says it is" in done.stderr
    assert not (tmp_path / "models" / NAME).exists()


def test_a_gated_model_says_what_to_accept_and_where(hub: Hub, tmp_path: Path) -> None:
    hub.gated = True
    done = models(hub, tmp_path, "fetch", "pyannote-community-1")
    assert done.returncode == 3 and done.stderr.strip().count("\n") == 0
    assert "is gated: accept the conditions" in done.stderr and "HF_TOKEN" in done.stderr


@pytest.mark.parametrize("missing", ["repository", "file"])
def test_what_is_not_there(hub: Hub, tmp_path: Path, missing: str) -> None:
    if missing == "file":
        del hub.files["model.bin"]
        done = models(hub, tmp_path, "fetch", NAME)
        assert "has no model.bin" in done.stderr
    else:
        done = models(hub, tmp_path, "fetch", "htdemucs")
        assert "the hub has no adefossez/HTDemucs at main" in done.stderr
    assert done.returncode == 3 and done.stderr.strip().count("\n") == 0


def test_no_hub_and_no_network_wanted(tmp_path: Path) -> None:
    away = models(None, tmp_path, "fetch", NAME)
    assert away.returncode == 3 and "cannot download" in away.stderr and away.stderr.strip().count("\n") == 0
    offline = models(None, tmp_path, "fetch", NAME, DUBWRIGHT_OFFLINE="1")
    assert offline.returncode == 3 and "because DUBWRIGHT_OFFLINE is set" in offline.stderr


def test_a_model_that_the_user_gives(tmp_path: Path) -> None:
    asked = models(None, tmp_path, "fetch", "wav2lip-gan")
    assert asked.returncode == 2 and "dubwright models fetch wav2lip-gan --file PATH/wav2lip_gan.pth" in asked.stderr
    (tmp_path / "wav2lip_gan.pth").write_bytes(b"weights")
    given = models(None, tmp_path, "fetch", "wav2lip-gan", "--file", str(tmp_path / "wav2lip_gan.pth"))
    assert given.returncode == 0, given.stderr
    assert (tmp_path / "models" / "wav2lip-gan" / "wav2lip_gan.pth").read_bytes() == b"weights"
    assert models(None, tmp_path, "verify", "wav2lip-gan").returncode == 0
    (tmp_path / "tiny.pt").write_bytes(b"not it")
    wrong = models(None, tmp_path, "fetch", "openai-whisper-tiny", "--file", str(tmp_path / "tiny.pt"))
    assert wrong.returncode == 2 and "is not tiny.pt: it has another SHA-256" in wrong.stderr
    other = models(None, tmp_path, "fetch", NAME, "--file", str(tmp_path / "tiny.pt"))
    assert other.returncode == 2 and f"{NAME} takes no such file" in other.stderr
