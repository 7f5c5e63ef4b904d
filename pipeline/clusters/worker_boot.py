"""A Python worker for a runner that starts processes: Beam's boot program, without a container.

    python -P -m pipeline.clusters.worker_boot --id=... --provision_endpoint=HOST:PORT ...

The arguments are those of Beam's container contract. The runner's provision service gives
the job's options and, where the arguments leave them out, the other endpoints. Unlike a
container's boot program, this one installs no packages: facetracks is installed on every
worker. It is for runners that start a process themselves (environment PROCESS) and for
`pipeline.clusters.worker_pool`.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any, Final

import grpc  # type: ignore[import-untyped]
from apache_beam.portability.api import (
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    endpoints_pb2,
)
from google.protobuf import json_format, text_format  # type: ignore[import-untyped]

_PROVISION_SECONDS: Final = 60.0
_EXIT_ORPHANED: Final = 1


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a worker until its runner disconnects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--id", required=True, help="the worker's name, given by the runner")
    parser.add_argument("--provision_endpoint", required=True, help="of the runner")
    for endpoint in ("control", "logging", "artifact"):
        parser.add_argument(f"--{endpoint}_endpoint", default="")
    parser.add_argument(
        "--end_with_stdin", action="store_true", help="end when stdin does: with the parent"
    )
    args, _ = parser.parse_known_args(argv)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a runner may never read our stdout
    if args.end_with_stdin:
        threading.Thread(target=_end_with_stdin, name="parent", daemon=True).start()
    with grpc.insecure_channel(args.provision_endpoint) as channel:
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        worker = (("worker_id", args.id),)
        answer = service.GetProvisionInfo(request, metadata=worker, timeout=_PROVISION_SECONDS)
    os.environ |= harness_environment(
        args.id, answer.info, args.control_endpoint, args.logging_endpoint
    )
    # Imported now: it reads the environment.
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)


def harness_environment(
    worker_id: str, info: Any, control_endpoint: str = "", logging_endpoint: str = ""
) -> dict[str, str]:
    """The environment variables that Beam's Python harness starts from.

    The endpoints, if given, replace those of `info`, the runner's ProvisionInfo.
    """
    endpoints = {
        "CONTROL": control_endpoint or info.control_endpoint.url,
        "LOGGING": logging_endpoint or info.logging_endpoint.url,
        "STATUS": info.status_endpoint.url,
    }
    descriptors = {
        f"{name}_API_SERVICE_DESCRIPTOR": _descriptor(url) for name, url in endpoints.items() if url
    }
    return descriptors | {
        "WORKER_ID": worker_id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }


def _descriptor(url: str) -> str:
    return str(text_format.MessageToString(endpoints_pb2.ApiServiceDescriptor(url=url)))


def _end_with_stdin() -> None:
    """Ends this process with its parent; otherwise it would wait for its runner forever."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(_EXIT_ORPHANED)


if __name__ == "__main__":
    main()
