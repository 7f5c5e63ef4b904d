"""Other engines on this machine: Beam's portable job service, Prism, and Spark's job server.

Each accepts jobs at an endpoint and runs them on workers of `pipeline.clusters.worker_pool`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Final

from schemas.errors import UsageError
from tests.engines.jars import cache_folder, gather_jars, java_command
from tests.engines.processes import ProcessGroup, answers, free_port
from transforms.decoding.safe_python import python_command, python_environment

__all__ = [
    "build_prism",
    "external_workers",
    "start_portable_job_service",
    "start_spark_job_server",
    "start_worker_pool",
]

_START_SECONDS: Final = 180.0
_SPARK_JOB_SERVER: Final = "org.apache.beam.runners.spark.SparkJobServerDriver"
_PRISM: Final = "github.com/apache/beam/sdks/v2/go/cmd/prism"


def external_workers(address: str) -> list[str]:
    """The options of a job whose workers come from the pool at `address`."""
    return ["--environment_type=EXTERNAL", f"--environment_config={address}"]


def start_worker_pool(group: ProcessGroup, port: int | None = None) -> str:
    """Starts `worker-pool` and waits until it listens; returns its address."""
    port = port or free_port()
    command = python_command("pipeline.clusters.worker_pool", "--port", str(port))
    group.start("worker-pool", command, python_environment())
    return _listening(group, "worker-pool", port)


def start_portable_job_service(group: ProcessGroup) -> str:
    """Starts Beam's job service in Python; returns its address."""
    port, module = free_port(), "apache_beam.runners.portability.local_job_service_main"
    group.start("job-service", python_command(module, "--port", str(port)), python_environment())
    return _listening(group, "job-service", port)


def start_spark_job_server(group: ProcessGroup, folder: Path, master: str = "local[2]") -> str:
    """Starts Beam's job server for Spark; returns its address.

    Args:
        group: the processes that it joins.
        folder: for staged artifacts of jobs.
        master: a Spark master; `local[N]` runs Spark with N threads in the job server itself.
    """
    port, jars = free_port(), gather_jars("spark.pom.xml")
    group.start(
        "spark-job-server",
        [*java_command(jars, 1024, group.temporary, _SPARK_JOB_SERVER), "--job-host=localhost",
         f"--job-port={port}", f"--artifact-port={free_port()}", "--expansion-port=-1",
         f"--spark-master-url={master}", f"--artifacts-dir={folder}"],
    )  # fmt: skip
    return _listening(group, "spark-job-server", port)


def build_prism() -> Path:
    """The Prism of the installed Beam, built from source by Go once; for `--prism_location`.

    Beam itself would download it from its releases on GitHub.

    Raises UsageError if Go is missing or the build fails.
    """
    version = f"v{metadata.version('apache-beam')}"
    program = cache_folder() / f"prism-{version}" / "prism"
    if program.exists():
        return program
    go = shutil.which("go")
    if go is None:
        raise UsageError("got no go, expected Go 1.25 or newer to build Prism")
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        built = subprocess.run(
            [go, "install", f"{_PRISM}@{version}"],
            env={**os.environ, "GOBIN": folder},
            capture_output=True,
            text=True,
            check=False,
        )
        if built.returncode:
            raise UsageError(f"Go could not build Prism {version}:\n{built.stderr[-2000:]}")
        (Path(folder) / "prism").replace(program)
    return program


def _listening(group: ProcessGroup, name: str, port: int) -> str:
    address = f"localhost:{port}"
    group.wait_for(name, lambda: answers(address), _START_SECONDS)
    return address
