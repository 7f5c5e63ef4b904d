from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from pipeline.clusters.worker_pool import serve


def start_request(worker_id: str):
    """A worker without a runner: it waits for its provision service."""
    request = beam_fn_api_pb2.StartWorkerRequest(worker_id=worker_id)
    request.provision_endpoint.url = "localhost:1"
    return request


def children() -> set[int]:
    listed = Path("/proc/self/task").glob("*/children")
    found = set()
    for file in listed:
        with contextlib.suppress(OSError):
            found |= {int(pid) for pid in file.read_text().split()}
    return found


def command_of(pid: int) -> list[str]:
    """Its command line; a process that is being started has none yet."""
    end = time.monotonic() + 30
    while not (command := Path(f"/proc/{pid}/cmdline").read_bytes()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return command.decode().split("\0")


@pytest.fixture()
def service():
    with serve(0) as address, grpc.insecure_channel(address) as channel:
        yield beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)


def test_workers_start_and_stop(service):
    before = children()
    assert not service.StartWorker(start_request("1-1"), timeout=10).error
    (worker,) = children() - before
    command = command_of(worker)
    assert "--id=1-1" in command
    assert "--provision_endpoint=localhost:1" in command
    stop = beam_fn_api_pb2.StopWorkerRequest(worker_id="1-1")
    service.StopWorker(stop, timeout=20)
    assert worker not in children()
    service.StopWorker(stop, timeout=10)  # as runners do for dead workers


def test_pool_ends_its_workers():
    before = children()
    with serve(0) as address, grpc.insecure_channel(address) as channel:
        stub = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)
        stub.StartWorker(start_request("1-1"), timeout=10)
        assert children() - before
    assert children() - before == set()


def test_workers_end_with_their_pool():
    """Their stdin is the pool's pipe: when it closes, they end, even if they wait."""
    module = "pipeline.clusters.worker_boot"
    silent = ["--id=1", "--provision_endpoint=localhost:1", "--end_with_stdin"]
    worker = subprocess.Popen([sys.executable, "-m", module, *silent], stdin=subprocess.PIPE)
    try:
        worker.stdin.close()
        assert worker.wait(30) == 1
    finally:
        worker.kill()
        worker.wait()
