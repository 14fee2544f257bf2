"""The stages of a dub: plain functions from artifacts to an artifact. No orchestration lives here.

Importing this package switches off whatever usage reporting and hub look-ups the libraries would do: nothing leaves the
machine. And it keeps numpy's small matrix products on one thread: its pool fights the engines' own threads for the
cores. Both must happen before the libraries are imported, therefore here.
"""

import os

os.environ.update(
    {
        "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",
        "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime from 1.29 on, also on Linux
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PYANNOTE_METRICS_ENABLED": "false",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
