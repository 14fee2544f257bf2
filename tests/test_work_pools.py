"""The image and the work pools for it: what cannot be run without a container engine is read by who would run it."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import tomllib
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4

import kubernetes_validate
import pytest
from conftest import ROOT
from prefect.client.schemas.objects import Flow, FlowRun
from prefect.testing.utilities import prefect_test_harness
from prefect_docker.worker import DockerWorker
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

TEMPLATE = json.loads((ROOT / "configs" / "kubernetes.json").read_text())
INSTRUCTION = re.compile(r"^([A-Z]+) (.*)$", re.MULTILINE)


def dockerfile() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return INSTRUCTION.findall(re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    """The job that a worker makes of a flow run."""

    async def made() -> dict[str, Any]:
        values = {"env": {"DUBWRIGHT_SHARED_STORE": "s3://bucket/store"}, "image": "there.example/dubwright:1"}
        configuration = await KubernetesWorkerJobConfiguration.from_template_and_values(TEMPLATE, values)
        run = FlowRun(id=uuid4(), flow_id=uuid4(), name="lecture -> pt-BR")
        configuration.prepare_for_flow_run(run, flow=Flow(name="translate_video"))
        return configuration.job_manifest

    with prefect_test_harness():
        return asyncio.run(made())


def test_the_kubernetes_template_makes_a_job_that_kubernetes_takes(job: dict[str, Any]) -> None:
    kubernetes_validate.validate(job, "1.33", strict=True)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "there.example/dubwright:1" and container["args"] == ["prefect", "flow-run", "execute"]
    assert {"name": "DUBWRIGHT_SHARED_STORE", "value": "s3://bucket/store"} in container["env"]
    assert pod["securityContext"]["runAsNonRoot"] and job["spec"]["backoffLimit"] == 0


def test_every_placeholder_of_the_template_is_a_variable_and_every_variable_is_used() -> None:
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(TEMPLATE["job_configuration"])))
    assert used == set(TEMPLATE["variables"]["properties"])


def test_the_work_folder_of_a_pod_is_the_images(job: dict[str, Any]) -> None:
    (mount,) = job["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    environment = " ".join(rest for name, rest in dockerfile() if name == "ENV")
    assert f"DUBWRIGHT_WORK={mount['mountPath']}" in shlex.split(environment)
    assert job["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == 1000
    assert any(name == "RUN" and "--uid 1000" in rest for name, rest in dockerfile())


def test_the_image_takes_all_that_the_package_is_made_of_and_extras_that_there_are() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    copied = {
        PurePosixPath(part).name
        for name, rest in dockerfile()
        if name == "COPY" and "--from" not in rest
        for part in rest.split()[:-1]
    }
    packages = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    files = {project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml", "constraints.txt"}
    assert copied == packages | files
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_in == copied and all((ROOT / each).exists() for each in copied)
    installed = next(rest for name, rest in dockerfile() if name == "RUN" and "venv" in rest)
    extras = re.search(r'"\.\[(.*)\]"', installed)
    assert extras is not None and set(extras[1].split(",")) <= set(project["project"]["optional-dependencies"])


def test_a_docker_worker_needs_no_template_of_ours() -> None:
    template = DockerWorker.get_default_base_job_template()
    assert {"image", "env", "volumes"} <= set(template["variables"]["properties"])
