from __future__ import annotations

import json

from apache_beam.portability.api import beam_provision_api_pb2
from google.protobuf import json_format

from pipeline.clusters.worker_boot import harness_environment


def provision_info():
    info = beam_provision_api_pb2.ProvisionInfo()
    info.control_endpoint.url = "runner:1"
    info.logging_endpoint.url = "runner:2"
    info.runner_capabilities.extend(["beam:one", "beam:two"])
    json_format.ParseDict({"beam:option:parallelism:v1": 2}, info.pipeline_options)
    return info


def test_everything_the_runner_tells():
    environment = harness_environment("7-1", provision_info())
    assert environment.pop("PIPELINE_OPTIONS") is not None
    assert environment == {
        "CONTROL_API_SERVICE_DESCRIPTOR": 'url: "runner:1"\n',
        "LOGGING_API_SERVICE_DESCRIPTOR": 'url: "runner:2"\n',
        "RUNNER_CAPABILITIES": "beam:one beam:two",
        "WORKER_ID": "7-1",
    }


def test_options_are_those_of_the_job():
    options = json.loads(harness_environment("7-1", provision_info())["PIPELINE_OPTIONS"])
    assert options == {"beam:option:parallelism:v1": 2.0}


def test_arguments_go_before_what_the_runner_tells():
    environment = harness_environment("7-1", provision_info(), control_endpoint="other:3")
    assert environment["CONTROL_API_SERVICE_DESCRIPTOR"] == 'url: "other:3"\n'
    assert environment["LOGGING_API_SERVICE_DESCRIPTOR"] == 'url: "runner:2"\n'


def test_no_endpoint_no_variable():
    environment = harness_environment("7-1", beam_provision_api_pb2.ProvisionInfo())
    assert set(environment) == {"PIPELINE_OPTIONS", "RUNNER_CAPABILITIES", "WORKER_ID"}
