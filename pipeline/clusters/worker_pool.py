"""Python workers for clusters without containers: Beam's EXTERNAL environment.

    python -P -m pipeline.clusters.worker_pool --port 50000

One pool runs on every machine of the cluster, for as long as the cluster; the runner there
asks it for workers (`--environment_type=EXTERNAL --environment_config=localhost:50000`).
Beam's own pool gives workers an output pipe without a reader, so that they block
once it is full; these write to the pool's stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc  # type: ignore[import-untyped]
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from transforms.decoding.safe_python import python_command, python_environment

_LOGGER = logging.getLogger(__name__)
_TERMINATE_SECONDS: Final = 5.0


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):  # type: ignore[misc]
    """Starts and stops worker processes as the runner asks."""

    def __init__(self) -> None:
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def StartWorker(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Starts a worker; an answer without `error` says that it runs."""
        command = python_command(f"{__package__}.worker_boot")
        command += [f"--id={request.worker_id}", "--end_with_stdin"]
        for kind in ("control", "logging", "artifact", "provision"):
            endpoint = getattr(request, f"{kind}_endpoint").url
            command += [f"--{kind}_endpoint={endpoint}"]
        try:
            worker = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.PIPE, stdout=sys.stderr, env=python_environment()
            )
        except OSError as error:
            return beam_fn_api_pb2.StartWorkerResponse(error=str(error))
        _LOGGER.info("worker %s started as process %d", request.worker_id, worker.pid)
        with self._lock:
            self._workers[request.worker_id] = worker
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Ends a worker; does nothing if it has ended."""
        with self._lock:
            worker = self._workers.pop(request.worker_id, None)
        if worker is not None:
            _end(worker)
            _LOGGER.info("worker %s ended with %s", request.worker_id, worker.returncode)
        return beam_fn_api_pb2.StopWorkerResponse()

    def close(self) -> None:
        """Ends all workers."""
        with self._lock:
            workers = list(self._workers.values())
            self._workers.clear()
        for worker in workers:
            _end(worker)


@contextlib.contextmanager
def serve(port: int, host: str = "localhost") -> Iterator[str]:
    """Runs a pool; yields its address. Port 0 chooses a free one."""
    pool = WorkerPool()
    server = grpc.server(ThreadPoolExecutor(thread_name_prefix="worker_pool"))
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    bound = server.add_insecure_port(f"{host}:{port}")
    server.start()
    try:
        yield f"{host}:{bound}"
    finally:
        server.stop(grace=None)
        pool.close()


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a pool until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=50000, help="default: %(default)s")
    parser.add_argument("--host", default="localhost", help="address it listens on")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    ended = end_signal()
    with serve(args.port, args.host) as address:
        print(f"worker pool on {address}", flush=True)
        ended.wait()


def end_signal() -> threading.Event:
    """An event that SIGINT and SIGTERM set."""
    ended = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: ended.set())
    return ended


def _end(worker: subprocess.Popen[bytes]) -> None:
    with worker:  # closes its stdin
        worker.terminate()
        try:
            worker.wait(_TERMINATE_SECONDS)
        except subprocess.TimeoutExpired:
            worker.kill()


if __name__ == "__main__":
    main()
