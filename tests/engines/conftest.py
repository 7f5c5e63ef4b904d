"""Clusters of processes on this machine, and the local runner's tables as a reference."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from annotate_process import annotate
from engine_tables import OPTIONS

from tests.engines.flink_cluster import FlinkCluster, run_flink
from tests.engines.jars import missing_tools


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Several workers share few cores; pools pass their environment to their workers."""
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def local_output(five_inputs, tmp_path_factory) -> Path:
    """The five inputs annotated by the local runner."""
    output = tmp_path_factory.mktemp("local") / "out"
    with annotate(five_inputs, "--output", output, *OPTIONS, "--workers", 2) as run:
        ended = run.ended()
    assert "5 videos: 1 failed, 3 ok, 1 partial" in ended.out, ended.err
    return output


@pytest.fixture(scope="session")
def flink(tmp_path_factory) -> Iterator[FlinkCluster]:
    """One JobManager and two TaskManagers of one slot each."""
    if missing := missing_tools():
        pytest.skip(f"needs {' and '.join(missing)}")
    with run_flink(tmp_path_factory.mktemp("flink")) as cluster:
        yield cluster
