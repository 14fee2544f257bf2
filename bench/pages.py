"""Makes docs/prefect-ui.png: pages of a real Prefect UI, from a Chromium without a window.

Usage: python bench/pages.py URL OUT, where URL is that of a ``dubwright serve`` that has dubbed the sample.
Needs ``pip install "dubwright[pages]"`` and a chromium in PATH.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import cv2
import httpx
import numpy as np

NAME = "statement-en -> pt-BR"
SIZE_PX = {"width": 1000, "height": 640}
SETTLED_MS = 3000
"""The graph of a run is drawn after everything has been loaded."""


def pages(url: str) -> list[str]:
    """Return the pages that are worth a picture."""

    def found(kind: str) -> list[dict]:
        return httpx.post(f"{url}/api/{kind}/filter", json={"limit": 200}, timeout=30).raise_for_status().json()

    dub = next(run["id"] for run in found("flow_runs") if run["name"] == NAME and run["state_type"] == "COMPLETED")
    artifacts = {each["key"]: each["id"] for each in found("artifacts") if each["flow_run_id"] == dub}
    form = next(each["id"] for each in found("deployments") if each["name"] == "on-demand")
    return [
        f"runs/flow-run/{dub}",
        f"artifacts/artifact/{artifacts['lines-statement-en-pt-br']}",
        f"artifacts/artifact/{artifacts['report-statement-en-pt-br']}",
        f"deployments/deployment/{form}/run",
    ]


def main(url: str, out: Path) -> None:
    """Take the pictures and lay them out two by two."""
    from playwright.sync_api import sync_playwright  # an extra: without it the rest of the file can be imported

    shots = []
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_page(viewport=SIZE_PX, color_scheme="light")
        for path in pages(url):
            page.goto(f"{url}/{path}", wait_until="networkidle")
            page.wait_for_timeout(SETTLED_MS)
            shots.append(cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR))
        chromium.close()
    framed = [cv2.copyMakeBorder(shot, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(128, 128, 128)) for shot in shots]
    sheet = np.vstack([np.hstack(framed[:2]), np.hstack(framed[2:])])
    cv2.imwrite(str(out), sheet, [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"), Path(sys.argv[2]))
