"""A standalone Flink cluster on this machine, from released jars: `make flink`.

facetracks annotate --runner=FlinkRunner
   |  the graph
   v
Beam job server  -->  JobManager  -->  TaskManager x 2     Java
                                           |  gRPC
                                           v
                                       worker pool  -->  Python workers
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pipeline.clusters.worker_pool import end_signal
from tests.engines.jars import gather_jars, java_command
from tests.engines.job_servers import external_workers, start_worker_pool
from tests.engines.processes import ProcessGroup, answers, free_port

__all__ = ["FlinkCluster", "FlinkPorts", "main", "run_flink"]

_RUNTIME: Final = "org.apache.flink.runtime"
_START_SECONDS: Final = 180.0
_CONFIG: Final = """\
jobmanager.rpc.address: localhost
jobmanager.rpc.port: {rpc}
jobmanager.bind-host: localhost
rest.address: localhost
rest.bind-address: localhost
rest.port: {rest}
taskmanager.host: localhost
taskmanager.bind-host: localhost
taskmanager.numberOfTaskSlots: {slots}
taskmanager.cpu.cores: {slots}.0
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 128m
taskmanager.memory.task.heap.size: 512m
taskmanager.memory.task.off-heap.size: 0m
taskmanager.memory.managed.size: 64m
taskmanager.memory.network.min: 64m
taskmanager.memory.network.max: 64m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 192m
taskmanager.memory.jvm-overhead.max: 192m
# The cluster and the jobs share the jars: one copy of each class, no leaked class loaders.
classloader.resolve-order: parent-first
# A job continues on the remaining TaskManagers.
jobmanager.scheduler: adaptive
jobmanager.adaptive-scheduler.resource-wait-timeout: 60 s
jobmanager.adaptive-scheduler.resource-stabilization-timeout: 2 s
# After a fault the job restarts and reuses the existing parts.
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 10
restart-strategy.fixed-delay.delay: 2 s
heartbeat.interval: 2000
heartbeat.timeout: 20000
"""


def _own_port() -> Any:
    return field(default_factory=free_port)


@dataclass(frozen=True)
class FlinkPorts:
    """The ports of a cluster on this machine; by default, free ones."""

    rest: int = _own_port()
    rpc: int = _own_port()
    job: int = _own_port()
    artifact: int = _own_port()
    workers: int = _own_port()


class FlinkCluster:
    """A running cluster, and handles on its processes.

    The processes are `jobmanager`, `taskmanager-1`, ..., `worker-pool` and `job-server`.
    """

    def __init__(self, group: ProcessGroup, folder: Path, ports: FlinkPorts, slots: int) -> None:
        self.group = group
        self.ports = ports
        self._folder = folder
        self._jars = gather_jars("flink.pom.xml")
        config = _CONFIG.format(rest=ports.rest, rpc=ports.rpc, slots=slots)
        (folder / "conf").mkdir(parents=True)
        (folder / "conf" / "config.yaml").write_text(config)

    def start(self, task_managers: int) -> None:
        """Starts everything and waits until jobs can be submitted."""
        entry = f"{_RUNTIME}.entrypoint.StandaloneSessionClusterEntrypoint"
        self._start_java("jobmanager", 512, entry, "--configDir", self._folder / "conf")
        for number in range(1, task_managers + 1):
            self.start_task_manager(number)
        self.start_worker_pool()
        self.start_job_server()
        self.group.wait_for(
            "jobmanager", lambda: self.task_manager_count() == task_managers, _START_SECONDS
        )

    def start_task_manager(self, number: int) -> None:
        """Starts `taskmanager-{number}`."""
        name, entry = f"taskmanager-{number}", f"{_RUNTIME}.taskexecutor.TaskManagerRunner"
        self._start_java(name, 640, entry, "--configDir", self._folder / "conf")

    def start_job_server(self) -> None:
        """Starts `job-server` and waits until it listens."""
        ports = self.ports
        self._start_java(
            "job-server", 512, "org.apache.beam.runners.flink.FlinkJobServerDriver",
            "--job-host=localhost", f"--job-port={ports.job}", f"--artifact-port={ports.artifact}",
            "--expansion-port=-1", f"--flink-master=localhost:{ports.rest}",
            f"--artifacts-dir={self._folder / 'artifacts'}",
        )  # fmt: skip
        address = f"localhost:{ports.job}"
        self.group.wait_for("job-server", lambda: answers(address), _START_SECONDS)

    def start_worker_pool(self) -> None:
        """Starts `worker-pool` and waits until it listens."""
        start_worker_pool(self.group, self.ports.workers)

    def beam_options(self, parallelism: int) -> list[str]:
        """The options of `facetracks annotate` for this cluster."""
        return [
            "--runner=FlinkRunner",
            f"--job_endpoint=localhost:{self.ports.job}",
            *external_workers(f"localhost:{self.ports.workers}"),
            f"--parallelism={parallelism}",
            "--streaming",  # the DataStream API, although the input is bounded
        ]

    def task_manager_count(self) -> int:
        """Number of registered TaskManagers; 0 before the JobManager listens."""
        with contextlib.suppress(OSError):
            return len(self.ask("taskmanagers")["taskmanagers"])
        return 0

    def jobs(self) -> dict[str, str]:
        """The state of every job, by id."""
        return {job["id"]: job["status"] for job in self.ask("jobs")["jobs"]}

    def cancel_jobs(self) -> None:
        """Cancels the jobs that have not ended."""
        for job, state in self.jobs().items():
            if state not in ("FINISHED", "CANCELED", "FAILED"):
                self.ask(f"jobs/{job}?mode=cancel", "PATCH")

    def ask(self, path: str, method: str = "GET") -> Any:
        """The response of the JobManager's REST API."""
        url = f"http://localhost:{self.ports.rest}/{path}"
        request = urllib.request.Request(url, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"{}")

    def _start_java(self, name: str, heap_mb: int, main_class: str, *arguments: str | Path) -> None:
        java = java_command(self._jars, heap_mb, self.group.temporary, main_class)
        self.group.start(name, [*java, *arguments])


@contextlib.contextmanager
def run_flink(
    folder: Path, task_managers: int = 2, slots: int = 1, ports: FlinkPorts | None = None
) -> Iterator[FlinkCluster]:
    """A cluster that runs during the block; `folder` holds its configuration and logs."""
    with ProcessGroup(folder / "log") as group:
        cluster = FlinkCluster(group, folder, ports or FlinkPorts(), slots)
        cluster.start(task_managers)
        yield cluster


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a cluster until a signal ends it (Ctrl-C, SIGTERM)."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--task-managers", type=int, default=2, help="default: %(default)s")
    add("--slots", type=int, default=1, help="slots of each TaskManager; default: %(default)s")
    add("--rest-port", type=int, default=8081, help="JobManager, its UI; default: %(default)s")
    add("--job-port", type=int, default=8099, help="Beam's job server; default: %(default)s")
    add("--workers-port", type=int, default=50000, help="worker pool; default: %(default)s")
    args = parser.parse_args(argv)
    ports = FlinkPorts(rest=args.rest_port, job=args.job_port, workers=args.workers_port)
    end_requested = end_signal()
    with tempfile.TemporaryDirectory(prefix="facetracks-flink-") as folder:
        print("starting; the first time, Maven downloads 160 MB", flush=True)
        with run_flink(Path(folder), args.task_managers, args.slots, ports) as cluster:
            options = " ".join(cluster.beam_options(args.task_managers * args.slots))
            print(f"UI: http://localhost:{ports.rest}   logs: {folder}/log")
            print(f"facetracks annotate INPUT --output OUT {options}\nCtrl-C ends it", flush=True)
            end_requested.wait()
            print("ending", flush=True)


if __name__ == "__main__":
    main()
