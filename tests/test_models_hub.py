"""Fetching from a hub: the real client against a server on this machine that speaks the hub's protocol."""

from __future__ import annotations

import hashlib
import json
import os
import random
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
    "model.bin": random.Random(0).randbytes(25 << 20),
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
        self.serves_bytes: int | None = None
        """Of files; then every connection is cut."""
        self.cuts_once_after: int | None = None
        self.sent: list[str] = []
        self.sent_bytes = 0
        self.ranges: list[str] = []
        self.asked: list[str] = []

    def large(self, name: str) -> dict[str, object]:
        """What is told of a file that is kept outside git."""
        if name != "model.bin":
            return {}
        sha256 = self.told_sha256.get(name, hashlib.sha256(self.files[name]).hexdigest())
        return {"lfs": {"sha256": sha256, "size": len(self.files[name]), "pointerSize": 1}}


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
                    "blobId": hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest(),
                    **hub.large(name),
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
            self.server.ranges.append(wanted)
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
        hub = self.server
        if "/resolve/" not in self.path:
            self.wfile.write(body)
            return
        served = body if hub.serves_bytes is None else body[: max(0, hub.serves_bytes - hub.sent_bytes)]
        if hub.cuts_once_after is not None and len(served) > hub.cuts_once_after:
            served, hub.cuts_once_after = served[: hub.cuts_once_after], None
        hub.sent_bytes += len(served)
        self.wfile.write(served)
        self.close_connection = len(served) < len(body)


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


def test_a_download_that_broke_off_goes_on_where_it_stopped(hub: Hub, tmp_path: Path) -> None:
    chunk = 10 << 20  # the client hands on whole chunks: what it has of the next one is lost
    hub.serves_bytes = 23 << 20
    broken = models(hub, tmp_path, "fetch", NAME)
    assert broken.returncode == 3 and "it goes on where it stopped" in broken.stderr
    assert "Traceback" not in broken.stderr and not (tmp_path / "models" / NAME).exists()
    hub.serves_bytes, hub.sent_bytes = None, 0
    hub.sent.clear()
    hub.ranges.clear()
    done = models(hub, tmp_path, "fetch", NAME)
    assert done.returncode == 0, done.stderr
    place = tmp_path / "models" / NAME
    assert (place / "model.bin").read_bytes() == FILES["model.bin"]
    assert {file.name for file in place.iterdir()} == {*FILES, "fetched.json"} - {"README.md"}
    assert hub.sent == ["model.bin", "tokenizer.json", "vocabulary.txt"], "config.json was complete"
    assert hub.ranges == [f"bytes={2 * chunk}-"]
    small = sum(len(FILES[name]) for name in hub.sent[1:])
    assert hub.sent_bytes == len(FILES["model.bin"]) - 2 * chunk + small


def test_a_connection_that_breaks_once_is_taken_up_in_the_same_run(hub: Hub, tmp_path: Path) -> None:
    hub.cuts_once_after = 15 << 20
    done = models(hub, tmp_path, "fetch", NAME)
    assert done.returncode == 0, done.stderr
    assert hub.ranges == [f"bytes={10 << 20}-"]
    assert (tmp_path / "models" / NAME / "model.bin").read_bytes() == FILES["model.bin"]


def test_a_file_that_changed_between_two_attempts_starts_anew(hub: Hub, tmp_path: Path) -> None:
    hub.serves_bytes = 15 << 20
    assert models(hub, tmp_path, "fetch", NAME).returncode == 3
    hub.serves_bytes = None
    hub.ranges.clear()
    hub.files["model.bin"] = FILES["model.bin"][::-1]
    hub.files["config.json"] = b'{"other": 1}'
    done = models(hub, tmp_path, "fetch", NAME)
    assert done.returncode == 0, done.stderr
    place = tmp_path / "models" / NAME
    assert all((place / name).read_bytes() == hub.files[name] for name in ("model.bin", "config.json"))
    assert not hub.ranges


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
