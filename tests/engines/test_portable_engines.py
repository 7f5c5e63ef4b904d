"""The graph on other engines for Beam's portable jobs, with workers of the worker pool."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from annotate_process import annotate
from engine_tables import OPTIONS, assert_same_tables

from tests.engines.jars import missing_tools
from tests.engines.job_servers import (
    build_prism,
    external_workers,
    start_portable_job_service,
    start_spark_job_server,
    start_worker_pool,
)
from tests.engines.processes import ProcessGroup

pytestmark = pytest.mark.engines


class Pool(NamedTuple):
    """A worker pool, and its process group."""

    group: ProcessGroup
    options: list[str]


@pytest.fixture(scope="module")
def pool(tmp_path_factory) -> Iterator[Pool]:
    with ProcessGroup(tmp_path_factory.mktemp("pool")) as group:
        yield Pool(group, external_workers(start_worker_pool(group)))


@pytest.fixture(scope="module")
def job_service(pool) -> tuple[str, ...]:
    """The options of a run on the job service, which the tests share."""
    endpoint = start_portable_job_service(pool.group)
    return ("--runner=PortableRunner", f"--job_endpoint={endpoint}", *pool.options)


def test_portable_job_service(job_service, five_inputs, local_output, tmp_path):
    assert_annotates(five_inputs, job_service, local_output, tmp_path / "out")


def test_workers_read_the_manifest(job_service, five_inputs, local_output, tmp_path):
    """On other runners than the local one, the driver reads only the first row."""
    rows = [{"uri": str(path)} for path in sorted(five_inputs.iterdir())]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert_annotates(manifest, job_service, local_output, tmp_path / "out")


@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go, which builds Prism")
def test_prism(pool, five_inputs, local_output, tmp_path):
    options = ("--runner=PrismRunner", f"--prism_location={build_prism()}", *pool.options)
    assert_annotates(five_inputs, options, local_output, tmp_path / "out")


@pytest.mark.skipif(bool(missing_tools()), reason="needs Java and Maven")
def test_spark(pool, five_inputs, local_output, tmp_path):
    endpoint = start_spark_job_server(pool.group, tmp_path / "artifacts")
    options = ("--runner=PortableRunner", f"--job_endpoint={endpoint}", *pool.options)
    assert_annotates(five_inputs, options, local_output, tmp_path / "out")


def assert_annotates(corpus: Path, options: tuple[str, ...], reference: Path, output: Path) -> None:
    with annotate(corpus, "--output", output, *OPTIONS, *options) as run:
        assert run.ended().status == 3, run.ended().err
    assert_same_tables(reference, output)
