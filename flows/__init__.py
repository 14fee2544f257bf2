"""What users start: the ``dubwright`` command and the Prefect flows. Stages do the work; nothing here touches media."""

import os

import stages  # noqa: F401  (switches off usage reporting before Prefect is imported)

for _name, _value in {
    # Our modules log through the standard library; Prefect shows and keeps what these loggers say.
    "PREFECT_LOGGING_EXTRA_LOGGERS": "stages,flows",
    # The first start of a temporary server on a fresh home has taken 19 s on two cores.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
}.items():
    os.environ.setdefault(_name, _value)
