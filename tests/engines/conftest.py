"""Clusters of processes on this machine, and the local runner's tables to hold against theirs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from annotate_process import annotate
from clips import drifting, write_clip
from engine_tables import OPTIONS

from pipeline.clusters.flink_cluster import FlinkCluster, run_flink
from pipeline.clusters.jars import missing_tools


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Workers beside each other on few cores; pools hand their environment on."""
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def engine_corpus(talking_clip, faceless_clip, tmp_path_factory) -> Path:
    """Five inputs: two faces, twice; none; a damaged video; no video."""
    folder = tmp_path_factory.mktemp("engine_corpus")
    shutil.copy(talking_clip, folder / "talking.mp4")
    shutil.copy(talking_clip, folder / "same again.mp4")
    shutil.copy(faceless_clip, folder / "faceless.mp4")
    whole = write_clip(folder / "damaged.mp4", drifting(75, 96, 64, seed=1))
    content = bytearray(whole.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 6000] = b"\xff" * 6000
    whole.write_bytes(content)
    (folder / "text.mp4").write_text("not a video at all\n" * 50)
    return folder


@pytest.fixture(scope="session")
def local_output(engine_corpus, tmp_path_factory) -> Path:
    """The corpus as the runner of one machine annotates it."""
    output = tmp_path_factory.mktemp("local") / "out"
    with annotate(engine_corpus, "--output", output, *OPTIONS, "--workers", 2) as run:
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
